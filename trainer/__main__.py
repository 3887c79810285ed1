"""`python -m trainer`: train one run and log it to MLflow."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from trainer import options

app = typer.Typer(add_completion=False, rich_markup_mode=None)

PRESETS: dict[str, dict[str, Any]] = {
    # the tutorial's first listing: plain SGD, one image a step, no schedule
    "tutorial": {
        "optimizer": "SGD",
        "lr": 0.01,
        "gamma": 1.0,
        "batch_size": 1,
        "shuffle": False,
    },
}


@app.command()
def train(
    optimizer: Annotated[
        str | None, typer.Option(help="A class of torch.optim.", show_default="SGD")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.", show_default="0.01")] = None,
    step_size: Annotated[
        int | None, typer.Option(help="Epochs between decays (StepLR).", show_default="5")
    ] = None,
    gamma: Annotated[
        float | None, typer.Option(help="Factor of each decay (StepLR).", show_default="0.1")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Argument of the optimizer: momentum=0.9.", metavar="NAME=VALUE"
        ),
    ] = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    shuffle: Annotated[
        bool | None,
        typer.Option(
            "--shuffle/--no-shuffle", help="New order each epoch.", show_default="shuffle"
        ),
    ] = None,
    dataset: options.Dataset = None,
    split: options.Split = None,
    limit: options.Limit = None,
    seed: options.Seed = None,
    device: options.Device = None,
    threads: options.Threads = None,
    preset: Annotated[
        str | None,
        typer.Option(help="tutorial: its first listing; other options go before it."),
    ] = None,
    checkpoints: options.Checkpoints = "best,last",
    tracking_uri: options.TrackingUri = None,
    stages: options.Stages = None,
    data_dir: options.DataDir = None,
) -> int:
    """Train one run, a line an epoch, and log it to MLflow. What was trained before is reused."""
    from dataclasses import replace

    from trainer.config import TrainConfig
    from trainer.data import prepare
    from trainer.device import resolve_device
    from trainer.errors import ConfigError, unknown
    from trainer.fit import fit
    from trainer.metrics import VAL_LOSS, EpochResult, best
    from trainer.paths import Paths
    from trainer.record import DIVERGED, CheckpointRule
    from trainer.store import StageStore
    from trainer.tracking import MlflowTracker

    if preset is not None and preset not in PRESETS:
        raise ConfigError(unknown("preset", preset, PRESETS))
    values = PRESETS.get(preset or "", {}) | options.given(
        optimizer=optimizer,
        lr=lr,
        step_size=step_size,
        gamma=gamma,
        optimizer_args=options.parse_settings(settings) if settings else None,
        epochs=epochs,
        batch_size=batch_size,
        shuffle=shuffle,
        dataset=dataset,
        split=split,
        limit=limit,
        seed=seed,
        device=device,
        threads=threads,
    )
    config = TrainConfig(**values)
    config = replace(config, device=resolve_device(config.device))
    rule = CheckpointRule.parse(checkpoints)
    paths = Paths.here()
    folder = data_dir or paths.data
    prepare(config.dataset, folder)
    store = StageStore(stages or paths.stages)
    uri = tracking_uri or paths.tracking_uri
    tracker = MlflowTracker(uri, "trainer", paths.artifacts("trainer"), store)

    def show(result: EpochResult) -> None:
        print(
            f"epoch {result.epoch}/{config.epochs}  running_loss {result.running_loss:.4f}  "
            f"val_loss {result.val_loss:.4f}  val_accuracy {result.val_accuracy:.3f}  "
            f"lr {result.lr:g}  {result.epoch_seconds:.1f} s",
            flush=True,
        )

    try:
        record = fit(config, store, tracker, folder, checkpoints=rule, each_epoch=show)
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        raise
    if record.state == DIVERGED:
        print(f"diverged in epoch {len(record.results)}: try a smaller --lr than {config.lr:g}")
    else:
        top = best(record.results, VAL_LOSS)
        print(f"best: val_loss {top.val_loss:.4f} after epoch {top.epoch}")
    print(f"epochs: {len(record.results)}, of them reused: {record.reused_epochs}")
    print(f"MLflow run {tracker.run_id(record.id)} in experiment 'trainer'; to see it: mlflow ui")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return options.run(app, argv)


if __name__ == "__main__":
    sys.exit(main())

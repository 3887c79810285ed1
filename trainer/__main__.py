"""`python -m trainer`: train one run and log it to MLflow."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainer.settings import flags
from trainer.settings.config import TrainConfig
from trainer.settings.paths import Paths, Places
from trainer.tracking.connection import check_server
from trainer.tracking.names import RUNS_EXPERIMENT
from trainer.tracking.record import CHECKPOINTS_HELP, DIVERGED, CheckpointRule, RunRecord

if TYPE_CHECKING:
    from trainer.metrics import EpochResult
    from trainer.runs.reproduce import Logged

app = typer.Typer(add_completion=False, rich_markup_mode=None)

PRESETS: dict[str, dict[str, Any]] = {
    # the tutorial's first listing: plain SGD, batches of one image, no schedule
    "tutorial": {
        "optimizer": "SGD",
        "lr": 0.01,
        "gamma": 1.0,
        "batch_size": 1,
        "shuffle": False,
    },
}


@app.command()
@flags.takes
def train(
    *,
    given: Annotated[flags.Given, flags.Flags(TrainConfig)],
    settings: flags.Settings = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="tutorial: PyTorch's tutorial as first listed; explicit options override it."
        ),
    ] = None,
    from_run: Annotated[
        str | None,
        typer.Option(
            help="Train with the config of this MLflow run; explicit options override it.",
            metavar="RUN_ID",
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Train that run again without logging, and compare each epoch bit by bit.",
        ),
    ] = False,
    checkpoints: Annotated[str, typer.Option(help=CHECKPOINTS_HELP)] = "best,last",
    places: Places,
) -> int:
    """Train one run and log it to MLflow; epochs that were trained before are reused.

    The exit status is 1 if the run diverges.
    """
    from dataclasses import replace

    paths = Paths.here()
    uri = places.tracking_uri or paths.tracking_uri
    check_server(uri)  # before all that is slow

    from trainer.errors import ConfigError, unknown
    from trainer.runs.fit import fit
    from trainer.runs.reproduce import read_run
    from trainer.stages.stage import prepared_data
    from trainer.stages.store import StageStore
    from trainer.tracking.mlflow_tracker import MlflowTracker
    from trainer.training.check import check_train
    from trainer.training.device import resolve_device

    folder = places.data or paths.data
    if preset is not None and preset not in PRESETS:
        raise ConfigError(unknown("preset", preset, PRESETS))
    if preset is not None and from_run is not None:
        raise ConfigError("--preset and --from-run must not be given together.")
    if verify and from_run is None:
        raise ConfigError("--verify must come with --from-run RUN_ID.")
    logged = None if from_run is None else read_run(from_run, uri)
    base = TrainConfig(**PRESETS.get(preset or "", {})) if logged is None else logged.config
    config = replace(base, **given).override(flags.parse_settings(settings or ()))
    check_train(config)
    config = replace(config, device=resolve_device(config.device))
    rule = CheckpointRule.parse(checkpoints)
    if verify and logged is not None:
        if config != base:
            raise ConfigError("--verify must use the run's own config; leave out other options.")
        return _verify(logged, folder)
    store = StageStore(places.stages or paths.stages, places.state_bytes)
    tracker = MlflowTracker(uri, RUNS_EXPERIMENT, paths.artifacts(RUNS_EXPERIMENT), store)
    prepared_data(config, folder)

    began = time.time()

    def show(result: EpochResult) -> None:
        reused = "  reused" if result.ended_at < began else ""
        print(_line(result, config.epochs) + reused, flush=True)

    try:
        record = fit(config, store, tracker, folder, checkpoints=rule, each_epoch=show)
    except KeyboardInterrupt:
        print("Stopped; the same command resumes from here.", file=sys.stderr)
        raise
    for line in _summary(record, config.lr):
        print(line)
    print(f"MLflow run {tracker.run_id(record.id)} in experiment 'trainer'")
    print(f"To see it: {tracker.page}")
    return 1 if record.state == DIVERGED else 0


def _line(result: EpochResult, epochs: int) -> str:
    """Line of output for an epoch."""
    from trainer.metrics import (
        EPOCH_SECONDS,
        IMAGES_PER_SECOND,
        LR,
        RUNNING_LOSS,
        TRAIN_LOSS,
        VAL_ACCURACY,
        VAL_LOSS,
    )

    formats = {RUNNING_LOSS: ".4f", VAL_LOSS: ".4f", VAL_ACCURACY: ".3f", LR: "g"}
    is_builtin = RUNNING_LOSS in result.values
    hidden = {EPOCH_SECONDS, *((TRAIN_LOSS, IMAGES_PER_SECOND) if is_builtin else ())}
    words = [
        f"{name} {value:{formats.get(name, '.4g')}}"
        for name, value in result.metrics().items()
        if name not in hidden and not (is_builtin and math.isnan(value))
    ]
    first, last = f"epoch {result.epoch}/{epochs}", f"{result.epoch_seconds:.1f} s"
    return "  ".join((first, *words, last))


def _summary(record: RunRecord, lr: float) -> Iterator[str]:
    """Lines of output for the end of a run."""
    from trainer.metrics import VAL_LOSS, best

    if record.state == DIVERGED:
        yield f"diverged in epoch {len(record.results)}: try a smaller --lr than {lr:g}"
    elif all(VAL_LOSS in result.values for result in record.results):
        top = best(record.results, VAL_LOSS)
        yield f"best: val_loss {top.val_loss:.4f} after epoch {top.epoch}"
    yield f"epochs: {len(record.results)}, of them reused: {record.reused_epochs}"


def _verify(logged: Logged, folder: Path) -> int:
    """Train a logged run again and print differences per epoch; exit status 1 if there are any."""
    from trainer.runs.reproduce import changes, verify

    count, differing = len(logged.epochs), 0
    for compared in verify(logged, folder):
        differing += bool(compared.differences)
        what = "  ".join(
            f"{name} {then!r} -> {now!r}" for name, (then, now) in compared.differences.items()
        )
        outcome = f"differs: {what}" if what else "the same to the bit"
        print(f"epoch {compared.epoch}/{count}  {outcome}", flush=True)
    if not differing:
        print(f"Run {logged.run_id}: {count} of {count} epochs are the same to the bit.")
        return 0
    print(f"Run {logged.run_id}: {differing} of {count} epochs differ.")
    found = changes(logged, folder)
    print("Changed since that run:" if found else "Everything recorded with the run is unchanged.")
    for line in found:
        print(f"  {line}")
    return 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return flags.run(app, argv)


if __name__ == "__main__":
    sys.exit(main())

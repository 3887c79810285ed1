"""`python -m sweeps.run`: a sweep from its first trial to its last, or on from where it stood."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sweeps import options as sweep_options
from trainer import options

if TYPE_CHECKING:
    from sweeps.session import Places

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def sweep(
    trials: Annotated[
        int, typer.Option(help="Trials the study is to have in all, however they ended.")
    ] = 50,
    study: Annotated[
        str,
        typer.Option(help="Name of the study.", show_default="made from the settings"),
    ] = "",
    space: Annotated[
        str,
        typer.Option(
            help="What is searched: a PATH.toml or package.module:function; see sweeps.space.",
            show_default="optimizer, lr, step_size, gamma",
        ),
    ] = "",
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    dataset: options.Dataset = None,
    split: options.Split = None,
    limit: options.Limit = None,
    image_size: options.ImageSize = None,
    normalize: options.Normalize = None,
    augment: options.Augment = None,
    model: options.Model = None,
    loss: options.Loss = None,
    scheduler: options.Scheduler = None,
    scheduler_interval: options.SchedulerInterval = None,
    warmup: options.Warmup = None,
    warmup_start: options.WarmupStart = None,
    settings: options.Settings = None,
    shuffle: options.Shuffle = None,
    seed: options.Seed = None,
    objective: Annotated[
        str,
        typer.Option(
            help="val_loss, running_loss, train_loss or val_accuracy, at its best epoch; or two, "
            "as in val_loss,seconds: with the seconds of training, or any other of these."
        ),
    ] = "val_loss",
    sampler: Annotated[
        str,
        typer.Option(
            help="What suggests values: FrugalSampler, a class of optuna.samplers, or "
            "package.module:Class. FrugalSampler: learns from every epoch, and suggests what is "
            "expected to gain most for each; TPESampler: learns from all trials, fits any space; "
            "RandomSampler: the yardstick for the others; GridSampler: "
            "every point of a small space once; QMCSampler: spread more evenly than random; "
            "GPSampler: for few, long trials, needs up to seconds to suggest one; CmaEsSampler: "
            "for many trials and numbers only, as it draws optimizers at random; NSGAIISampler: "
            "for two objectives and some hundred trials.",
            show_default="FrugalSampler",
        ),
    ] = "",
    sampler_args: sweep_options.SamplerArgs = None,
    pruner: Annotated[
        str,
        typer.Option(
            help="Which trials get further epochs: FrugalPruner, PromotionPruner, a class of "
            "optuna.pruners, package.module:Class, or none. FrugalPruner: those that are expected "
            "to gain most for each, a quarter of all epochs at most; PromotionPruner: at epoch 1, "
            "2, 4, ... the better half; both stop no trial, but suspend it. PercentilePruner: "
            "after 5 full trials, stop whatever is not in their best quarter; MedianPruner: not in "
            "their better half; SuccessiveHalvingPruner: not in the best third at epoch 2, 6, 18, "
            "..., from the first trial on; HyperbandPruner: likewise, but some trials are judged "
            "later, in case early values mislead; PatientPruner: no better value for 5 epochs, "
            "whatever the others have; none: train all to the end, as GPSampler, CmaEsSampler, "
            "NSGAIISampler, NSGAIIISampler and two objectives need.",
            show_default="FrugalPruner",
        ),
    ] = "",
    pruner_args: sweep_options.PrunerArgs = None,
    search_seed: Annotated[
        int,
        typer.Option(
            help="Of the sampler: other trials, from the same weights and data order.",
            show_default="0",
        ),
    ] = 0,
    compare: Annotated[
        str,
        typer.Option(
            help="Compare the values of this parameter: each gets as many trials and epochs, "
            "chosen by its own results, and the best of each are then trained from other seeds.",
            metavar="NAME",
        ),
    ] = "",
    known: Annotated[
        list[str] | None,
        typer.Option(
            "--enqueue",
            help="Try these points first: lr=0.1,optimizer=SGD, a FILE.json or .csv, or "
            "study:NAME:top=K.",
            metavar="POINTS",
        ),
    ] = None,
    warm_start: Annotated[
        str,
        typer.Option(
            help="Let the sampler (TPESampler, GPSampler or one of yours) learn from the trials of "
            "this study, too.",
            metavar="STUDY",
        ),
    ] = "",
    workers: sweep_options.Workers = "auto",
    threads: options.Threads = None,
    executor: sweep_options.Executor = "local",
    device: options.Device = None,
    deterministic: options.Deterministic = None,
    until_settled: Annotated[
        float | None,
        typer.Option(
            help="End before all trials, once the second half of them, 20 or more, improved the "
            "best value by less than this share, as 0.01. What one configuration varies by between "
            "seeds is a good choice; sweeps.confirm measures it.",
            metavar="SHARE",
            show_default=False,
        ),
    ] = None,
    timeout: sweep_options.Timeout = None,
    checkpoints: options.Checkpoints = "best,last",
    tracking_uri: options.TrackingUri = None,
    storage: sweep_options.Storage = None,
    stages: options.Stages = None,
    data_dir: options.DataDir = None,
    confirm: Annotated[
        int,
        typer.Option(
            help="Then train the best K trials again from other seeds, to tell luck from merit; "
            "with --compare the best K of each value, 3 if not given.",
            metavar="K",
        ),
    ] = 0,
    repeats: sweep_options.Repeats = 5,
    promote: Annotated[
        bool,
        typer.Option(
            "--promote/--no-promote",
            help="Register the winner's weights as a model of MLflow.",
            show_default="promote",
        ),
    ] = True,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Set a study of this name aside and begin anew.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be trained, and how long that takes.")
    ] = False,
) -> int:
    """Search for the best optimizer, lr, step_size and gamma, or what --space names.

    The same command again goes on where it was stopped, however that was. Watch it with: mlflow ui
    """
    from sweeps.config import SweepConfig
    from sweeps.estimate import estimate
    from sweeps.repeats import ConfirmConfig
    from sweeps.repeats import confirm as confirm_best
    from sweeps.report.publish import conclude
    from sweeps.session import Places, run_sweep
    from sweeps.showing import open_console
    from sweeps.view import open_view
    from trainer.record import CheckpointRule

    train = options.train_config(
        None,
        settings,
        epochs=epochs,
        batch_size=batch_size,
        shuffle=shuffle,
        dataset=dataset,
        split=split,
        limit=limit,
        image_size=image_size,
        normalize=normalize,
        augment=augment,
        model=model,
        loss=loss,
        scheduler=scheduler,
        scheduler_interval=scheduler_interval,
        warmup=warmup,
        warmup_start=warmup_start,
        seed=seed,
        threads=threads,
        device=device,
        deterministic=deterministic,
    )
    first, _, second = (part.strip() for part in objective.partition(","))
    config = SweepConfig(
        train=train,
        space=space,
        trials=trials,
        study=study,
        objective=first,
        second=second,
        sampler=sampler,
        sampler_args=options.parse_settings(sampler_args or (), "--sampler-arg"),
        pruner=pruner,
        pruner_args=options.parse_settings(pruner_args or (), "--pruner-arg"),
        search_seed=search_seed,
        executor=executor,
        workers=sweep_options.parse_workers(workers),
        until_settled=until_settled,
        timeout=timeout,
        checkpoints=CheckpointRule.parse(checkpoints),
        fresh=fresh,
        enqueue=tuple(known or ()),
        compare=compare,
        warm_start=warm_start,
    )
    places = Places(tracking_uri=tracking_uri, storage=storage, stages=stages, data=data_dir)
    best = None
    if confirm or compare:
        best = ConfirmConfig(
            study=config.study,
            **({"top": confirm} if confirm else {}),
            repeats=repeats,
            executor=executor,
            workers=config.workers,
            timeout=timeout,
        )
    console = open_console()
    if dry_run:
        console.print(estimate(config, places), highlight=False, soft_wrap=True)
        return 0
    console.print(f"study {config.study}", highlight=False)
    with open_view(console) as view:
        done = run_sweep(config, places, view)
        if done and best is not None:
            done = confirm_best(best, places, view)
    lines = _promoted(config.study, places) if done and promote else []
    conclude(config.study, tracking_uri, console)
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not done:
        console.print("The time is up; the same command goes on from here.")
    return 0


def _promoted(study: str, places: Places) -> list[str]:
    """Register the winner; what keeps it from that is said, and the sweep is done all the same."""
    from sweeps.champion import promote
    from trainer.errors import TrainerError

    try:
        promotion = promote(study, places)
    except TrainerError as error:
        return [f"The winner is not registered as a model: {error}"]
    return ["The winner as a model:", *(f"  {line}" for line in promotion.lines)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return options.run(app, argv)


if __name__ == "__main__":
    sys.exit(main())

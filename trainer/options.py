"""Command-line options that several commands share, and how a command ends."""

from __future__ import annotations

import ast
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainer.errors import ConfigError, TrainerError

if TYPE_CHECKING:
    from trainer.config import TrainConfig

Dataset = Annotated[
    str | None,
    typer.Option(
        help="cifar10, cifar100, mnist, fashion_mnist, digits (needs no download), a FOLDER/ of "
        "images, a PATH.npz, or package.module:function.",
        show_default="cifar10",
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(help="Bring images to N x N pixels.", metavar="N", show_default="as they are"),
]
Normalize = Annotated[
    bool | None,
    typer.Option("--normalize", help="Bring each colour to mean 0 and deviation 1."),
]
Augment = Annotated[
    str | None,
    typer.Option(help="Vary training images: crop, flip, or crop,flip.", show_default="none"),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="tutorial, or package.module:function that gives an nn.Module.",
        show_default="tutorial",
    ),
]
Loss = Annotated[
    str | None,
    typer.Option(
        help="cross_entropy, or package.module:function of (outputs, targets).",
        show_default="cross_entropy",
    ),
]
Optimizer = Annotated[
    str | None,
    typer.Option(help="A class of torch.optim, or package.module:Class.", show_default="SGD"),
]
Lr = Annotated[float | None, typer.Option(help="Learning rate.", show_default="0.01")]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="A class of torch.optim.lr_scheduler, package.module:Class, or none.",
        show_default="StepLR",
    ),
]
SchedulerInterval = Annotated[
    str | None,
    typer.Option(help="Step the scheduler each epoch or each batch.", show_default="epoch"),
]
Warmup = Annotated[
    int | None,
    typer.Option(help="Steps of a linear warm-up before the schedule.", show_default="0"),
]
WarmupStart = Annotated[
    float | None,
    typer.Option(help="Share of the rate that the warm-up begins at.", show_default="1/3"),
]
StepSize = Annotated[
    int | None, typer.Option(help="Steps between decays (StepLR).", show_default="5")
]
Gamma = Annotated[
    float | None, typer.Option(help="Factor of each decay (StepLR).", show_default="0.1")
]
Shuffle = Annotated[
    bool | None,
    typer.Option("--shuffle/--no-shuffle", help="New order each epoch.", show_default="shuffle"),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Argument of the optimizer (momentum=0.9), the scheduler (scheduler.T_max=10) or the "
        "model (model.width=64).",
        metavar="NAME=VALUE",
    ),
]
Deterministic = Annotated[
    bool | None,
    typer.Option(
        "--deterministic/--no-deterministic",
        help="On a GPU, use only algorithms that repeat to the bit.",
        show_default="deterministic",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        help="test: train on the test images as the tutorial does; train: on the training images.",
        show_default="test",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(help="Train on the first N images, validate on N/5.", metavar="N"),
]
BatchSize = Annotated[int | None, typer.Option(help="Images per batch.", show_default="64")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the data.", show_default="20")]
Seed = Annotated[int | None, typer.Option(help="Of weights and data order.", show_default="0")]
Threads = Annotated[int | None, typer.Option(help="Threads of one worker.", show_default="1")]
Device = Annotated[
    str | None,
    typer.Option(help="auto (a GPU where there is one), cpu or cuda.", show_default="auto"),
]
Checkpoints = Annotated[
    str,
    typer.Option(help="Checkpoints kept with a run: best, last, every:N (with commas) or none."),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        help="MLflow's store.", show_default="MLFLOW_TRACKING_URI, else ./mlflow.db", metavar="URI"
    ),
]
Stages = Annotated[
    str | None,
    typer.Option(
        help="Folder or URL of the stage store.", show_default="./mlruns/stages", metavar="DIR"
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the data sets.", show_default="./dataset", metavar="DIR"),
]


def train_config(
    base: TrainConfig | None = None, settings: Sequence[str] | None = None, **values: Any
) -> TrainConfig:
    """The config with the options that were given, on top of `base`.

    Raises:
        ConfigError: a value that cannot be.
    """
    from trainer.config import TrainConfig

    given = {name: value for name, value in values.items() if value is not None}
    return (base or TrainConfig()).having(given | parse_settings(settings or ()))


def parse_settings(words: Sequence[str], flag: str = "--set") -> dict[str, Any]:
    """Read NAME=VALUE words, with values as Python writes them; what is none stays text.

    Raises:
        ConfigError: a word without "=".
    """
    settings = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(f"{flag} must be NAME=VALUE, but got {word!r}.")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        settings[name.strip()] = list(value) if isinstance(value, tuple) else value
    return settings


def run(app: typer.Typer, argv: Sequence[str] | None) -> int:
    """Run a command; its exit status: 0 done, 1 a known error, 2 wrong usage, 130 interrupted.

    SIGTERM interrupts it as Ctrl-C does, so that it leaves as much whole.
    """
    try:
        with _sigterm_interrupts():
            status = app(args=argv, standalone_mode=False)
    except typer.TyperException as error:  # wrong usage
        error.show()  # type: ignore[attr-defined] # typer does not type what it inherits
        return error.exit_code
    except TrainerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        return 130
    return int(status or 0)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Within, SIGTERM is an interrupt; only the main thread gets any, or may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt

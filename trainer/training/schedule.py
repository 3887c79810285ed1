"""Learning-rate schedules: torch's schedulers, replayed on a stand-in optimizer.

No scheduler state is stored. The learning rates of every epoch come from stepping torch's scheduler
on a stand-in optimizer of the same class, so they equal those of a plain loop bit for bit. A
schedule that depends on results (ReduceLROnPlateau) is replayed over them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.optim.lr_scheduler import LinearLR, LRScheduler, ReduceLROnPlateau, SequentialLR

from trainer.errors import ConfigError, unknown
from trainer.settings.apart import apart
from trainer.settings.config import TrainConfig
from trainer.settings.schedulers import NONE, PLATEAU, class_of, parameters_of
from trainer.training.optim import OptimizerSpec, find_optimizer, plain_scalars, set_mode, stand_in


@dataclass(frozen=True)
class Rates:
    """Learning rate and other values of the parameter groups in one epoch.

    Attributes:
        scalars: every plain value of the parameter group as the epoch begins, by name.
        moved: names of the values that the scheduler controls: `lr`, and those that it has changed
            so far; others are never overwritten.
        batches: for a schedule by batch, the controlled values of each batch in order; else empty.
        further: the same for each parameter group after the first.
    """

    scalars: Mapping[str, Any]
    moved: frozenset[str] = frozenset()
    batches: tuple[Mapping[str, Any], ...] = ()
    further: tuple[Rates, ...] = ()

    @property
    def groups(self) -> tuple[Rates, ...]:
        """One for each parameter group, in order."""
        return (self, *self.further)

    def begin(self) -> list[dict[str, Any]]:
        """Values to set as the epoch begins, by group."""
        return [{name: it.scalars[name] for name in it.moved} for it in self.groups]

    def each_batch(self) -> list[tuple[Mapping[str, Any], ...]]:
        """Values to set before each batch, by group; empty if the schedule is by epoch."""
        return list(zip(*(it.batches for it in self.groups), strict=True))

    def facts(self) -> list[Any]:
        """All of it as JSON values, to be hashed."""
        own = [self.scalars, *([self.batches] if self.batches else [])]
        return [*own, *(it.facts() for it in self.further)]


class Schedule:
    """The learning-rate schedule of a config.

    Args:
        config: of the run.
        optimizer: that it drives.
    """

    def __init__(self, config: TrainConfig, optimizer: OptimizerSpec) -> None:
        self._config = config
        self._optimizer = optimizer
        self._parameters = parameters_of(config.scheduler)

    def check(self) -> None:
        """Construct the schedule and take a step, so that torch's objections are known early.

        Raises:
            ConfigError: unknown argument, or values that torch refuses.
        """
        config, known = self._config, self._parameters
        takes_any = any(item.kind == item.VAR_KEYWORD for item in known.values())
        allowed = [name for name in known if name not in ("step_size", "gamma", "last_epoch")]
        for name in config.scheduler_args:
            if name in ("step_size", "gamma"):
                raise ConfigError(f"{name} must be given as {name}, but got scheduler.{name}.")
            if name not in allowed and not takes_any:
                raise ConfigError(unknown(f"argument of {config.scheduler}", name, allowed))
        given = self._arguments(batches=1)
        for name, item in known.items():
            needed = item.default is item.empty and item.kind not in (
                item.VAR_KEYWORD,
                item.VAR_POSITIONAL,
            )
            if needed and name not in given:
                raise ConfigError(
                    f"{config.scheduler} needs scheduler.{name}, but it is not given."
                )
        if config.scheduler == PLATEAU:
            if config.scheduler_interval == "batch":
                raise ConfigError(
                    f"scheduler_interval must be 'epoch' for {PLATEAU}, which looks at the results "
                    "of epochs, but got 'batch'."
                )
            if config.warmup:
                raise ConfigError(
                    f"warmup must be 0 for {PLATEAU}, which torch cannot join to another schedule, "
                    f"but got {config.warmup}."
                )
        self.rates(batches=1, device="cpu")

    def rates(
        self,
        batches: int,
        val_losses: Sequence[float] = (),
        *,
        groups: Sequence[Mapping[str, Any]] = (),
        device: str | None = None,
    ) -> tuple[Rates, ...]:
        """The rates of epochs 1 to `config.epochs`, or as far as the results determine them.

        Args:
            batches: in an epoch.
            val_losses: of epochs 1, 2, ..., for a schedule that looks at them.
            groups: the scalars of each parameter group, of an optimizer that makes several.
            device: overrides the config's.

        Raises:
            ConfigError: torch refuses the values.
        """
        config, device = self._config, device or self._config.device
        if not torch.cuda.is_available():  # where other machines train, this one only plans
            device = "cpu"
        optimizer = self._optimizer.build([stand_in(device)], float(config.lr), device)
        if groups:
            first_group = optimizer.param_groups[0]
            optimizer.param_groups = [
                {**first_group, **scalars, "params": [stand_in(device)]} for scalars in groups
            ]
        fresh = [plain_scalars(group) for group in optimizer.param_groups]

        def now() -> list[dict[str, Any]]:
            every = zip(optimizer.param_groups, fresh, strict=True)
            return [{name: group[name] for name in names} for group, names in every]

        try:
            scheduler = self._build(optimizer, batches)
            first = now()
            set_mode(optimizer, "train")
            optimizer.step(lambda: math.nan)  # a scheduler warns where no step was taken before
            for group, scalars in zip(optimizer.param_groups, first, strict=True):
                group.update(scalars)
            if config.scheduler_interval == "batch":
                every = _step_each_batch(scheduler, now, config.epochs * batches)
            else:
                every = _step_each_epoch(scheduler, now, config.epochs, val_losses)
        except Exception as error:  # torch refuses with ValueError, TypeError, ...
            given = ", ".join(f"{name}={it!r}" for name, it in self._arguments(batches).items())
            raise ConfigError(
                f"{config.scheduler}({given}) cannot drive {config.optimizer}: {error}"
            ) from error
        steps = batches if config.scheduler_interval == "batch" else 1
        by_group = [
            _by_epoch(one, [step[number] for step in every], steps)
            for number, one in enumerate(fresh)
        ]
        epochs = zip(*by_group, strict=True)
        return tuple(replace(first, further=tuple(others)) for first, *others in epochs)

    def _arguments(self, batches: int) -> dict[str, Any]:
        """Arguments of the scheduler: explicit ones override those that follow from the run."""
        config = self._config
        per_epoch = batches if config.scheduler_interval == "batch" else 1
        steps = max(1, config.epochs * per_epoch - config.warmup)
        own: dict[str, Any] = {"step_size": config.step_size, "gamma": float(config.gamma)}
        own |= {"CosineAnnealingLR": {"T_max": steps}}.get(config.scheduler, {})
        if config.scheduler == "OneCycleLR":
            own["max_lr"] = float(config.lr)
            if not config.scheduler_args.keys() & {"total_steps", "epochs", "steps_per_epoch"}:
                own["total_steps"] = steps
        if config.scheduler == "CyclicLR":  # whose gamma is that of one of its modes alone
            own = {"base_lr": float(config.lr), "gamma": float(config.gamma)}
        fitting = {name: value for name, value in own.items() if name in self._parameters}
        return fitting | dict(config.scheduler_args)

    def _build(self, optimizer: torch.optim.Optimizer, batches: int) -> LRScheduler | None:
        config = self._config
        if config.scheduler == NONE and not config.warmup:
            return None
        main: LRScheduler | None = None
        if config.warmup:
            warm_up = LinearLR(optimizer, config.warmup_start, total_iters=config.warmup)
        if config.scheduler != NONE:
            main = class_of(config.scheduler)(optimizer, **self._arguments(batches))
        if not config.warmup:
            return main
        if main is None:
            return warm_up
        return SequentialLR(optimizer, [warm_up, main], [config.warmup])


def rates_of(config: TrainConfig, batches: int) -> tuple[Rates, ...]:
    """The rates of a config as far as they are known beforehand, computed on the CPU.

    Raises:
        ConfigError: torch refuses the values.
    """
    return apart([config.optimizer, config.scheduler], _rates_of, config, batches)


def _rates_of(config: TrainConfig, batches: int) -> tuple[Rates, ...]:
    optimizer = find_optimizer(config.optimizer, config.optimizer_args)
    return Schedule(config, optimizer).rates(batches, device="cpu")


def _step_each_epoch(
    scheduler: LRScheduler | None,
    now: Callable[[], list[dict[str, Any]]],
    epochs: int,
    val_losses: Sequence[float],
) -> list[list[dict[str, Any]]]:
    """Values in each epoch and group, as far as the results determine them."""
    every = [now()]
    for epoch in range(1, epochs):
        if isinstance(scheduler, ReduceLROnPlateau):
            if epoch > len(val_losses):
                break
            scheduler.step(val_losses[epoch - 1])
        elif scheduler is not None:
            scheduler.step()
        every.append(now())
    return every


def _step_each_batch(
    scheduler: LRScheduler | None, now: Callable[[], list[dict[str, Any]]], steps: int
) -> list[list[dict[str, Any]]]:
    """Values in each batch and group."""
    every = [now()]
    for _ in range(1, steps):
        if scheduler is not None:
            scheduler.step()
        every.append(now())
    return every


def _by_epoch(
    fresh: Mapping[str, Any], every: Sequence[Mapping[str, Any]], steps: int
) -> tuple[Rates, ...]:
    """Group the values of single steps, of which an epoch has `steps`, by epoch."""
    moved = {"lr"}
    epochs = []
    for start in range(0, len(every), steps):
        some = every[start : start + steps]
        moved |= {name for one in some for name, value in one.items() if value != fresh[name]}
        each = [{name: one[name] for name in sorted(moved)} for one in some] if steps > 1 else []
        epochs.append(Rates(some[0], frozenset(moved), tuple(each)))
    return tuple(epochs)

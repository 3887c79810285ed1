"""What to try next, each with its evidence and the change that would follow."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from sweeps.report.confirmed import TIED
from sweeps.report.frames import StudyFrames
from sweeps.report.ranking import Winner
from trainer.record import BEST, BEST_EPOCH, COMPLETE, DIVERGED, PRUNED

TOP = 10
"""How many of the best trials are evidence."""

_MATTERS = 0.01  # a parameter that explains less of the differences does not
_ENOUGH_TRIALS = 20  # to say so
_BEYOND = 10.0  # by so much a logarithmic range grows
_NATURAL = {  # ends beyond which there is nothing to try
    "low": {"step_size": 1, "warmup": 0, "momentum": 0, "weight_decay": 0, "dampening": 0},
    "high": {"gamma": 1, "momentum": 1},
}


_OWN = {
    "SGD": "momentum = [0.0, 0.5, 0.9]",
    "Adam": "betas = [[0.9, 0.999], [0.9, 0.99]]",
    "AdamW": "weight_decay = [0.0, 0.01, 0.1]",
    "RMSprop": "alpha = [0.9, 0.99]",
    "Adagrad": "lr_decay = [0.0, 0.001, 0.01]",
}
"""What is worth searching of an optimizer once the others are out."""


def advice(
    frames: StudyFrames,
    ranked: pd.DataFrame,
    winner: Winner,
    confirmed: pd.DataFrame,
    importances: Mapping[str, float],
) -> Iterable[str]:
    """Sentences: what was seen, then after "Next:" what to change, mostly in the `--space` file.

    Args:
        frames: the study.
        ranked: what `sweeps.report.ranking.rank` made of it.
        winner: of it.
        confirmed: what `sweeps.report.confirmed.compare` made of its repeats.
        importances: of parameters, 0 to 1; see `sweeps.report.as_study.importances`.
    """
    idle = _idle(winner, importances, len(ranked))
    yield from _at_the_ends(frames, winner, idle)
    yield from _one_optimizer(ranked)
    yield from _diverging(frames, ranked)
    for name, share in idle.items():
        yield (
            f"{name} explains {share:.1%} of what tells the best tenth of {len(ranked)} trials "
            f"from the others (PED-ANOVA). Next: {name} = {winner.params[name]}"
        )
    yield from _epochs(frames, ranked, winner)
    yield from _pruned(frames, ranked, confirmed)
    yield from _unconfirmed(frames, ranked, winner, confirmed)


def _at_the_ends(frames: StudyFrames, winner: Winner, idle: Mapping[str, float]) -> Iterable[str]:
    """Of each number that matters and whose best value is as low or as high as the space goes."""
    optimizer = str(winner.params.get("optimizer"))
    for name, value in winner.params.items():
        if isinstance(value, (bool, str)) or name in idle:
            continue
        table, entry = _entry(frames.space, name, optimizer)
        values = _values(entry)
        if len(values) < 2:
            continue
        low, high = values[0], values[-1]
        if value == low and not _ends(name, "low", low):
            yield (
                f"The winner's {name}, {value:g}, is the lowest that the space has. "
                f"Next: {table}{name} = {_wider(name, entry, down=True)}"
            )
        # the epochs are as far as step_size can go
        elif value == high and not _ends(name, "high", high) and name != "step_size":
            yield (
                f"The winner's {name}, {value:g}, is the highest that the space has. "
                f"Next: {table}{name} = {_wider(name, entry, down=False)}"
            )


def _diverging(frames: StudyFrames, ranked: pd.DataFrame) -> Iterable[str]:
    """Of each optimizer that diverged at least twice, and in a tenth of all its trials."""
    for optimizer, rows in frames.trials.groupby("optimizer"):
        lost = rows[rows["state"] == DIVERGED]
        if len(lost) < 2 or len(lost) < len(rows) / TOP:
            continue
        border = lost["lr"].min()
        kept = ranked.loc[(ranked["optimizer"] == optimizer) & (ranked["lr"] < border), "lr"]
        said = f"{optimizer} diverged in {len(lost)} of {len(rows)} trials, from lr {border:g} on."
        if kept.empty:
            low, high = border / _BEYOND**2, border / _BEYOND
        else:
            low, high = kept.min(), kept.max()
            low = low if low < high else high / _BEYOND
        yield f"{said} Next: {_table(str(optimizer))}lr = {_range(low, high)}"


def _idle(winner: Winner, importances: Mapping[str, float], trials: int) -> dict[str, float]:
    """The numbers that hardly matter, with their importance."""
    return {
        name: share
        for name, share in importances.items()
        if share < _MATTERS
        and trials >= _ENOUGH_TRIALS
        and not isinstance(winner.params.get(name, ""), str)
    }


def _one_optimizer(ranked: pd.DataFrame) -> Iterable[str]:
    """Whether all of the best are of one of several optimizers."""
    top = ranked["optimizer"].head(TOP)
    if len(top) == TOP and top.nunique() == 1 < ranked["optimizer"].nunique():
        name = str(top.iloc[0])
        own = _OWN.get(name, "and its own arguments")
        yield f'All of the {TOP} best trials are of {name}. Next: optimizer = "{name}", {own}'


def _epochs(frames: StudyFrames, ranked: pd.DataFrame, winner: Winner) -> Iterable[str]:
    """Whether there were too few epochs, or more than were of use."""
    won = ranked[ranked["trial"] == winner.trial].iloc[0]
    if winner.epoch == won["epochs"] == won["asked_epochs"]:
        yield (
            f"The winner's best epoch, {winner.epoch}, is its last. "
            f"Next: --epochs {2 * winner.epoch} --enqueue study:{frames.name}:top=5"
        )
        return
    top = ranked[ranked["state"] == COMPLETE].head(TOP)
    last = int(top[BEST_EPOCH].max()) if len(top) else 0
    if len(top) == TOP and 2 * last <= won["asked_epochs"]:
        yield (
            f"None of the {TOP} best complete trials got better after epoch {last} of "
            f"{won['asked_epochs']}. Next: --epochs {last + max(1, last // 4)}"
        )


def _pruned(frames: StudyFrames, ranked: pd.DataFrame, confirmed: pd.DataFrame) -> Iterable[str]:
    """Whether a trial was stopped that is as good as the best."""
    states = ranked.set_index("trial")["state"]
    good = confirmed[(confirmed["verdict"] == TIED) | (confirmed.index == 0)]
    stopped = [trial for trial in good["trial"] if states.get(trial) == PRUNED]
    if stopped:
        numbers = ", ".join(map(str, stopped))
        yield (
            f"Trial {numbers} was pruned, but from other seeds nothing is better: the pruner "
            "stops too early. Next: --pruner MedianPruner, or --pruner HyperbandPruner"
        )
        return
    first = ranked.iloc[0]
    complete = ranked[ranked["state"] == COMPLETE]
    if confirmed.empty and first["state"] == PRUNED and len(complete):
        name = BEST + frames.objective
        yield (
            f"Trial {first['trial']} was pruned after epoch {first['epochs']} though its {name}, "
            f"{first[name]:.6g}, is better than the winner's. Next: --confirm 5"
        )


def _unconfirmed(
    frames: StudyFrames, ranked: pd.DataFrame, winner: Winner, confirmed: pd.DataFrame
) -> Iterable[str]:
    """Whether a trial that came later is better than the winner, which other seeds confirmed."""
    name, first, trials = BEST + frames.objective, ranked.iloc[0], set(confirmed["trial"])
    is_better = first[name] != winner.value  # as it is the first; others may share its best epoch
    if is_better and winner.trial in trials and first["trial"] not in trials:
        yield (
            f"Trial {first['trial']} has a better {name}, {first[name]:.6g}, than the winner, but "
            "was not trained from other seeds. "
            f"Next: python -m sweeps.confirm --study {frames.name}"
        )


def _entry(space: Mapping[str, Any], name: str, optimizer: str) -> tuple[str, Any]:
    """The head of the table that has a name for an optimizer ("": the top), and what it says."""
    cases = space.get("when", {}).get("optimizer", {}).get(optimizer, {})
    return (_table(optimizer), cases[name]) if name in cases else ("", space.get(name))


def _values(entry: Any) -> list[float]:
    """Both ends of a range, or all numbers of a grid or of choices."""
    if isinstance(entry, Mapping):
        entry = entry.get("grid") or [entry.get("low"), entry.get("high")]
    numbers = entry if isinstance(entry, list) else []
    if any(isinstance(it, (bool, str)) or it is None for it in numbers):
        return []
    return sorted(numbers)


def _range(low: float, high: float) -> str:
    """A logarithmic range; on the 1-2-5 grid where its ends are, so that epochs recur."""
    on_grid = all(f"{it:.3e}"[:5] in ("1.000", "2.000", "5.000") for it in (low, high))
    kind = 'grid = "1-2-5"' if on_grid else "log = true"
    return f"{{ low = {low:.4g}, high = {high:.4g}, {kind} }}"


def _wider(name: str, entry: Any, *, down: bool) -> str:
    """A range that goes further on one side, by the steps of the old one, so that epochs recur."""
    values = _values(entry)
    low, high = values[0], values[-1]
    if low > 0 and high / low > _BEYOND:
        return _range(low / _BEYOND, high) if down else _range(low, high * _BEYOND)
    reach = (high - low) / 2
    least = low / _BEYOND if low > 0 else _NATURAL["low"].get(name, -math.inf)
    most = _NATURAL["high"].get(name, math.inf)
    by = min(reach, low - least if down else most - high)
    step = float(entry.get("step") or 0) if isinstance(entry, Mapping) else 0.0
    steps = math.floor(by / step + 1e-9) if step else 0
    by = steps * step if steps else by
    low, high = (low - by, high) if down else (low, high + by)
    stepped = f", step = {step:g}" if steps else ""
    if all(isinstance(it, int) for it in values):
        return f"{{ low = {int(low)}, high = {int(high)}{stepped} }}"
    return f"{{ low = {low:.4g}, high = {high:.4g}{stepped} }}"


def _ends(name: str, side: str, value: float) -> bool:
    return _NATURAL[side].get(name) == value


def _table(optimizer: str) -> str:
    """The head of an optimizer's own table in a space."""
    return f"[when.optimizer.{optimizer if optimizer.isidentifier() else json.dumps(optimizer)}] "

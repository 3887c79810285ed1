"""Kinds of trials: one for each value of the parameter given by --compare, else a single one."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from sweeps.search.allocation.grants import BEGIN, AllocatingPruner, Grant
from sweeps.search.allocation.outlook import START_TRIALS, Outlook
from sweeps.search.allocation.points import Points
from sweeps.search.forwarding import ForwardingSampler
from sweeps.search.fresh import FreshSampler
from sweeps.search.frugal import FrugalSampler
from sweeps.search.repeatable import RepeatableSampler
from sweeps.search.sampling import Search, make_sampler
from sweeps.search.study_view import StudyViewSampler
from sweeps.settings.config import SweepConfig

_LEAST_START = 3  # initial trials of each kind, before the model suggests


class Kinds:
    """The trials of a study, grouped by kind: see `SweepConfig.compare`.

    Kinds take turns, so that each gets the same number of trials. Each kind has its own sampler,
    its trials compete for epochs with their own kind only, and each kind gets the same number of
    epochs. The model of one epoch learns from all trials.

    Args:
        config: the sweep.
        images: training images in an epoch.
    """

    def __init__(self, config: SweepConfig, images: int) -> None:
        space, base, name = config.search_space, config.train, config.compare
        fixed = [space.params({name: it}, base) for it in space.choices(name)] if name else [{}]
        start = START_TRIALS if len(fixed) == 1 else max(_LEAST_START, START_TRIALS // len(fixed))
        self.outlooks = [
            Outlook(
                Points(space, base, images, each),
                maximize=config.maximize,
                seed=config.search_seed,
                start_trials=start,
            )
            for each in fixed
        ]
        self._samplers = [_sampler(config, outlook) for outlook in self.outlooks]
        self.sampler: BaseSampler = self._samplers[0] if len(fixed) == 1 else _Turns(self)

    def of(self, trial: FrozenTrial) -> Outlook:
        """The outlook of a trial's kind, which follows from the trial's number."""
        return self.outlooks[trial.number % len(self.outlooks)]

    def sampler_of(self, trial: FrozenTrial) -> BaseSampler:
        """The sampler of a trial's kind."""
        return self._samplers[trial.number % len(self.outlooks)]

    def next(
        self, pruner: AllocatingPruner, trials: Sequence[FrozenTrial], left: int
    ) -> Grant | None:
        """The next grant of epochs, for the kind that had the fewest epochs so far."""
        trials = begun(trials)
        kinds = len(self.outlooks)
        split, total = self.split(trials), len(trials) + left
        grants: list[Grant] = []
        for place in sorted(range(kinds), key=lambda it: self._spent(it, trials)):
            mine = len(split[place])
            share = len(range(place, total, kinds))
            grant = pruner.next(self.outlooks[place], trials, max(0, share - mine))
            if grant is not None and grant.trial is not None:
                return grant
            grants += [grant] if grant is not None else []
        return BEGIN if grants and left else None

    def split(self, trials: Sequence[FrozenTrial]) -> list[list[FrozenTrial]]:
        """The trials of each kind."""
        kinds = range(len(self.outlooks))
        return [[it for it in trials if it.number % len(kinds) == place] for place in kinds]

    def _spent(self, place: int, trials: Sequence[FrozenTrial]) -> int:
        return self.outlooks[place].curves(trials).spent if len(self.outlooks) > 1 else 0


def begun(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """All trials except enqueued ones that have not started."""
    return [trial for trial in trials if trial.state != TrialState.WAITING]


class _Turns(ForwardingSampler):
    """Delegates each trial to the sampler of its kind."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds

    def sampler_of(self, trial: FrozenTrial) -> BaseSampler:
        """The sampler of this trial's kind."""
        return self._kinds.sampler_of(trial)


def _sampler(config: SweepConfig, outlook: Outlook) -> BaseSampler:
    """The sampler of one kind of trials."""
    search = Search(
        seed=config.search_seed,
        conditional=config.search_space.conditional,
        points=config.grid or (),
        outlook=outlook,
    )
    sampler = make_sampler(config.sampler, config.sampler_args, search)
    if isinstance(sampler, FrugalSampler):
        return sampler
    if isinstance(sampler, RepeatableSampler):
        sampler = FreshSampler(sampler, outlook)
    return StudyViewSampler(sampler, outlook.is_own if config.compare else None)

"""Repeats: the best trials of a study trained again from other seeds, outside its ranking.

The best of many trials owes part of its value to chance. Trained again from seeds by which no trial
was chosen, the best few show which of them is better, and how certain that is. Where a study
compares values of a parameter, the best few of each value race: all are trained from the first two
seeds, and the best of each value by these from the others, too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import optuna

from sweeps.engine.coordinator import Coordinator
from sweeps.engine.progress import View
from sweeps.engine.session import drive
from sweeps.engine.user_code import user_code_apart
from sweeps.engine.workspace import open_workspace, resolved
from sweeps.errors import SweepError
from sweeps.report.compare.ranking import rank
from sweeps.report.reading.frames import StudyFrames, load_study
from sweeps.search.allocation.grants import BEGIN, Grant
from sweeps.settings.config import SweepConfig
from sweeps.settings.execution import ConfirmConfig, Places
from sweeps.study.opening import ASIDE, LEAST_WIDTH, find_study
from sweeps.study.trial import LiveTrial
from sweeps.study.window import Granted
from trainer.data import Data
from trainer.settings.config import TrainConfig
from trainer.settings.paths import Paths
from trainer.stages.plan import Planner
from trainer.stages.stage import renew
from trainer.tracking.connection import connect, read_file
from trainer.tracking.names import CONFIG_FILE, CONFIRMS_TAG, STUDY_TAG
from trainer.tracking.record import BEST, BEST_EPOCH, CheckpointRule, record_of
from trainer.training.check import check_train

_NO_CHECKPOINTS = CheckpointRule(best=False, last=False)
HEAT = 2
"""Seeds that decide which candidates stay; of 3 of each value they choose as well as 5 seeds do."""


def confirm(config: ConfirmConfig, places: Places, view: View) -> bool:
    """Train the best trials again; epochs that are stored are not trained again.

    Returns:
        False if the timeout came before all were trained.

    Raises:
        ConfigError: one of them can no longer be trained.
        UnknownStudy: there is no such study, in MLflow or in Optuna's storage.
        SweepError: none of its trials can be confirmed, or MLflow did not accept all of it.
        StudyInUse: another process runs it.
        KeyboardInterrupt: after an interrupt; the same call resumes.
    """
    uri = places.tracking_uri or Paths.here().tracking_uri
    frames = load_study(config.study, uri)
    with user_code_apart(config, frames.name.partition(ASIDE)[0]):
        return _confirm(config, frames, places, view)


def _confirm(config: ConfirmConfig, frames: StudyFrames, places: Places, view: View) -> bool:
    uri = places.tracking_uri or Paths.here().tracking_uri
    sources = _sources(frames, config.top, uri)
    for source in sources:
        renew(source.config)
        check_train(source.config)
    train = sources[0].config
    references = [it for source in sources for it in source.config.user_code]
    sweep = SweepConfig(
        train=resolved(config, train, references),
        study=frames.name.partition(ASIDE)[0],
        objective=frames.objective,
        direction=frames.direction,
        pruner="none",
        **config.execution,
        checkpoints=_NO_CHECKPOINTS,
    )
    numbers = ", ".join(str(source.number) for source in sources)
    best = f", of which the best of each {frames.compare} stay" if frames.compare else ""
    view.say(f"Confirming trials {numbers} from {config.repeats} other seeds{best}.")
    with (
        find_study(frames.name, Paths.here(), places.storage, takeover=config.takeover) as study,
        open_workspace(sweep, places) as work,
    ):
        after = int(frames.trials["seed"].max())
        seeds = range(after + 1, after + 1 + config.repeats)
        width = 2 * work.executor.slots
        repeats = Repeats(
            (frames.name, study.id),
            sources,
            seeds,
            work.data,
            work.plan,
            sweep,
            width,
            study.tags,
        )
        return drive(Coordinator(sweep, study, repeats, work, view), work, view)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A trial to be repeated.

    Attributes:
        number: of the trial.
        config: what it trained, or would have trained without being stopped.
        value: of the parameter that is compared; None if none is, and then all stay.
    """

    number: int
    config: TrainConfig
    value: Any = None

    @property
    def entry(self) -> Any:
        """The group in whose name it races: the best of each group reaches the final."""
        return self.number if self.value is None else self.value


class Repeat(LiveTrial):
    """A trial trained again. Optuna does not know it, so nothing prunes it."""

    def tell(self, study: optuna.Study) -> None:
        """End it."""
        self.ended_at = time.time()

    def grant(self, granted: Granted) -> None:
        """Let it train; nothing is stored."""
        self.go_on(granted.epochs)

    def _report(self) -> None:
        pass

    def _falls_behind(self) -> bool:
        return False


class Repeats:
    """Source of live repeats; for the coordinator what `Trials` is for a sweep.

    Repeats that were trained before are asked for again: their epochs are stored, and MLflow has
    their runs, so that this costs nothing.

    Args:
        study: its name, and its id.
        sources: the trials.
        seeds: each trial is trained from every seed.
        data: the data set.
        plan: finds the stages of a config on it.
        sweep: has the objective that ranks them.
        width: repeats in training at a time.
        tags: of all runs of the study.
    """

    def __init__(
        self,
        study: tuple[str, str],
        sources: Sequence[Source],
        seeds: Sequence[int],
        data: Data,
        plan: Planner,
        sweep: SweepConfig,
        width: int = LEAST_WIDTH,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self.width = width
        self.trains_ahead = True
        self._name, self._id = study
        self._sources = {source.number: source for source in sources}
        heat, self._others = seeds[:HEAT], seeds[HEAT:]
        self._left = [(source, seed) for seed in heat for source in sources]
        finalists = len({source.entry for source in sources})
        self._asked = len(self._left) + finalists * len(self._others)
        self._begun = 0
        self._raced: list[LiveTrial] = []
        self._data = data
        self._plan = plan
        self._objective, self._maximize = sweep.objective, sweep.maximize
        self._tags = tags or {}

    def asked(self) -> int:
        """Target number of repeats."""
        return self._asked

    def left(self) -> int:
        """Number of repeats still to be started."""
        return self._asked - self._begun

    def next(self) -> Grant | None:
        """The next one; None between heat and final, until the whole heat has ended."""
        if not self._left and self._others and all(it.ended_at for it in self._raced):
            self._left = [(source, seed) for seed in self._others for source in self._finalists()]
            self._others = ()
        return BEGIN if self._left else None

    def close(self) -> str:
        """Nothing is suspended."""
        return ""

    def is_reached(self) -> bool:
        """Repeats have no target."""
        return False

    def most_epochs(self) -> int | None:
        """All of them."""
        return None

    def begun(self) -> Iterator[LiveTrial]:
        """None: each is started by `ask`."""
        return iter(())

    def ask(self) -> LiveTrial:
        """The next one: all trials from one seed, then from the next."""
        source, seed = self._left.pop(0)
        self._begun += 1
        id = f"{self._id}/{source.number}/{seed}"
        config = replace(source.config, seed=seed)
        if config.unshared:
            config = replace(config, unshared=id)
        plan = self._plan(config)
        record = record_of(
            config,
            self._data,
            plan.environment,
            id=id,
            name=f"trial {source.number} again, seed {seed}",
            started_at=time.time(),
            group=self._id,
            parent=self._id,
            tags={**self._tags, STUDY_TAG: self._name, CONFIRMS_TAG: str(source.number)},
        )
        repeat = Repeat(
            number=source.number,
            handle=optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING),
            config=config,
            plan=self._plan,
            label=f"{config.label} seed={seed}",
            stages=plan.stages,
            record=record,
            objective=self._objective,
            maximize=(self._maximize,),
            rule=_NO_CHECKPOINTS,
            goal=config.epochs,
        )
        self._raced.append(repeat)
        return repeat

    def _finalists(self) -> list[Source]:
        """The best of each value by the mean over the seeds of the heat; all if none race."""
        sign = -1 if self._maximize else 1
        losses = dict.fromkeys(self._sources, 0.0)
        for trial in self._raced:
            losses[trial.number] += math.inf if trial.value is None else sign * trial.value
        best: dict[Any, Source] = {}
        for number in sorted(losses, key=lambda it: losses[it]):
            best.setdefault(self._sources[number].entry, self._sources[number])
        return [*best.values()]


def _sources(frames: StudyFrames, top: int, uri: str) -> list[Source]:
    """The best trials with their configs, as MLflow has them; of each value that is compared.

    Of trials that share their best epoch the first counts: they have the same weights.
    """
    best = rank(frames).drop_duplicates([BEST + frames.objective, BEST_EPOCH])
    groups = best.groupby(frames.compare, sort=False) if frames.compare else best
    best = groups.head(top)
    if best.empty:
        raise SweepError(
            f"Study {frames.name!r} must have a complete or pruned trial to be confirmed, but has "
            "none; to resume it: python -m sweeps.run"
        )
    client = connect(uri)
    return [
        Source(
            number=int(row["trial"]),
            config=TrainConfig.from_json(read_file(client, row["run_id"], CONFIG_FILE)),
            value=row[frames.compare] if frames.compare else None,
        )
        for row in best.to_dict("records")
    ]

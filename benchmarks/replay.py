"""Replay this project's searches on the tables, through its own coordinator, without training.

    python benchmarks/replay.py digits --seeds 50
    python benchmarks/replay.py digits --sampler TPESampler --pruner PromotionPruner
    python benchmarks/replay.py digits --workers 8 --concurrent-trials 8
    python benchmarks/replay.py digits --compare optimizer
    python benchmarks/replay.py cifar10 --default-rates

Every study is a row of `results/ours.parquet`, with the columns of `rivals.py` and some more:
simulated and wall-clock seconds, and the share of trials none of whose epochs was new to the study.
The row is written as soon as the study ends, so that the same command goes on after a stop.

Coordinator, samplers and pruners are those of a sweep. Only what surrounds them is simulated: an
epoch is looked up in the table and takes a second of a clock that moves on when the coordinator
waits (give or take 5 %, so that the order of results varies between workers). The winner is the
trial with the lowest val_loss in any epoch, as for other tools. `epochs_requested` are the distinct
epochs that were trained; an epoch that a second trial shares is not trained again.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import tempfile
import time
import tomllib
import uuid
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from problems import PROBLEMS
from requested import Rows, Study, with_regrets
from tabulated import TABLES, Point, Tables, Tabulated

import sweeps.study.kinds
import sweeps.study.trials
from sweeps.engine.coordinator import Coordinator
from sweeps.engine.progress import Progress
from sweeps.engine.repeats import HEAT, ConfirmConfig
from sweeps.engine.workspace import Workspace
from sweeps.search.allocation.points import Point as PlannedPoint
from sweeps.search.allocation.points import Points
from sweeps.search.pruning import make_pruner
from sweeps.settings.config import SweepConfig
from sweeps.space import Space
from sweeps.space.file import default_text
from sweeps.study.lease import Lease
from sweeps.study.opening import LEAST_WIDTH, OpenStudy
from sweeps.study.trial import EPOCHS, REUSED, outcome_of
from sweeps.study.trials import Trials
from trainer.data import Data, Part
from trainer.metrics import EpochResult
from trainer.settings.config import TrainConfig
from trainer.stages.plan import Plan
from trainer.stages.stage import Trained
from trainer.tracking.record import DIVERGED, FAILED, CheckpointRule, RunRecord

RESULTS = Path(__file__).parent / "results"
SECONDS = (25, 50, 75, 100, 150, 200, 250, 300, 400, 600, 800, 1000)
"""Simulated seconds after which the incumbent is looked up."""

CLEAR = 0.02
"""Share by which best means of two optimizers must differ for their order to count."""

_IMAGES = {"cifar10": (640, 32, 32, 3), "digits": (1485, 8, 8, 1)}
_JITTER = 0.05  # of the seconds that an epoch takes


class Lookup:
    """The results of a table's epochs, as training would give them.

    Args:
        table: with the curves.
        batches: in an epoch.
    """

    def __init__(self, table: Tabulated, batches: int) -> None:
        self.table = table
        self._batches = batches
        self._columns = {
            name: table.column(name) for name in ("train_loss", "val_accuracy", "first_batch_loss")
        }

    def index(self, config: TrainConfig) -> int:
        """Position of a config in the table."""
        return self.table.index(
            Point(
                config.optimizer,
                float(f"{config.lr:.6g}"),
                config.step_size,
                round(config.gamma, 6),
            )
        )

    def result(self, config: TrainConfig, epoch: int, trained_for: str) -> EpochResult:
        """What epoch `epoch` of a config gives; of one that diverges a train_loss of infinity."""
        at = self.index(config), epoch - 1
        val_loss = float(self.table.val_loss[at])
        train_loss = float(self._columns["train_loss"][at]) if np.isfinite(val_loss) else np.inf
        return EpochResult(
            epoch=epoch,
            values={
                "running_loss": train_loss * self._batches,
                "train_loss": train_loss,
                "val_loss": val_loss,
                "val_accuracy": float(self._columns["val_accuracy"][at]),
                "lr": config.lr * config.gamma ** ((epoch - 1) // config.step_size),
                "epoch_seconds": 1.0,
                "images_per_second": 0.0,
                "first_batch_loss": float(self._columns["first_batch_loss"][at]),
            },
            state_digest="",
            trained_for=trained_for,
            worker="",
            ended_at=0.0,
        )


class Results:
    """A stage store in memory that has no states: none is needed where no checkpoint is kept."""

    def __init__(self) -> None:
        self._results: dict[str, EpochResult] = {}

    def result(self, key: str) -> EpochResult | None:
        """The result under `key`, or None."""
        return self._results.get(key)

    def put_result(self, key: str, result: EpochResult) -> None:
        """Keep it."""
        self._results[key] = result

    def has_state(self, key: str) -> bool:
        """Never."""
        return False

    def evict(self, keep: object) -> int:
        """Nothing to remove."""
        return 0


class NoDelivery:
    """A delivery to nowhere."""

    problem = ""

    def put(self, record: RunRecord) -> None:
        """Drop the record."""

    def is_whole(self, record: RunRecord) -> bool:
        """Nothing is left to deliver."""
        return True

    def state_keys(self) -> set[str]:
        """None are needed."""
        return set()


@dataclass(order=True)
class _Flight:
    """An epoch that a simulated worker trains until `ends`."""

    ends: float
    number: int
    land: Callable[[], None] = field(compare=False)


class Simulation:
    """An executor on a simulated clock; as the coordinator's view it learns when it is waited for.

    Args:
        lookup: gives the results.
        study: takes each trained epoch in the order in which they end.
        slots: workers.
        seed: of the jitter.
    """

    def __init__(self, lookup: Lookup, study: Study, slots: int, seed: int) -> None:
        self.slots = slots
        self.seconds = 0.0
        self.ended: list[float] = []
        self._lookup = lookup
        self._study = study
        self._random = random.Random(seed)
        self._flights: list[_Flight] = []
        self._submitted = 0

    def submit(self, fn: Callable[..., Any], *args: Any) -> Future[Any]:
        """Look the stage up; its future is done when the clock has come to its end."""
        assert isinstance(fn, partial)
        config, epoch, store = fn.args[:3]
        result = self._lookup.result(config, epoch, fn.keywords["trained_for"])
        future: Future[Any] = Future()

        def land() -> None:
            store.put_result(fn.keywords["expect"], result)
            self._study.record(self._lookup.index(config), result.val_loss)
            self.ended.append(self.seconds)
            future.set_result(Trained(result=result))

        ends = self.seconds + self._random.uniform(1 - _JITTER, 1 + _JITTER)
        self._flights.append(_Flight(ends, self._submitted, land))
        self._submitted += 1
        return future

    def stop(self) -> None:
        """Nothing is running."""

    def show(self, progress: Progress) -> None:
        """Let the clock move on to the next end, as the coordinator is about to wait for it."""
        if self._flights:
            flight = min(self._flights)
            self._flights.remove(flight)
            self.seconds = flight.ends
            flight.land()

    def say(self, line: str) -> None:
        """Nobody reads."""


def space_of(table: Tabulated, *, default: bool = False) -> str:
    """The table's space as the text of a space file; of the rates all, or those of the default."""
    ends = {name: (rates[0], rates[-1]) for name, rates in table.rates.items()}
    if default:
        space = tomllib.loads(default_text())
        for name, (low, high) in ends.items():
            lr = space["when"]["optimizer"].get(name, space)["lr"]
            ends[name] = max(low, lr["low"]), min(high, lr["high"])
    lines = [
        f"optimizer = {json.dumps(list(table.rates))}",
        "step_size = { low = 2, high = 20, step = 2 }",
        "gamma = { low = 0.1, high = 0.9, step = 0.2 }",
    ]
    for optimizer, (low, high) in ends.items():
        lines += [
            f"[when.optimizer.{optimizer}]",
            f'lr = {{ low = {low:g}, high = {high:g}, grid = "1-2-5" }}',
        ]
    return "\n".join(lines) + "\n"


def data_of(problem: str) -> Data:
    """Zeros in the shape of a problem's images, for the keys of stages."""
    shape = _IMAGES.get(problem, _IMAGES["cifar10"])
    train, val = (
        Part(images=np.zeros((n, *shape[1:]), np.uint8), labels=np.zeros(n, np.int64), digest=name)
        for name, n in (("train", shape[0]), ("val", shape[0] // 5))
    )
    return Data(name=problem, classes=10, train=train, val=val, test=None)


def replay(config: SweepConfig, lookup: Lookup, data: Data) -> dict[str, Any]:
    """Run a study; its row without regrets."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        directions=config.directions,
        pruner=make_pruner(config.pruner, config.pruner_args, config.train.epochs),
    )
    opened = OpenStudy(study, uuid.uuid4().hex, time.time(), Lease(study))
    requested = Study(lookup.table, trials=config.trials, horizon=0)
    simulation = Simulation(lookup, requested, config.workers, config.search_seed)
    began = time.perf_counter()
    simulated: Any = {
        "store": Results(),
        "executor": simulation,
        "tracker": None,
        "delivery": NoDelivery(),
    }
    work = Workspace(data=data, folder=Path(), **simulated)
    trials = Trials(config, opened, data, width=config.concurrent_trials or LEAST_WIDTH)
    coordinator = Coordinator(config, opened, trials, work, simulation)
    coordinator.resume()
    if not coordinator.run():
        raise RuntimeError(f"The study of seed {config.search_seed} stopped before its end.")
    seconds = time.perf_counter() - began
    trials = study.get_trials(deepcopy=False)
    outcomes = [outcome_of(trial) for trial in trials]
    if FAILED in outcomes:
        raise RuntimeError(f"A trial of seed {config.search_seed} failed.")
    requested.started = len(trials)
    row = requested.row()
    lost = sum(it.user_attrs[EPOCHS] == it.user_attrs[REUSED] for it in trials)
    row |= {
        "share_diverged": outcomes.count(DIVERGED) / len(trials),
        "share_taught_nothing": lost / len(trials),
        "workers": config.workers,
        "simulated_seconds": simulation.seconds,
        "wall_seconds": seconds,
    }
    row |= _over_time(requested, simulation.ended)
    if config.compare:
        row |= {"compared": json.dumps(_best_of_each(requested))}
    return row


def _over_time(study: Study, ended: list[float]) -> dict[str, int]:
    """The incumbents after so many simulated seconds, as positions in the table."""
    values = np.array([value for _, value in study.epochs])
    so_far = {it: max(1, int(np.searchsorted(ended, it, side="right"))) for it in SECONDS}
    return {f"incumbent_{it}s": study.epochs[values[:n].argmin()][0] for it, n in so_far.items()}


def _best_of_each(study: Study) -> dict[str, list[int]]:
    """Positions in the table of the configurations of each optimizer that race, the best first."""
    best: dict[str, dict[float, int]] = {}
    for index, value in study.epochs:  # of those with the same best epoch the first one
        if np.isfinite(value):
            name = study.table.points()[index].optimizer
            best.setdefault(name, {}).setdefault(value, index)
    raced: dict[str, list[int]] = {}
    for name, values in best.items():
        in_order = dict.fromkeys(values[value] for value in sorted(values))
        raced[name] = [*in_order][: ConfirmConfig.top]
    return raced


def judged(rows: pd.DataFrame, table: Tabulated) -> pd.DataFrame:
    """Rows of a table with what the table knows of their incumbents and comparisons."""
    rows = with_regrets(rows, table)
    for kind, regrets in table.regrets.items():
        for seconds in SECONDS:
            rows[f"{kind}_{seconds}s"] = regrets[rows[f"incumbent_{seconds}s"].to_numpy(int)]
    if "compared" in rows:
        for at, text in rows["compared"].dropna().items():
            for name, value in _order(json.loads(text), table).items():
                rows.loc[at, name] = value
    return rows


def _order(raced: Mapping[str, list[int]], table: Tabulated) -> dict[str, Any]:
    """The optimizers by what the configuration that wins the race of each gives on unseen seeds."""
    regrets, heat = table.regrets["unseen"], table.regrets_on(HEAT)
    found = {
        name: float(regrets[min(indices, key=lambda it: heat[it])])
        for name, indices in raced.items()
    }
    true = dict.fromkeys(table.rates, np.inf)
    for point, regret in zip(table.points(), regrets, strict=True):
        true[point.optimizer] = min(true[point.optimizer], float(regret))
    right_order = sorted(true, key=lambda it: true[it])
    clear = [
        (better, worse)
        for better, worse in combinations(right_order, 2)
        if (1 + true[worse]) / (1 + true[better]) - 1 > CLEAR
    ]
    right = [found.get(better, np.inf) < found.get(worse, np.inf) for better, worse in clear]
    return {
        "order": ", ".join(sorted(found, key=lambda it: found[it])),
        "true_order": ", ".join(right_order),
        "clear_pairs": len(clear),
        "clear_pairs_right": sum(right),
    }


class SharedPoints(Points):
    """Points made once per process: only their nodes are numbered anew, as the study meets them.

    Args:
        shared: where they are made.
        fixed: as of `shared`.
    """

    def __init__(self, shared: Points, fixed: Mapping[str, Any] | None) -> None:
        super().__init__(shared._space, shared._base, shared._images, fixed)
        self._shared = shared
        self._numbers: dict[int, int] = {}

    def draw(self, seed: int) -> PlannedPoint | None:
        """As a study of its own draws it."""
        if seed not in self._drawn:
            made = self._shared.draw(seed)
            self._drawn[seed] = made and self._renumbered(made)
        return self._drawn[seed]

    def _point(
        self, params: Mapping[str, Any], distributions: Mapping[str, Any], config: TrainConfig
    ) -> PlannedPoint:
        return self._renumbered(
            self._shared.of(params) or self._shared._point(params, distributions, config)
        )

    def _renumbered(self, point: PlannedPoint) -> PlannedPoint:
        known = self._made.get(point.key)
        if known is None:
            numbers = self._numbers
            nodes = tuple(numbers.setdefault(node, len(numbers)) for node in point.nodes)
            known = self._made[point.key] = replace(point, nodes=nodes)
        return known


def share_what_is_pure() -> None:
    """Have plans and points, which depend on configs alone, made once per process."""
    make_plan = sweeps.study.trials.plan_of
    plans: dict[str, Plan] = {}
    points: dict[str, Points] = {}

    def plan(data: Data, config: TrainConfig) -> Plan:
        key = config.to_json()
        if key not in plans:
            plans[key] = make_plan(data, config)
        return plans[key]

    def points_of(
        space: Space, base: TrainConfig, images: int, fixed: Mapping[str, Any] | None = None
    ) -> Points:
        key = str(fixed)
        if key not in points:
            points[key] = Points(space, base, images, fixed)
        return SharedPoints(points[key], fixed)

    sweeps.study.trials.plan_of = plan
    sweeps.study.kinds.Points = points_of


def name_of(config: SweepConfig, label: str) -> str:
    """The search, for people."""
    words = [config.sampler, config.pruner]
    words += [f"{name}={value}" for name, value in config.pruner_args.items()]
    words += [f"{config.trials} trials"] if config.trials != 50 else []
    width = config.concurrent_trials
    words += [f"{width} at a time"] if width != LEAST_WIDTH else []
    words += [f"{config.workers} workers"] if config.workers > 1 else []
    words += [f"compare {config.compare}"] if config.compare else []
    words += [label] if label else []
    return "sweeps " + ", ".join(words)


def _argument(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _version() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"sweeps {done.stdout.strip() or 'unknown'}"


def main() -> None:
    """Replay what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("problem")
    parser.add_argument("--seeds", type=int, default=50, help="search seeds 0, 1, ...")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--concurrent-trials", type=int, default=4)
    parser.add_argument("--sampler", default="")
    parser.add_argument("--pruner", default="")
    parser.add_argument(
        "--pruner-arg", type=_argument, action="append", default=[], metavar="NAME=VALUE"
    )
    parser.add_argument("--compare", default="", metavar="NAME")
    parser.add_argument(
        "--default-rates", action="store_true", help="of the table's those in the default space"
    )
    parser.add_argument("--label", default="", help="added to the search's name")
    parser.add_argument("--tables", type=Path, default=TABLES)
    parser.add_argument("--results", type=Path, default=RESULTS / "ours.parquet")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    share_what_is_pure()
    version = _version()
    tables = Tables(given.problem, given.tables)
    rows = Rows(given.results, tables, judged)
    data = data_of(given.problem)
    base = PROBLEMS.get(given.problem, PROBLEMS["cifar10"]).base
    batches = -(-len(data.train.labels) // base.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        space = Path(folder) / "space.toml"
        space.write_text(space_of(tables.of(0), default=given.default_rates))
        lookups = cache(lambda table: Lookup(table, batches))
        for seed in range(given.seeds):
            config = SweepConfig(
                train=base,
                space=str(space),
                trials=given.trials,
                study="replay",
                sampler=given.sampler,
                pruner=given.pruner,
                pruner_args=dict(given.pruner_arg),
                search_seed=seed,
                workers=given.workers,
                concurrent_trials=given.concurrent_trials,
                checkpoints=CheckpointRule(best=False, last=False),
                compare=given.compare,
            )
            label = given.label or ("default rates" if given.default_rates else "")
            name = name_of(config, label)
            if rows.has(name, seed):
                continue
            identity = {"rival": name, "version": version, "search_seed": seed}
            shown = rows.add(identity | replay(config, lookups(tables.of(seed)), data))
            print(
                f"{given.problem} {name} seed {seed}: {shown['epochs_requested']} epochs, regret "
                f"{shown['regret_searched']:.3f}, unseen {shown['regret_unseen']:.3f}, "
                f"{shown['wall_seconds']:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()

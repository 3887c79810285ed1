"""Commands to kill, the kills that a seed draws, and all that must be the same after them."""

from __future__ import annotations

import csv
import hashlib
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import chdir
from dataclasses import astuple, dataclass, fields
from multiprocessing import Process
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from processes import Ended, call, finish, start
from test_run import WHEN, WHERE, table

from sweeps.doctor.checkup import check as checkup
from sweeps.report.reading.frames import load_study
from sweeps.settings.execution import Places
from sweeps.study.journal import journal_storage
from trainer.killpoints import VARIABLE
from trainer.stages.store import StageStore
from trainer.tracking.connection import connect, search_runs
from trainer.tracking.names import STATE_TAG, STUDY_TAG

FIRST_NEEDED = ["trained_epochs", "reused_epochs", "retrained_epochs", "reused", "trained_for"]
"""Which trial was the first to need an epoch: only this may depend on the number of workers."""

_WORDS = (
    "--study s --trials 6 --epochs 3 --split train --limit 20 --batch-size 10 --device cpu "
    "--search-seed 1 --concurrent-trials 4 --no-promote"
)
_POINTS = ("lr=0.01,optimizer=SGD,step_size=1,gamma=0.5", "lr=0.001,optimizer=Adam")
_IN_WORKERS = ("state-written", "result-written")
_TICKS = os.sysconf("SC_CLK_TCK")
_SETTLE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that is killed.

    Attributes:
        words: beside those of the search.
        begin: what the folder holds before it: a name in `Bench.folders`.
        points: the kill points that it passes, and how often.
        module: what is run.
        has_workers: whether it trains.
    """

    words: tuple[str, ...] = ()
    begin: str
    points: Mapping[str, int]
    module: str = "sweeps.run"
    has_workers: bool = True


_TRAINING = {
    **{"state-written": 12, "result-written": 12, "states-kept": 10, "record-appended": 80},
    **{"trial-asked": 6, "trial-suggested": 6, "epochs-granted": 7, "epoch-reported": 12},
    **{"trial-decided": 6, "trial-told": 6, "run-created": 7, "numbers-logged": 15},
    **{"dataset-logged": 6, "files-logged": 7},
    **{"checkpoint-logged": 10, "tags-set": 8, "run-ended": 6, "page-logged": 1},
}
COMMANDS = {
    "search": Command(
        begin="empty",
        words=tuple(f"--enqueue={point}" for point in _POINTS),
        points={**_TRAINING, "experiment-created": 1, "study-closed": 1, "point-enqueued": 2},
    ),
    "more trials": Command(
        begin="searched",
        words=("--trials", "8", *(f"--enqueue={point}" for point in _POINTS)),
        points={"run-reopened": 1, "study-closed": 1, "record-appended": 25, "tags-set": 2},
    ),
    "data": Command(
        begin="nothing",
        words=("--dataset", "digits", "--trials", "2"),
        points={"database-made": 1, "array-written": 4, "arrays-described": 1},
    ),
    "confirm": Command(
        begin="searched",
        words=("--confirm", "2", "--repeats", "3", *(f"--enqueue={point}" for point in _POINTS)),
        points={
            **{"record-appended": 3, "state-written": 12, "result-written": 12, "run-created": 6},
            **{"numbers-logged": 10, "tags-set": 6, "run-ended": 6},
        },
    ),
    "promote": Command(
        begin="searched",
        module="sweeps.promote.__main__",
        has_workers=False,
        points={
            **{"test-measured": 1, "model-created": 1, "model-copied": 1, "model-logged": 1},
            **{"outputs-logged": 1, "name-registered": 1, "version-registered": 1, "alias-set": 1},
        },
    ),
    "fresh": Command(
        begin="killed",
        words=("--fresh",),
        points={
            **{"study-copied": 1, "study-set-aside": 1, "record-appended": 60},
            **{"run-interrupted": 2, "run-closed": 2, "run-renamed": 3},
        },
    ),
    "tags": Command(
        begin="searched",
        words=("--tag", "team=vision", *(f"--enqueue={point}" for point in _POINTS)),
        points={"run-tagged": 7},
    ),
}
PLACES = [(name, point) for name, command in COMMANDS.items() for point in command.points]


@dataclass(frozen=True)
class Kill:
    """One kill.

    Attributes:
        victim: "group", "coordinator" or "worker".
        point: the kill point, as `SWEEPS_KILL_AT` has it; "": none.
        moment: else the share of the undisturbed command's CPU time after which it comes.
    """

    victim: str
    point: str = ""
    moment: float = 0.0

    def __str__(self) -> str:
        return self.point or f"{self.moment:.0%}"


@dataclass(frozen=True)
class Case:
    """What a seed draws.

    Attributes:
        seed: of the draw.
        command: a name in `COMMANDS`.
        workers: number of worker processes; 0: the command trains by itself.
        kills: in their order.
        executed: whether each start is a new interpreter, whose workers are spawned.
        without_fresh: whether the command is repeated without `--fresh`.
    """

    seed: int
    command: str
    workers: int
    kills: tuple[Kill, ...]
    executed: bool = False
    without_fresh: bool = False

    @property
    def is_strict(self) -> bool:
        """Whether it is determined which trial first needs an epoch."""
        return self.workers < 2 and self.command != "fresh"  # a killed one may have trained it

    def __str__(self) -> str:
        how = "new interpreters, " if self.executed else ""
        kills = ", then ".join(f"{it.victim} at {it}" for it in self.kills)
        return f"seed {self.seed}: {self.command}, {how}{self.workers} workers: kill {kills}"


def case_of(seed: int) -> Case:
    """An even seed kills first at the next of all kill points, an odd one at a random moment."""
    draw = random.Random(seed)
    name, point = PLACES[seed // 2 % len(PLACES)]
    if seed % 2:
        name, point = draw.choice(sorted(COMMANDS)), ""
    command = COMMANDS[name]
    workers = draw.choice([0, 1, 2, 4]) if command.has_workers else 0
    kills = [_kill(draw, command, workers, point)]
    for _ in range(draw.choice([0, 1, 2])):
        kills.append(_kill(draw, command, workers, "", 0.6))
    return Case(
        seed=seed,
        command=name,
        workers=workers,
        kills=tuple(kills),
        executed=seed % 50 == 49,
        without_fresh=draw.random() < 0.5,
    )


def _kill(
    draw: random.Random, command: Command, workers: int, point: str, latest: float = 1.0
) -> Kill:
    if point:
        passed_by = workers if point in _IN_WORKERS and workers else 1  # each counts for itself
        most = max(1, command.points[point] // (2 * passed_by - 1))
        return Kill("group", f"{point}@{draw.randint(1, most)}")
    victims = ["group", "coordinator", "worker"] if workers else ["group"]
    return Kill(draw.choice(victims), moment=draw.uniform(0.01, latest))


class Bench:
    """A working folder that is brought back into one of a few states, to run commands in.

    Args:
        root: a folder of its own; the working folder has always the same path, as MLflow keeps it.
        database: of MLflow, without runs.
        sample: the images.
    """

    def __init__(self, root: Path, database: Path, sample: Path) -> None:
        self.root, self.folder, self._sample = root, root / "work", sample
        self.folder.mkdir()
        self._keep("nothing")
        shutil.copy(database, self.folder / "mlflow.db")
        self._keep("empty")
        ended = self.run("search")
        assert ended.status == 0, ended.output
        assert "suspended after" in ended.output
        assert "resumes, to epoch" in ended.output
        self._keep("searched")
        self.restore("empty")
        assert self.run("search", **{VARIABLE: "numbers-logged@7"}).status == -signal.SIGKILL
        self._keep("killed")

    def _keep(self, name: str) -> None:
        shutil.copytree(self.folder, self.root / name, symlinks=True)

    def restore(self, name: str) -> None:
        """Bring the folder back into this state."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.root / name, self.folder, symlinks=True)

    def start(
        self,
        command: str,
        workers: int = 0,
        *,
        executed: bool = False,
        without: str = "",
        **environment: str,
    ) -> Process:
        """Begin a command in the folder as it is."""
        made = COMMANDS[command]
        words = ["--study", "s"]
        if made.has_workers:
            executor = ["local", "--workers", str(workers)] if workers else ["inline"]
            words = [*_WORDS.split(), "--dataset", str(self._sample), "--executor", *executor]
        words += [word for word in made.words if word != without]
        forked = bool(workers) and not executed
        return start(
            self.folder, words, module=made.module, forked=forked, executed=executed, **environment
        )

    def run(self, command: str, workers: int = 0, **environment: str) -> Ended:
        """Run it to its end."""
        return finish(self.folder, self.start(command, workers, **environment))

    def undisturbed(self, command: str, workers: int) -> tuple[float, dict[str, pd.DataFrame]]:
        """Seconds of CPU time that a command takes which nobody kills, and what it leaves."""
        self.restore(COMMANDS[command].begin)
        process = self.start(command, workers)
        most = 0.0
        while process.is_alive():
            most = max(most, cpu_seconds(process))
            process.join(0.02)
        ended = finish(self.folder, process)
        assert ended.status == 0, ended.output
        return most, found(self.folder)


def members(group: int) -> Iterator[tuple[int, int, list[str]]]:
    """The processes of a group: pid, pid of the parent, and the words of /proc/PID/stat."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[2]) == group and words[0] not in "ZX":
            yield int(path.parent.name), int(words[1]), words


def cpu_seconds(process: Process) -> float:
    """CPU time that the group of a process has taken."""
    assert process.pid is not None
    return sum(int(it[2][11]) + int(it[2][12]) for it in members(process.pid)) / _TICKS


def workers_of(process: Process, *, executed: bool) -> list[int]:
    """The pids of its workers."""
    group = process.pid
    assert group is not None
    if not executed:  # a fork server stands between
        return sorted(pid for pid, parent, _ in members(group) if group not in (pid, parent))
    return sorted(pid for pid, _, _ in members(group) if b"spawn_main" in _cmdline(pid))


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def strike(process: Process, kill: Kill, seconds: float, case: Case) -> bool:
    """Wait for the moment of a kill, and kill; False if the process ended before."""
    assert process.pid is not None
    if kill.point:
        process.join(180)
        assert process.exitcode is not None, "the command must end or be killed"
        return process.exitcode == -signal.SIGKILL
    due = cpu_seconds(process) + kill.moment * seconds
    while cpu_seconds(process) < due and process.is_alive():
        process.join(0.01)
    pids = [process.pid]
    while kill.victim == "worker" and process.is_alive():
        if pids := workers_of(process, executed=case.executed):
            break
        process.join(0.01)
    if not process.is_alive():
        return False
    if kill.victim == "group":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        os.kill(random.Random(case.seed).choice(pids), signal.SIGKILL)
    if kill.victim != "worker":
        process.join()
    return True


def run_case(bench: Bench, case: Case, seconds: float) -> list[bool]:
    """Kill as the case says, repeat the command to its end, and say which kills hit."""
    bench.restore(COMMANDS[case.command].begin)
    hits, process, groups = [], None, []
    without = ""
    for kill in case.kills:
        if process is None or not process.is_alive():
            process = bench.start(
                case.command,
                case.workers,
                executed=case.executed,
                without=without,
                **({VARIABLE: kill.point} if kill.point else {}),
            )
            groups.append(process.pid)
        hits.append(strike(process, kill, seconds, case))
        without = (
            "--fresh"
            if case.without_fresh and case.command == "fresh" and _has_begun(bench.folder)
            else ""
        )
    assert process is not None
    if process.is_alive():
        ended = finish(bench.folder, process)
        assert ended.status == 0, ended.output
    process = bench.start(case.command, case.workers, executed=case.executed, without=without)
    ended = finish(bench.folder, process)
    assert ended.status == 0, ended.output
    deadline = time.monotonic() + _SETTLE_SECONDS
    while left := [pid for group in groups for pid, _, _ in members(group or 0)]:
        assert time.monotonic() < deadline, f"processes {left} must have ended"
        time.sleep(0.1)
    return hits


def _has_begun(folder: Path) -> bool:
    """Whether the old study was set aside, so that a repetition need not do it again.

    It is copied under another name first; a study that was begun anew is younger than that copy.
    """
    storage = _storage(folder)
    ids = {
        name: storage.get_study_id_from_name(name) for name in optuna.get_all_study_names(storage)
    }
    return "s" not in ids or ids["s"] == max(ids.values()) > min(ids.values())


def found(folder: Path) -> dict[str, pd.DataFrame]:
    """See `_found`; MLflow would take another database of the same name for the one it knows."""
    return call(_found, folder)


def _found(folder: Path) -> dict[str, pd.DataFrame]:
    """What MLflow, Optuna and the stage store have of study s, without ids, times and places.

    Raises:
        AssertionError: they do not agree with each other.
    """
    check(folder)
    trials, curves = table(folder)
    repeats = load_study("s", f"sqlite:///{folder}/mlflow.db").repeats
    repeats = repeats.drop(columns=[*WHEN, *WHERE], errors="ignore")
    everything = {"trials": trials, "curves": curves, "repeats": repeats}
    return everything | {
        "optuna": _optuna(folder),
        "stages": _stages(folder),
        "models": _models(folder),
        "tags": _tags(folder),
        "checkpoints": _checkpoints(folder),
    }


def _storage(folder: Path) -> Any:
    (journal,) = folder.glob("mlruns/studies/*.journal")
    return journal_storage(journal)


def _optuna(folder: Path) -> pd.DataFrame:
    study = optuna.load_study(study_name="s", storage=_storage(folder))
    rows = [
        {
            "trial": it.number,
            "state": it.state.name,
            "values": it.values,
            "params": it.params,
            "reported": it.intermediate_values,
            "granted": it.user_attrs.get("granted"),
            "epochs": it.user_attrs.get("epochs"),
            "constraints": it.constraints,
        }
        for it in study.get_trials()
    ]
    return pd.DataFrame(rows).map(str)


def _stages(folder: Path) -> pd.DataFrame:
    rows = []
    store = StageStore(folder / "mlruns" / "stages")
    for path in sorted(folder.glob("mlruns/stages/results/*/*.json")):
        result = store.result(path.stem)
        assert result is not None
        rows.append(
            {
                "key": path.stem,
                "trained_for": result.trained_for.partition("/")[2],
                "epoch": result.epoch,
                "val_loss": result.val_loss,
                "state_digest": result.state_digest,
            }
        )
    return pd.DataFrame(rows)


def _models(folder: Path) -> pd.DataFrame:
    client = connect(f"sqlite:///{folder}/mlflow.db")
    rows = []
    for version in client.search_model_versions("name='s'"):
        model = client.get_logged_model(version.source.removeprefix("models:/"))
        rows.append(
            {
                "version": version.version,
                "aliases": str(client.get_model_version("s", version.version).aliases),
                "status": version.status,
                "trial": version.tags["sweep.trial"],
                "model": str(model.status),
            }
        )
    experiment = client.get_experiment_by_name("sweeps")
    assert len(client.search_logged_models([experiment.experiment_id])) == len(rows)
    return pd.DataFrame(rows)


def _tags(folder: Path) -> pd.DataFrame:
    """The user's tag on the runs of study s."""
    client = connect(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("sweeps")
    runs = search_runs(client, experiment.experiment_id, f"tags.`{STUDY_TAG}` = 's'")
    rows = [(run.info.run_name, run.data.tags.get("team", "")) for run in runs]
    return pd.DataFrame(sorted(rows), columns=["run", "team"])


def _checkpoints(folder: Path) -> pd.DataFrame:
    """The checkpoints of the trials of study s, by content."""
    frame = load_study("s", f"sqlite:///{folder}/mlflow.db").trials
    rows = [
        (row["trial"], path.name, hashlib.sha256(path.read_bytes()).hexdigest())
        for _, row in frame.iterrows()
        for path in sorted(folder.glob(f"mlruns/sweeps/{row['run_id']}/artifacts/checkpoints/*"))
    ]
    return pd.DataFrame(rows, columns=["trial", "file", "sha256"])


def check(folder: Path) -> None:
    """The doctor finds nothing, all trials of study s have ended, and no epoch is twice."""
    uri = f"sqlite:///{folder}/mlflow.db"
    with chdir(folder):
        store = StageStore(folder / "mlruns" / "stages")
        studies, findings = checkup(Places(tracking_uri=uri), uri, store)
    assert not findings
    ids = [it.study.user_attrs.get("id") for it in studies]
    assert len({*ids}) == len(ids), ids
    client = connect(uri)
    experiment = client.get_experiment_by_name("sweeps")
    for run in search_runs(client, experiment.experiment_id, f"tags.`{STUDY_TAG}` = 's'"):
        tags = run.data.tags
        assert tags[STATE_TAG] in ("complete", "pruned", "diverged", "failed"), tags
    with sqlite3.connect(folder / "mlflow.db") as database:
        twice = database.execute(
            "SELECT run_uuid, key, step, COUNT(*) FROM metrics GROUP BY 1, 2, 3 HAVING COUNT(*) > 1"
        ).fetchall()
    twice = [row for row in twice if not row[1].startswith("best_")]
    assert not twice
    assert not [*folder.glob("dataset/**/*.tmp")]


def assert_same(
    got: dict[str, pd.DataFrame], wanted: dict[str, pd.DataFrame], *, strict: bool
) -> None:
    """The same to the bit, but, unless `strict`, for which trial first needed a shared epoch."""
    for name, frame in wanted.items():
        drop = [] if strict else FIRST_NEEDED
        pd.testing.assert_frame_equal(
            got[name].drop(columns=drop, errors="ignore"),
            frame.drop(columns=drop, errors="ignore"),
            obj=name,
        )


@dataclass(frozen=True)
class Row:
    """One kill of a case, and how the case ended, as a line of the table."""

    seed: int
    number: int
    command: str
    workers: int
    start: str
    victim: str
    fault: str
    result: str


def write_rows(path: Path, case: Case, hits: list[bool], result: str) -> None:
    """Append the kills of a case to the table."""
    begun = "new interpreter" if case.executed else "forked"
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if not file.tell():
            writer.writerow([it.name for it in fields(Row)])
        for number, kill in enumerate(case.kills):
            hit = hits[number] if number < len(hits) else True
            row = Row(
                seed=case.seed,
                number=number + 1,
                command=case.command,
                workers=case.workers,
                start=begun,
                victim=kill.victim,
                fault=str(kill),
                result=result if hit else "ended before",
            )
            writer.writerow(astuple(row))

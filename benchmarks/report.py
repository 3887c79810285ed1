"""How long a study takes to be read into its two frames, and how much memory.

    python benchmarks/report.py [--trials 10000] [--epochs 20] [--small 200] [--repeats 3]

A study is made in a database of MLflow's, as a sweep would log it, and read by processes of their
own: directly from the file, and, a smaller one, by MLflow's public client for comparison.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from sweeps.report.reading.frames import EXPERIMENT, OBJECTIVE_TAG, TRIALS_TAG
from sweeps.report.reading.runs import NAMES
from trainer.settings.config import TrainConfig
from trainer.tracking.connection import connect
from trainer.tracking.names import (
    EPOCH_ENDED_AT,
    EPOCH_REUSED,
    EPOCH_WORKER,
    GROUP_TAG,
    RUN_TAG,
    STATE_TAG,
    STUDY_TAG,
    TRIAL_TAG,
)
from trainer.tracking.record import params_of

START = 1_760_000_000_000
READ = """
import json, sys, time
from pathlib import Path
from sweeps.report.reading.frames import load_study, read_study
from trainer.tracking.connection import connect
connect(sys.argv[1]).search_experiments()
began = time.perf_counter()
study = load_study(None, sys.argv[1]) if sys.argv[2] == "file" else read_study(connect(sys.argv[1]))
seconds = time.perf_counter() - began
status = Path('/proc/self/status').read_text()  # getrusage has the peak of whoever started us
megabytes = int(status.partition('VmHWM:')[2].split()[0]) / 1e3
print(json.dumps([seconds, megabytes, len(study.trials), len(study.curves)]))
"""


def make(folder: Path, trials: int, epochs: int) -> str:
    """A database with a study of so many trials; its URI."""
    database = folder / f"{trials}.db"
    uri = f"sqlite:///{database}"
    client = connect(uri)
    experiment = int(client.create_experiment(EXPERIMENT, str(folder / "artifacts")))
    group = {GROUP_TAG: "g", STUDY_TAG: "made", "mlflow.user": "me"}
    rows: dict[str, list[dict[str, object]]] = {}

    def add(table: str, **row: object) -> None:
        rows.setdefault(table, []).append(row)

    def add_run(id: str, started: int, tags: dict[str, str]) -> None:
        add(
            "runs",
            run_uuid=id,
            name=id,
            user_id="me",
            source_type="LOCAL",
            status="FINISHED",
            start_time=started,
            end_time=started + 9000,
            lifecycle_stage="active",
            experiment_id=experiment,
            artifact_uri=str(folder / id),
        )
        for key, value in (group | tags | {RUN_TAG: id, STATE_TAG: "complete"}).items():
            add("tags", key=key, value=value, run_uuid=id)

    add_run("p" * 32, START, {TRIALS_TAG: str(trials), OBJECTIVE_TAG: "val_loss"})
    for trial in range(trials):
        id = f"{trial:032}"
        add_run(id, START + 10 * trial, {TRIAL_TAG: str(trial)})
        for key, value in params_of(TrainConfig(lr=0.001 * (1 + trial % 50))).items():
            add("params", key=key, value=value, run_uuid=id)
        for epoch in range(1, epochs + 1):
            whole = {EPOCH_ENDED_AT: START / 1e3 + epoch, EPOCH_REUSED: 0.0, EPOCH_WORKER: 7.0}
            for at, key in enumerate(NAMES):
                row = {
                    "key": key,
                    "value": whole.get(key, 1.0 / (trial + epoch + at + 1)),
                    "timestamp": START + 10 * trial + epoch,
                    "run_uuid": id,
                    "step": epoch,
                    "is_nan": False,
                }
                add("metrics", **row)
                if epoch == epochs:
                    add("latest_metrics", **row)
        if trial % 1000 == 999 or trial == trials - 1:
            _insert(database, rows)
            rows.clear()
    return uri


def _insert(database: Path, rows: dict[str, list[dict[str, object]]]) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, values in rows.items():
            names = ", ".join(values[0])
            places = ", ".join(f":{name}" for name in values[0])
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", values)


def read(uri: str, way: str, repeats: int) -> list[tuple[float, float]]:
    """Seconds and peak megabytes of each of the repeats, in processes of their own."""
    measured = []
    for _ in range(repeats):
        command = [sys.executable, "-c", READ, uri, way]
        seconds, megabytes, *_ = json.loads(subprocess.check_output(command, text=True))
        measured.append((seconds, megabytes))
    return measured


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--small", type=int, default=200, help="trials that the client reads, too")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uri = make(folder, args.trials, args.epochs)
        measured = read(uri, "file", args.repeats)
        seconds, megabytes = zip(*measured, strict=True)
        print(
            f"{args.trials:,} trials x {args.epochs} epochs from the file: "
            f"{statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f}), "
            f"{max(megabytes):,.0f} MB at most, n = {args.repeats}"
        )
        small = make(folder, args.small, args.epochs)
        ways = [read(small, way, args.repeats) for way in ("client", "file")]
        pairs = zip(*ways, strict=True)
        ratios = [client[0] / file[0] for client, file in pairs]
        print(
            f"{args.small:,} trials: the client takes {statistics.median(ratios):.0f} times as "
            f"long ({min(ratios):.0f} to {max(ratios):.0f}), n = {args.repeats}"
        )


if __name__ == "__main__":
    main()

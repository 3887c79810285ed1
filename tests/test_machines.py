"""docs/machines.md is true: a sweep through Ray, PostgreSQL, S3 and MLflow's server at once."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pandas as pd
import pytest
from processes import finish, start
from services import MACHINES, documented_mlflow, objects, postgres

pytest.importorskip("ray")

from clusters import ray_cluster, until

from sweeps.report.reading.frames import load_study
from trainer.killpoints import VARIABLE

pytestmark = pytest.mark.slow

WHEN_AND_WHERE = [
    "started_at", "seconds", "ended_at", "epoch_seconds", "images_per_second", "worker", "run_id",
]  # fmt: skip


def small_sweep(sample: Path) -> list[str]:
    """A sweep that suspends trials, of which four are in training at a time."""
    words = (
        f"--trials 6 --epochs 3 --dataset {sample} --limit 50 --batch-size 5 --device cpu "
        "--concurrent-trials 4 --study mine --no-promote"
    )
    return words.split()


def table(uri: str) -> list[pd.DataFrame]:
    """What MLflow shows of trials and epochs, but for when and where they were trained."""
    study = load_study("mine", uri)
    return [it.drop(columns=WHEN_AND_WHERE, errors="ignore") for it in (study.trials, study.curves)]


def documented_sweep(ray: str, database: str, tracking: str) -> list[str]:
    """The arguments of the sweep for which no folder matters, with the addresses of this test."""
    (line,) = re.findall(r"^    python -m sweeps.run (.*--storage .*)$", MACHINES.read_text(), re.M)
    for name, address in (
        ("10.0.0.1:6379", ray),
        ("postgresql://db", database),
        ("http://10.0.0.1:5000", tracking),
    ):
        assert name in line
        line = line.replace(name, address)
    return line.split()


def stored(bucket: str) -> int:
    """How many epochs have been stored in a bucket."""
    return sum(key.startswith("stages/results/") for key in objects(bucket))


def test_a_sweep_whose_coordinator_and_nodes_die_gives_the_table_of_one_that_ran_through(
    s3: str, sample: Path, empty_database: Path, tmp_path: Path
) -> None:
    """It resumes in another folder from its addresses, while a node is killed and another joins.

    The one that ran through had local files alone; this one has none.
    """
    through, one, two, server = (tmp_path / name for name in ("through", "one", "two", "server"))
    for folder in (through, one, two, server):
        folder.mkdir()
    (through / "mlflow.db").write_bytes(empty_database.read_bytes())
    other = start(through, [*small_sweep(sample), "--executor", "inline"])
    with (
        postgres("mlflow", "optuna") as database,
        documented_mlflow(server, database) as tracking,
        ray_cluster(2) as cluster,
    ):
        words = [*small_sweep(sample), *documented_sweep(cluster.address, database, tracking)]
        inline = [*words, "--executor", "inline"]
        killed = finish(one, start(one, inline, **{VARIABLE: "epoch-reported@4"}))
        assert killed.status == -signal.SIGKILL, killed.output
        before = stored("bucket")
        process = start(two, words)
        until(lambda: stored("bucket") > before or not process.is_alive())
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        cluster.add_node(num_cpus=1)
        for folder, begun in ((two, process), (through, other)):
            ended = finish(folder, begun)
            assert ended.status == 0, ended.output
        tables = table(tracking), table(f"sqlite:///{through}/mlflow.db")
    for got, wanted in zip(*tables, strict=True):
        pd.testing.assert_frame_equal(got, wanted)
    assert {"mlflow", "stages"} <= {key.split("/")[0] for key in objects("bucket")}
    for folder in (one, two):
        assert not [it for end in ("db", "journal", "pt") for it in folder.rglob(f"*.{end}")]

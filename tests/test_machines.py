"""docs/machines.md is true: a sweep through Ray, PostgreSQL, S3 and MLflow's server at once."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pandas as pd
import pytest
from processes import sweep
from services import MACHINES, documented_mlflow, objects, postgres

pytest.importorskip("ray")

from clusters import ray_cluster, small_sweep, table

from trainer.killpoints import VARIABLE


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


def test_a_sweep_that_was_killed_is_continued_in_another_folder_from_its_addresses(
    s3: str, sample: Path, empty_database: Path, tmp_path: Path
) -> None:
    """Its table is that of one with local files that ran through; none of its own are local."""
    for name in ("through", "one", "two", "server"):
        (tmp_path / name).mkdir()
    (tmp_path / "through" / "mlflow.db").write_bytes(empty_database.read_bytes())
    ended = sweep(tmp_path / "through", [*small_sweep(sample), "--executor", "inline"])
    assert ended.status == 0, ended.output
    with (
        postgres("mlflow", "optuna") as database,
        documented_mlflow(tmp_path / "server", database) as tracking,
        ray_cluster(2) as cluster,
    ):
        words = [*small_sweep(sample), *documented_sweep(cluster.address, database, tracking)]
        killed = sweep(tmp_path / "one", words, **{VARIABLE: "epoch-reported@4"})
        assert killed.status == -signal.SIGKILL, killed.output
        ended = sweep(tmp_path / "two", words)
        assert ended.status == 0, ended.output
        tables = table(tracking), table(f"sqlite:///{tmp_path}/through/mlflow.db")
    for got, wanted in zip(*tables, strict=True):
        pd.testing.assert_frame_equal(got, wanted)
    assert {key.split("/")[0] for key in objects("bucket")} >= {"mlflow", "stages"}
    for name in ("one", "two"):
        assert not list((tmp_path / name).rglob("*.db"))
        assert not list((tmp_path / name).rglob("*.journal"))
        assert not (tmp_path / name / "mlruns" / "stages").exists()

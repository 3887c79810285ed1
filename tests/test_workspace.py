"""What each start opens: how many workers a machine has room for."""

import os
from pathlib import Path

import pytest

from sweeps.engine.workspace import cores


@pytest.mark.parametrize(
    ("cgroups", "files", "most"),
    [
        ("0::/pod/app", {"pod/app/cpu.max": "max 100000", "pod/cpu.max": "400000 100000"}, 4),
        ("0::/pod/app", {"pod/app/cpu.max": "150000 100000", "pod/cpu.max": "max 100000"}, 1),
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        (
            "3:memory:/a\n2:cpu,cpuacct:/of/the/host",
            {"cpu,cpuacct/cpu.cfs_quota_us": "300000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            3,
        ),
        ("1:cpu:/a", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, 64),
        ("0::/", {}, 64),
        (None, {}, 64),
    ],
)
def test_workers_are_no_more_than_the_quota_of_the_container_lets_run(
    cgroups: str | None,
    files: dict[str, str],
    most: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a pod with 4 CPUs on a machine with 64 these are 4; without a quota, the affinity's."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    if cgroups is not None:
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "self" / "cgroup").write_text(cgroups + "\n")
    for name, text in files.items():
        path = tmp_path / "sys" / "fs" / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert cores(tmp_path) == most

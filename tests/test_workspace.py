"""What each start opens: how many workers a machine has room for, and which executor."""

import os
import sys
from pathlib import Path

import pytest

from sweeps.engine.workspace import cores, import_ray, slots
from sweeps.settings.config import SweepConfig
from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig


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


@pytest.mark.parametrize(("share", "most"), [(1.0, 2), (0.5, 4), (0.3, 6), (0.1, 20)])
def test_shares_of_gpus_are_workers(
    share: float, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many on each of two GPUs as it has whole shares."""
    monkeypatch.setattr("sweeps.engine.workspace.visible_gpus", lambda: ["0", "1"])
    assert slots(SweepConfig(train=TrainConfig(device="cuda"), gpus_per_trial=share)) == most


def test_a_missing_package_of_ray_is_told_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not among what a sweep on one machine needs."""
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in [name for name in sys.modules if name.startswith("sweeps.engine.executors.ray")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("sweeps.engine.executors.ray", raising=False)
    with pytest.raises(ConfigError, match=r"pip install '\.\[ray\]'"):
        import_ray()

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trainer.data import load
from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig
from trainer.stages.plan import environment, plan
from trainer.training.device import (
    assume_platform,
    platform,
    resolve_device,
    set_determinism,
    synchronize,
)
from trainer.training.recipe import Recipe


def test_auto_is_the_gpu_where_there_is_one() -> None:
    """A name that says which device stays as it is."""
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_asking_for_a_gpu_where_there_is_none_is_an_error() -> None:
    """It would not silently train on the CPU."""
    with pytest.raises(ConfigError, match="but got 'cuda'; use 'auto' or 'cpu'"):
        resolve_device("cuda")


def test_what_determines_the_bits_is_plain_text() -> None:
    """It goes into keys, and is the same each time it is asked for."""
    facts = platform("cpu")
    assert facts == platform("cpu")
    assert json.loads(json.dumps(facts)) == facts
    assert facts["torch"] == torch.__version__
    assert facts["cpu"] == torch.backends.cpu.get_cpu_capability()


def test_the_processor_and_what_overrules_its_kernels_determine_the_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """oneDNN and MKL give other bits when told to use another instruction set."""
    before = platform("cpu")
    assert before["processor"] not in ("", "unknown")
    for name in ("ONEDNN_MAX_CPU_ISA", "MKL_CBWR"):
        monkeypatch.setenv(name, "COMPATIBLE")
        assert platform("cpu") == before | {name: "COMPATIBLE"}
        monkeypatch.delenv(name)


def test_keys_are_made_for_the_machines_that_train(small: Callable[..., TrainConfig]) -> None:
    """One without a GPU finds the keys of epochs that others train on theirs."""
    config = small(device="cuda", optimizer="Adam")
    recipe = Recipe(config, load(config.dataset, config.split, config.limit, Path()))
    assume_platform({"gpu": "NVIDIA H100"})
    try:
        first = plan(recipe)
        assert environment(recipe)["platform"] == platform("cuda") == {"gpu": "NVIDIA H100"}
        assume_platform({"gpu": "NVIDIA A100"})
        second = plan(recipe)
    finally:
        assume_platform(None)
    assert len(first) == len(second) == config.epochs + 1
    assert not {stage.key for stage in first} & {stage.key for stage in second}


def test_what_user_code_set_for_the_whole_process_is_set_back() -> None:
    """An epoch does not depend on what the process did before."""
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_grad_enabled(False)
    torch.set_float32_matmul_precision("medium")
    try:
        set_determinism("cpu", 1)
        assert (torch.rand(1).dtype, torch.rand(1).device.type) == (torch.float32, "cpu")
        assert torch.is_grad_enabled()
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        set_determinism("cpu", 1)


def test_a_process_that_is_held_still_has_the_threads_it_was_given() -> None:
    """The number of threads decides in which order sums are added."""
    for threads in (2, 1):
        set_determinism("cpu", threads)
        assert torch.get_num_threads() == threads
    synchronize("cpu")  # a CPU has nothing to wait for

import inspect
import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from samples import result

from trainer.data import load
from trainer.errors import ConfigError
from trainer.metrics import EpochResult
from trainer.settings.config import TrainConfig
from trainer.stages.plan import Stage
from trainer.tracking.record import (
    COMPLETE,
    DIVERGED,
    FAILED,
    INTERRUPTED,
    PRUNED,
    RUNNING,
    Checkpoint,
    CheckpointRule,
    RunRecord,
    params_of,
    record_of,
)
from trainer.training.optim import optimizer_names
from trainer.training.schedule import Rates

RESULTS = (
    result(1, val_loss=2.0, val_accuracy=0.1, running_loss=9.0, lr=0.1),
    result(2, val_loss=1.0, val_accuracy=0.3, running_loss=8.0, lr=0.1),
    result(3, val_loss=1.5, val_accuracy=0.4, running_loss=8.5, lr=0.05),
)
STAGES = [
    Stage(epoch=n, rates=Rates(scalars={}), key=f"key{n}", result_key=f"result{n}")
    for n in range(6)
]
LAST = {"checkpoints/last.pt": Checkpoint(3, "key3", weights_only=False)}


def running(*results: EpochResult) -> RunRecord:
    """The record of a run that has these results so far."""
    return RunRecord(id="run", group="run", name="a run", started_at=1e9, results=results)


def test_a_new_record_says_all_that_is_known_beforehand(
    small: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    """Parameters, the config as a file, the data, and whose run it is; it runs, and has no end."""
    config = small(optimizer_args={"momentum": 0.9})
    data = load(config.dataset, config.split, config.limit, tmp_path)
    record = record_of(
        config, data, {"numerics": 1}, id="run", name="a run", started_at=5.0, tags={"a": "b"}
    )
    assert (record.state, record.started_at, record.ended_at) == (RUNNING, 5.0, None)
    assert (record.id, record.group, record.parent) == ("run", "run", None)
    assert record.params == params_of(config)
    assert TrainConfig.from_json(record.files["config.json"]) == config
    assert json.loads(record.files["environment.json"]) == {"numerics": 1}
    assert record.dataset == ("cifar10", data.digest)
    assert record.tags == {"a": "b"}
    child = record_of(
        config, data, {}, id="c", name="", started_at=5.0, group="study", parent="study"
    )
    assert (child.group, child.parent) == ("study", "study")


def test_parameters_are_every_field_as_people_write_it(small: Callable[..., TrainConfig]) -> None:
    """Arguments stand among them under their own names; what means nothing here does not."""
    config = small(optimizer="Adam", optimizer_args={"betas": [0.5, 0.9]}, lr=1e-4)
    params = params_of(config)
    inert = {
        "unshared",
        "warmup",
        "warmup_start",
        "trainable",
        "metrics",
        "accumulate",
        "ema_decay",
    }
    args = {item.name for item in fields(config) if item.name.endswith("_args")}
    assert params.keys() == {item.name for item in fields(config)} - inert - args | {"betas"}
    cosine = config.override({"scheduler": "CosineAnnealingLR", "scheduler.T_max": 7})
    assert params_of(cosine).keys() == params.keys() - {"step_size", "gamma"} | {"scheduler.T_max"}
    assert params["lr"] == "0.0001"
    assert params["shuffle"] == "True"
    assert params["betas"] == "[0.5, 0.9]"


@pytest.mark.parametrize("name", optimizer_names())
def test_no_argument_of_an_optimizer_is_called_like_a_field(name: str) -> None:
    """One would hide the other among the parameters."""
    arguments = inspect.signature(getattr(torch.optim, name)).parameters.keys()
    assert arguments & {item.name for item in fields(TrainConfig)} == {"lr"}


def test_an_epoch_counts_as_reused_where_it_was_first_trained_for_another() -> None:
    """Whoever looked it up again since."""
    record = running(
        result(1),
        replace(result(2), trained_for="other"),
        replace(result(3), trained_for=""),
        result(4),
    )
    assert [record.is_reused(item) for item in record.results] == [False, True, True, False]
    assert record.reused_epochs == 2


@pytest.mark.parametrize("state", [COMPLETE, PRUNED])
def test_a_run_that_ended_well_has_the_best_of_its_epochs(state: str) -> None:
    """Each metric has its own best; `best_epoch` is the objective's."""
    ended = running(*RESULTS).ended(state, "val_loss", LAST, at=2e9)
    assert (ended.state, ended.ended_at) == (state, 2e9)
    assert ended.metrics == {
        "best_epoch": 2,
        "best_val_loss": 1.0,
        "best_val_accuracy": 0.4,
        "best_running_loss": 8.0,
    }
    assert ended.checkpoints == LAST
    assert ended.tags == {}
    by_accuracy = running(*RESULTS).ended(state, "val_accuracy", LAST)
    assert by_accuracy.metrics["best_epoch"] == 3


@pytest.mark.parametrize("state", [DIVERGED, FAILED, INTERRUPTED])
def test_a_run_that_did_not_end_well_has_no_best(state: str) -> None:
    """Its numbers are not to be ranked among the others."""
    ended = running(*RESULTS).ended(state, "val_loss", LAST)
    assert ended.metrics == {}
    assert ended.ended_at is not None
    assert ended.results == RESULTS


def test_a_run_without_an_epoch_has_no_best() -> None:
    """Of nothing there is none."""
    assert running().ended(COMPLETE, "val_loss", {}).metrics == {}


def test_an_interrupted_run_keeps_no_checkpoints() -> None:
    """It will be resumed, so its last state is not the last."""
    assert running(*RESULTS).ended(INTERRUPTED, "val_loss", LAST).checkpoints == {}


def test_a_diverged_run_says_where_and_at_which_rate() -> None:
    """The epoch and the rate are tags, to be searched for."""
    ended = running(*RESULTS).ended(DIVERGED, "val_loss", {})
    assert ended.tags == {"sweep.diverged_epoch": "3", "sweep.diverged_lr": "0.05"}


def test_a_failed_run_says_why() -> None:
    """The last line of the traceback is a tag, the whole of it a file."""
    ended = running().ended(FAILED, "val_loss", {}, error="Traceback:\n  line 1\nOSError: full\n")
    assert ended.tags == {"sweep.reason": "OSError: full"}
    assert ended.files == {"traceback.txt": "Traceback:\n  line 1\nOSError: full\n"}
    interrupted = running().ended(INTERRUPTED, "val_loss", {}, error="KeyboardInterrupt\n")
    assert (interrupted.tags, interrupted.files) == ({}, {})


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("none", CheckpointRule(best=False, last=False)),
        ("best", CheckpointRule(best=True, last=False)),
        ("last", CheckpointRule(best=False, last=True)),
        ("best,last", CheckpointRule()),
        ("last, best", CheckpointRule()),
        ("every:5", CheckpointRule(best=False, last=False, every=5)),
        ("best,every:10,last", CheckpointRule(every=10)),
    ],
)
def test_rules_are_read_from_words_with_commas(text: str, rule: CheckpointRule) -> None:
    """In any order; the default is the best and the last."""
    assert CheckpointRule.parse(text) == rule


@pytest.mark.parametrize(
    "text", ["", "bset", "best;last", "best:2", "every", "every:0", "every:-1", "every:x", "best,"]
)
def test_other_words_are_an_error_that_names_the_choices(text: str) -> None:
    """Nothing is kept or left out by mistake."""
    with pytest.raises(ConfigError) as caught:
        CheckpointRule.parse(text)
    assert str(caught.value) == (
        "checkpoints must be 'none', or some of 'best', 'last' and 'every:N' separated by commas, "
        f"but got {text!r}."
    )


@pytest.mark.parametrize(
    ("rule", "state", "wanted"),
    [
        ("none", COMPLETE, {}),
        ("best", COMPLETE, {"best": ("key2", True)}),
        ("last", COMPLETE, {"last": ("key3", False)}),
        ("best,last", PRUNED, {"best": ("key2", True), "last": ("key3", False)}),
        ("best,last", DIVERGED, {"last": ("key3", False)}),
        ("every:1", COMPLETE, {f"epoch-000{n}": (f"key{n}", False) for n in (1, 2, 3)}),
        ("every:2", COMPLETE, {"epoch-0002": ("key2", False)}),
        ("every:4", COMPLETE, {}),
    ],
)
def test_the_states_kept_with_a_run_follow_from_the_rule_and_the_results(
    rule: str, state: str, wanted: dict[str, tuple[str, bool]]
) -> None:
    """Of the best epoch only the weights; no best one of a diverged run; no epoch it has not."""
    got = CheckpointRule.parse(rule).select(STAGES, RESULTS, "val_loss", state)
    assert {path: (item.key, item.weights_only) for path, item in got.items()} == {
        f"checkpoints/{name}.pt": what for name, what in wanted.items()
    }
    assert all(item.key == f"key{item.epoch}" for item in got.values())


def test_a_run_without_an_epoch_has_no_checkpoint() -> None:
    """Its initial state follows from the config."""
    assert CheckpointRule(every=1).select(STAGES, (), "val_loss", COMPLETE) == {}

"""The search space: what a trial may be, on its way between people and Optuna."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FixedTrial

from sweeps.settings.config import SweepConfig
from sweeps.space import SEARCHED, open_space
from sweeps.space.__main__ import main
from sweeps.space.declared import DeclaredSpace
from sweeps.space.file import default_space, parse_space
from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig

BASE = TrainConfig(epochs=20)

CONDITIONAL = """
optimizer = ["SGD", "AdamW", "Adagrad"]
scheduler = ["StepLR", "CosineAnnealingWarmRestarts"]
lr = { low = 1e-4, high = 1.0, grid = "1-2-5" }
batch_size = 32
[when.optimizer.SGD]
momentum = [0.0, 0.9]
lr = { low = 1e-3, high = 1e-2, grid = "1-2-5" }
[when.optimizer.AdamW]
weight_decay = { low = 1e-4, high = 0.1, log = true }
betas = [[0.9, 0.999], [0.8, 0.9]]
[when.scheduler.StepLR]
step_size = { low = 1, high = "epochs" }
[when.scheduler.CosineAnnealingWarmRestarts]
"scheduler.T_0" = [5, 10]
"""

FINITE = CONDITIONAL.replace("log = true", "step = 0.0333")


def drawn(space: Any, count: int, base: TrainConfig = BASE) -> list[tuple[Any, TrainConfig]]:
    """So many trials drawn at random, with the config of each."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(count)]
    return [(trial, space.suggest(trial, base)) for trial in trials]


@pytest.fixture
def conditional() -> DeclaredSpace:
    """A space in which rates and arguments depend on optimizer and scheduler."""
    return parse_space(CONDITIONAL, "space.toml")


def test_the_default_space_is_what_optuna_sees() -> None:
    """Names, ranges and order of its parameters; each optimizer has rates of its own."""
    trial, _ = drawn(default_space(), 1)[0]
    expected = {
        "optimizer": CategoricalDistribution(["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"]),
        "step_size": IntDistribution(1, 20),
        "gamma": FloatDistribution(0.1, 0.9, step=0.1),
    }
    rates = {
        "lr_index": IntDistribution(0, 6),
        "Adam.lr_index": IntDistribution(0, 6),
        "AdamW.lr_index": IntDistribution(0, 6),
        "RMSprop.lr_index": IntDistribution(0, 5),
        "Adagrad.lr_index": IntDistribution(0, 4),
    }
    optimizer = trial.params["optimizer"]
    rate = "lr_index" if optimizer == "SGD" else f"{optimizer}.lr_index"
    assert trial.distributions == expected | {rate: rates[rate]}
    assert [*trial.distributions] == ["optimizer", rate, "step_size", "gamma"]
    assert default_space().distributions(BASE) == expected | rates
    assert default_space().searched == SEARCHED == default_space().always


def test_every_suggestion_of_the_default_lies_on_its_grids() -> None:
    """Rates recur: lr is 1, 2 or 5 times a power of ten, gamma a tenth, to the last bit."""
    lrs = [float(f"{digit}e{power}") for power in range(-5, 0) for digit in (1, 2, 5)]
    for trial, config in drawn(default_space(), 60):
        assert config.lr in lrs
        assert config.gamma in [tenth / 10 for tenth in range(1, 10)]
        assert 1 <= config.step_size <= BASE.epochs
        assert trial.user_attrs == {"lr": config.lr}


@pytest.mark.parametrize("text", [CONDITIONAL, FINITE])
def test_a_finished_trial_is_made_again_from_its_parameters(text: str) -> None:
    """Its parameters decide its config, its number does not."""
    space = parse_space(text, "space.toml")
    for trial, config in drawn(space, 30):
        assert space.suggest(FixedTrial(trial.params), BASE) == config


def test_what_depends_on_another_name_is_there_for_its_value_alone(
    conditional: DeclaredSpace,
) -> None:
    """Each optimizer and each scheduler has its own arguments, SGD its own rates."""
    for trial, config in drawn(conditional, 60):
        args = {"SGD": {"momentum"}, "AdamW": {"weight_decay", "betas"}, "Adagrad": set()}
        assert set(config.optimizer_args) == args[config.optimizer]
        assert set(config.scheduler_args) == ({"T_0"} if config.scheduler != "StepLR" else set())
        assert ("step_size" in trial.params) == (config.scheduler == "StepLR")
        assert ("SGD.lr_index" in trial.params) == (config.optimizer == "SGD")
        assert ("lr_index" in trial.params) == (config.optimizer != "SGD")
        assert config.optimizer != "SGD" or 1e-3 <= config.lr <= 1e-2
        assert config.batch_size == 32
        assert trial.user_attrs.get("betas") == config.optimizer_args.get("betas")
    assert conditional.conditional
    assert conditional.always == ("optimizer", "scheduler", "lr", "batch_size")


def test_one_name_of_optunas_has_one_range(conditional: DeclaredSpace) -> None:
    """Entries that differ have names that differ, and all are known before anything is drawn."""
    known = conditional.distributions(BASE)
    for trial, _ in drawn(conditional, 60):
        assert trial.distributions.items() <= known.items()
    assert set(known) == {name for trial, _ in drawn(conditional, 60) for name in trial.params}
    assert "batch_size" not in known


def test_equal_entries_share_their_name() -> None:
    """What is the same for two optimizers is learned for both; the space then has no conditions."""
    space = parse_space(
        """
        optimizer = ["SGD", "RMSprop"]
        [when.optimizer.SGD]
        momentum = [0.0, 0.9]
        [when.optimizer.RMSprop]
        momentum = [0.0, 0.9]
        """,
        "space.toml",
    )
    assert set(space.distributions(BASE)) == {"optimizer", "momentum"}
    assert not space.conditional
    assert space.always == ("optimizer", "momentum")


def test_names_are_drawn_after_those_that_they_depend_on() -> None:
    """The order of the file is kept otherwise."""
    space = parse_space(
        """
        gamma = [0.1, 0.5]
        lr = [0.1, 0.01]
        optimizer = ["SGD", "Adam"]
        [when.optimizer.Adam]
        lr = [0.001]
        [when.gamma."0.5"]
        "scheduler.T_max" = [1]
        """,
        "space.toml",
    )
    assert space.searched == ("gamma", "optimizer", "lr", "scheduler.T_max")


def test_values_of_the_space_go_before_those_of_the_base() -> None:
    """What the command line says holds where the space says nothing."""
    base = TrainConfig(optimizer_args={"momentum": 0.5, "nesterov": True}, lr=0.7)
    space = parse_space("momentum = [0.8, 0.9]", "space.toml")
    for _, config in drawn(space, 5, base):
        assert config.optimizer_args["momentum"] in (0.8, 0.9)
        assert config.optimizer_args["nesterov"] is True
        assert config.lr == 0.7


def test_every_point_is_there_once() -> None:
    """As many as are counted, and among them all that is ever drawn."""
    space = parse_space(FINITE, "space.toml")
    points = {json.dumps(_rounded(point), sort_keys=True) for point in space.points(BASE)}
    sgd, adamw, adagrad, step_lr, cosine = 2 * 4, 4 * 2 * 13, 13, 20, 2
    assert len(points) == (sgd + adamw + adagrad) * (step_lr + cosine)
    assert len(points) == len(space.points(BASE)) == space.count(BASE)
    for trial, _ in drawn(space, 30):
        assert json.dumps(_rounded(trial.params), sort_keys=True) in points


def _rounded(params: dict[str, Any]) -> dict[str, Any]:
    return {k: round(it, 9) if isinstance(it, float) else it for k, it in params.items()}


def test_the_points_of_the_default_are_counted() -> None:
    """32 rates of 5 optimizers, 20 step sizes, 9 factors; fewer with fewer epochs."""
    assert default_space().count(BASE) == 32 * 20 * 9
    points = default_space().points(TrainConfig(epochs=2))
    assert len(points) == 32 * 2 * 9
    assert Counter(point["gamma"] for point in points).keys() == {i / 10 for i in range(1, 10)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            CONDITIONAL,
            ["space.toml:10", "weight_decay where optimizer is AdamW", "a step or a grid"],
        ),
        ("seed = { low = 0, high = 1000000 }", ["at most 100,000", "has 1,000,001"]),
    ],
)
def test_a_space_without_end_cannot_be_tried_point_by_point(text: str, words: list[str]) -> None:
    """One line says why, and where."""
    with pytest.raises(ConfigError) as caught:
        parse_space(text, "space.toml").points(BASE)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("values", "params"),
    [
        ({"optimizer": "SGD"}, {"optimizer": "SGD"}),
        (
            {"lr": 0.0020000000000000001, "optimizer": "SGD"},
            {"optimizer": "SGD", "SGD.lr_index": 1},
        ),
        ({"lr": 1, "optimizer": "Adagrad"}, {"optimizer": "Adagrad", "lr_index": 12}),
        (
            {"optimizer": "AdamW", "betas": (0.8, 0.9), "weight_decay": 0.01},
            {"optimizer": "AdamW", "betas": "[0.8, 0.9]", "weight_decay": 0.01},
        ),
        (
            {"optimizer": "AdamW", "betas": "[0.8, 0.9]"},  # as MLflow has it
            {"optimizer": "AdamW", "betas": "[0.8, 0.9]"},
        ),
        (
            {"scheduler": "StepLR", "step_size": 20, "batch_size": 32},
            {"scheduler": "StepLR", "step_size": 20},
        ),
        ({}, {}),
    ],
)
def test_values_of_people_become_parameters_of_optunas(
    conditional: DeclaredSpace, values: dict[str, Any], params: dict[str, Any]
) -> None:
    """Grid values become places, lists texts, fixed values nothing; what is not given is left."""
    assert conditional.params(values, BASE) == params


def test_what_a_trial_was_leads_back_to_its_parameters() -> None:
    """The values of any config that the space gave have the parameters that gave it."""
    space = parse_space(FINITE, "space.toml")
    for trial, config in drawn(space, 30):
        values = {k: it for k, it in config.values().items() if k in space.searched}
        assert _rounded(space.params(values, BASE)) == _rounded(trial.params)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"optimiser": "SGD"}, ["'optimiser'", "'optimizer'"]),
        ({"optimizer": "sgd"}, ["'sgd'", "'SGD'"]),
        (
            {"optimizer": "SGD", "lr": 0.03},
            ["lr where optimizer is SGD", "0.03", "nearest is 0.01"],
        ),
        ({"optimizer": "Adagrad", "lr": "high"}, ["lr", "0.0001", "high"]),
        ({"optimizer": "AdamW", "weight_decay": 1}, ["0.0001 to 0.1", "got 1", "nearest is 0.1"]),
        ({"optimizer": "AdamW", "momentum": 0.9}, ["only where optimizer is SGD", "it is AdamW"]),
        ({"momentum": 0.9}, ["momentum must come with optimizer"]),
        ({"lr": 0.01}, ["lr must come with optimizer"]),
        ({"batch_size": 64}, ["batch_size", "32", "64"]),
        ({"scheduler": "StepLR", "step_size": 21}, ["1 to 20", "21", "nearest is 20"]),
        ({"scheduler": "StepLR", "step_size": 2.4}, ["whole", "2.4", "nearest is 2"]),
    ],
)
def test_values_that_cannot_be_are_refused_with_the_nearest(
    conditional: DeclaredSpace, values: dict[str, Any], words: list[str]
) -> None:
    """One line names what was got, and what may be."""
    with pytest.raises(ConfigError) as caught:
        conditional.params(values, BASE)
    assert [word for word in words if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_choices_are_told_of_names_that_have_them(conditional: DeclaredSpace) -> None:
    """A range has none, nor has a name that is not there."""
    assert conditional.choices("optimizer") == ("SGD", "AdamW", "Adagrad")
    assert conditional.choices("batch_size") == (32,)
    assert conditional.choices("lr") == conditional.choices("nothing") == ()


def test_the_description_tells_spaces_apart(conditional: DeclaredSpace) -> None:
    """Whatever decides a trial is in it, as JSON that can be read back."""
    described = conditional.describe(BASE)
    assert json.loads(json.dumps(described)) == described
    for old, new in (
        ('grid = "1-2-5"', "log = true"),
        ("[0.0, 0.9]", "[0.0, 0.8]"),
        ("[0.0, 0.9]", "[0.9, 0.0]"),
        ("batch_size = 32", "batch_size = 64"),
        ("when.optimizer.AdamW]\nweight", "when.optimizer.Adagrad]\nweight"),
    ):
        assert parse_space(CONDITIONAL.replace(old, new), "f").describe(BASE) != described


def test_the_space_names_the_study(tmp_path: Path) -> None:
    """Another space is another study, wherever its file lies; comments do not count."""
    names = []
    for place, text in enumerate((CONDITIONAL, f"# a comment\n{CONDITIONAL}", FINITE)):
        path = tmp_path / f"{place}.toml"
        path.write_text(text)
        names.append(SweepConfig(space=str(path)).study_name)
    assert names[0] == names[1] != names[2]
    assert SweepConfig().study_name not in names


def test_a_field_that_the_space_decides_in_some_trials_only_names_the_study(tmp_path: Path) -> None:
    """Elsewhere the base decides it."""
    path = tmp_path / "space.toml"
    path.write_text(CONDITIONAL)
    studies = {
        SweepConfig(space=str(path), train=TrainConfig(**changes)).study_name
        for changes in ({}, {"step_size": 3}, {"lr": 0.5})
    }
    assert len(studies) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("space.yaml", ["PATH.toml", "package.module:function", "'space.yaml'"]),
        ("missing.toml", ["missing.toml", "No such file"]),
        ("nowhere.at_all:suggest", ["nowhere.at_all:suggest", "No module"]),
    ],
)
def test_a_space_that_is_not_there_is_named(text: str, words: list[str]) -> None:
    """One line says what may be given."""
    with pytest.raises(ConfigError) as caught:
        open_space(text)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("show", [True, False])
def test_the_command_shows_the_default_space(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, show: bool
) -> None:
    """As a file that is read again, or a line a parameter with how many values it has."""
    assert main(["--show"] if show else []) == 0
    out = capsys.readouterr().out
    if show:
        (tmp_path / "mine.toml").write_text(out)
        mine = open_space(str(tmp_path / "mine.toml"))
        assert mine.describe(BASE) == default_space().describe(BASE)
    else:
        counts = re.findall(r"^(\w+(?: where optimizer is \w+)?) +([\d,]+) ", out, re.MULTILINE)
        assert counts == [
            ("optimizer", "5"),
            ("lr", "7"),
            ("lr where optimizer is Adam", "7"),
            ("lr where optimizer is AdamW", "7"),
            ("lr where optimizer is RMSprop", "6"),
            ("lr where optimizer is Adagrad", "5"),
            ("step_size", "20"),
            ("gamma", "9"),
            ("together", "5,760"),
        ]


def test_the_command_checks_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A line says what is wrong, with status 1."""
    path = tmp_path / "mine.toml"
    path.write_text('optimizer = ["SGD", "Adam"]\nmomentum = [0.0, 0.9]\n')
    assert main([str(path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {path}:2: momentum = 0 is invalid: Unknown")


def test_what_the_comments_of_the_default_file_show_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each example in them is right."""
    main(["--show"])
    lines = [line.removeprefix("#   ") for line in capsys.readouterr().out.splitlines()]
    examples = [
        line for line in lines if line.startswith(("batch_size", "lr", "gamma", "w", "step"))
    ]
    assert len(examples) >= 8
    for example in examples:
        text = example.partition("    ")[0]
        parse_space(f"seed = [0, 1]\n{text}", "default.toml").check(BASE)


def test_the_default_space_has_what_the_schedule_has() -> None:
    """Epochs between decays are searched for StepLR alone: for others they would change nothing."""
    assert open_space("", TrainConfig()).searched == SEARCHED
    assert open_space("", TrainConfig(scheduler="CosineAnnealingLR")).searched == (
        "optimizer",
        "lr",
    )
    base = TrainConfig(scheduler="CosineAnnealingLR", epochs=4)
    assert SweepConfig(train=base).settings()["space"].keys() == {"optimizer", "lr", "when"}

"""Points of a space: what a configuration would train, known without training it."""

import itertools
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from laws import OPTIMIZERS, SCHEDULES, points_of, space_in
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial

from sweeps.search.allocation.points import Point, Points
from sweeps.space import Space, open_space
from trainer.data import load
from trainer.settings.config import TrainConfig
from trainer.stages.plan import plan
from trainer.training.recipe import Recipe

CONDITIONAL = """
optimizer = ["SGD", "Adam"]
lr = { low = 0.01, high = 0.1, grid = "1-2-5" }
[when.optimizer.SGD]
momentum = [0.0, 0.9]
nesterov = [false, true]
"""

SCHEDULERS = """
scheduler = ["none", "StepLR", "ExponentialLR", "CosineAnnealingLR", "LinearLR"]
lr = [0.01, 0.02]
gamma = [0.5, 1.0]
step_size = [1, 2, 3]
warmup = [0, 1]
"""

BY_BATCH = """
scheduler_interval = ["batch", "epoch"]
batch_size = [10, 20]
step_size = [1, 5, 10, 15]
gamma = [0.1, 0.5, 1.0]
"""

FUNCTION = """
def suggest(trial):
    values = {"optimizer": trial.suggest_categorical("optimizer", ["SGD", "Adam"])}
    values["lr"] = 10 ** trial.suggest_int("power", -3, -1)
    if values["optimizer"] == "SGD" and trial.suggest_int("heavy", 0, 1):
        values["momentum"] = 0.9
    values["gamma"] = trial.suggest_float("gamma", 0.5, 1.0, step=0.25)
    values["step_size"] = trial.suggest_int("step_size", 1, 3)
    return values
"""

Open = Callable[[str], Space]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Open:
    """Opens a space of this text, TOML or a Python function."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str) -> Space:
        if "def suggest" not in text:
            return space_in(tmp_path, text)
        name = f"own_{abs(hash(request.node.name))}"
        (tmp_path / f"{name}.py").write_text(text)
        return open_space(f"{name}:suggest")

    return write


def drawn(points: Points, count: int) -> list[Point]:
    """Points of the first seeds, which can all be drawn."""
    found = [points.draw(seed) for seed in range(count)]
    return [point for point in found if point is not None]


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        (OPTIMIZERS, {}),
        (CONDITIONAL, {}),
        (SCHEDULERS, {}),
        (BY_BATCH, {}),
        (FUNCTION, {}),
        (SCHEDULES, {"epochs": 5, "warmup": 2}),
        (
            "lr = [0.01, 0.02]\nweight_decay = [0.0, 0.01]\nseed = [0, 1]",
            {"scheduler": "OneCycleLR"},
        ),
    ],
    ids=["optimizers", "conditional", "schedulers", "by batch", "function", "warmup", "one cycle"],
)
def test_points_share_nodes_exactly_where_their_stages_have_the_same_key(
    text: str, changes: dict[str, Any], opened: Open, sample: Path
) -> None:
    """Epoch by epoch, any two points of a space, as `trainer.stages.plan` has them."""
    fields = {"dataset": str(sample), "limit": 20, "batch_size": 10, "epochs": 3, "device": "cpu"}
    base = TrainConfig(**(fields | changes))
    data = load(base.dataset, base.split, base.limit, sample.parent)
    space = opened(text)
    points = Points(space, base, len(data.train.labels))
    keys: dict[int, set[str]] = {}
    nodes: dict[str, set[int]] = {}
    for point in drawn(points, 40):
        config = space.suggest(FixedTrial(dict(point.params)), base)
        stages = plan(Recipe(config, data))[1:]
        assert len(stages) == len(point.nodes) == len(point.rates)
        for node, rate, stage in zip(point.nodes, point.rates, stages, strict=True):
            keys.setdefault(node, set()).add(stage.key)
            nodes.setdefault(stage.key, set()).add(node)
            if not stage.rates.batches:
                assert rate == stage.rates.scalars["lr"]
    assert all(len(found) == 1 for found in (*keys.values(), *nodes.values()))
    assert len(keys) > 3


def test_where_the_schedule_looks_at_results_only_the_first_epoch_is_shared(
    opened: Open,
) -> None:
    """What comes after it is not known before; the same parameters share it all the same."""
    text = 'gamma = [0.5, 1.0]\n"scheduler.patience" = [0, 1, 2]'
    points = points_of(opened(text), epochs=3, scheduler="ReduceLROnPlateau")
    found = {point.key: point for point in drawn(points, 30)}
    assert len({point.nodes[0] for point in found.values()}) == 1
    assert len({point.nodes[1] for point in found.values()}) == len(found)
    assert all(len(set(point.nodes)) == 3 for point in found.values())


@pytest.mark.parametrize("text", [OPTIMIZERS, CONDITIONAL, FUNCTION], ids=["a", "b", "c"])
def test_the_same_parameters_give_one_point(text: str, opened: Open) -> None:
    """In whatever order they come, drawn or taken from a trial."""
    points = points_of(opened(text))
    for point in drawn(points, 20):
        assert points.of(point.params) is point
        assert points.of(dict(reversed(point.params.items()))) is point


def test_the_same_seed_draws_the_same_point_in_any_process(opened: Open) -> None:
    """Whatever was drawn before; other seeds give other points."""
    space = opened(OPTIMIZERS)
    first, second = points_of(space), points_of(space)
    seeds = list(range(40))
    there = {seed: first.draw(seed) for seed in seeds}
    random.Random(0).shuffle(seeds)
    for seed in seeds:
        one, other = there[seed], second.draw(seed)
        assert one is not None
        assert other is not None
        assert (one.key, one.rates) == (other.key, other.rates)
    assert len({point.key for point in drawn(first, 40)}) > 30


def test_points_that_are_fixed_have_what_they_are_fixed_to(opened: Open) -> None:
    """All that are drawn, and no others are said to."""
    space = opened(OPTIMIZERS)
    points = Points(space, TrainConfig(device="cpu"), 100, {"optimizer": "Adam"})
    assert {point.params["optimizer"] for point in drawn(points, 20)} == {"Adam"}
    assert all(map(points.has, drawn(points, 20)))
    free = points_of(space, epochs=20)
    others = [point for point in drawn(free, 20) if point.params["optimizer"] != "Adam"]
    assert others
    assert not any(map(points.has, others))


@pytest.mark.parametrize("text", [OPTIMIZERS, CONDITIONAL, FUNCTION, SCHEDULES, BY_BATCH])
def test_neighbours_are_points_of_the_space_that_differ_in_one_number(
    text: str, opened: Open
) -> None:
    """Each can be drawn, and lies a step away, within the bounds."""
    space = opened(text)
    points = points_of(space)
    for point in drawn(points, 20):
        for other in points.neighbours(point):
            (name,) = (it for it in point.params if point.params[it] != other.params[it])
            item = other.distributions[name]
            assert item._contains(item.to_internal_repr(other.params[name]))
            assert other.distributions == point.distributions
            assert abs(other.params[name] - point.params[name]) == pytest.approx(
                getattr(item, "step", None) or 1
            )


@pytest.mark.parametrize(
    ("low", "high", "step"), [(0.1, 0.3, 0.1), (0.1, 0.9, 0.1), (0.0, 0.6, 0.2), (0.7, 1.0, 0.1)]
)
def test_steps_lead_to_the_very_values_that_optuna_draws(
    low: float, high: float, step: float, opened: Open
) -> None:
    """To the last bit: a trial of Optuna's and a neighbour are one point."""
    values = f"{{ low = {low or step}, high = {high}, step = {step} }}"
    points = points_of(opened(f"warmup = 2\nwarmup_start = {values}"))
    sampler: Any = RandomSampler(seed=0)
    item = FloatDistribution(low or step, high, step=step)
    theirs = {sampler.sample_independent(None, None, "x", item) for _ in range(100)}
    ours: set[float] = set()
    new = drawn(points, 1)
    while new:
        ours |= {point.params["warmup_start"] for point in new}
        new = [
            it
            for it in itertools.chain(*map(points.neighbours, new))
            if it.params["warmup_start"] not in ours
        ]
    assert ours == theirs


@pytest.mark.parametrize(
    "text",
    [
        "weight_decay = { low = 0.1, high = 1.0, log = true }",
        "weight_decay = { low = 0.0, high = 1.0 }",
        "batch_size = { low = 1, high = 100, log = true }",
        "batch_size = { low = 10, high = 45, step = 10 }",
    ],
)
def test_neighbours_in_ranges_keep_to_the_bounds(text: str, opened: Open) -> None:
    """A walk that goes from neighbour to neighbour never leaves the space."""
    points = points_of(opened(text), epochs=1)
    (name,) = drawn(points, 1)[0].params
    walked = drawn(points, 1)
    for turn in range(30):
        near = list(points.neighbours(walked[-1]))
        assert 1 <= len(near) <= 2
        walked.append(near[turn // 15 - 1])
    item = walked[0].distributions[name]
    assert all(item._contains(item.to_internal_repr(it.params[name])) for it in walked)
    assert len({point.key for point in walked}) > 3


def test_combinations_that_cannot_be_give_no_point(opened: Open) -> None:
    """None, and no exception; what is drawn can be trained."""
    points = points_of(opened(CONDITIONAL))
    impossible = {"optimizer": "SGD", "momentum": 0.0, "nesterov": True, "lr_index": 0}
    assert points.of(impossible) is None
    assert points.of({"optimizer": "SGD"}) is None
    assert points.of({"optimizer": "Nadam", "lr_index": 0}) is None
    assert points.of({}) is None
    found = drawn(points, 60)
    assert len(found) == 60
    assert not any(point.params.get("nesterov") and not point.params["momentum"] for point in found)


def test_a_function_that_raises_gives_no_point(opened: Open) -> None:
    """Nor one that gives no values."""
    raises = opened("def suggest(trial):\n    return {'lr': 1 / trial.suggest_int('x', 0, 3)}")
    points = points_of(raises)
    assert points.of({"x": 0}) is None
    assert points.of({"x": 1}) is not None
    assert len(drawn(points, 20)) == 20


def test_a_space_of_which_nothing_can_be_gives_no_points(opened: Open) -> None:
    """It ends, with None."""
    points = points_of(opened("def suggest(trial):\n    return {'lr': -1}"))
    assert points.draw(0) is None


def test_a_schedule_that_is_too_long_for_the_batches_gives_no_point(opened: Open) -> None:
    """What is found only with the number of batches is found here, too."""
    text = '"scheduler.total_steps" = [5, 100]'
    changes = {"scheduler": "OneCycleLR", "scheduler_interval": "batch", "batch_size": 10}
    points = points_of(opened(text), epochs=3, **changes)
    assert points.of({"scheduler.total_steps": 5}) is None
    assert points.of({"scheduler.total_steps": 100}) is not None


def test_a_schedule_of_ones_own_may_have_arguments_that_are_called_like_fields(
    tmp_path: Path, opened: Open
) -> None:
    """A field keeps telling epochs apart."""
    (tmp_path / "own_schedule.py").write_text(
        "from torch.optim.lr_scheduler import ConstantLR\n"
        "def make(optimizer, batch_size=1):\n    return ConstantLR(optimizer)\n"
    )
    points = points_of(opened("batch_size = [10, 20]"), scheduler="own_schedule:make")
    first, second = (points.of({"batch_size": it}) for it in (10, 20))
    assert first is not None
    assert second is not None
    assert not set(first.nodes) & set(second.nodes)


def test_a_point_has_the_parameters_that_optuna_stores(opened: Open) -> None:
    """A trial of a study, of any sampler, is a point with its parameters and distributions."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = opened(OPTIMIZERS)
    points, base = points_of(space), TrainConfig(device="cpu", epochs=8)
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    kept: list[Sequence[Any]] = []
    for _ in range(10):
        trial = study.ask()
        space.suggest(trial, base)
        point = points.of(trial.params)
        assert point is not None
        kept.append((point.params, point.distributions))
    assert kept == [(trial.params, trial.distributions) for trial in study.get_trials()]

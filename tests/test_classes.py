"""Classes are found by their names, and their arguments are checked before anything starts."""

from __future__ import annotations

from typing import Any

import optuna.pruners
import pytest
from optuna.pruners import BasePruner, MedianPruner, NopPruner

from sweeps.search.classes import Classes
from trainer.errors import ConfigError


class Ours(BasePruner):
    """A pruner that takes another one, and is told the epochs.

    Args:
        epochs: of a trial.
        inner: another pruner: "BasePruner | None".
        share: a number.
        anything: whatever it may be.
    """

    def __init__(
        self,
        epochs: int,
        inner: BasePruner | None = None,
        share: float | None = None,
        anything: Any = None,
    ) -> None:
        if share is not None and share > 1:
            raise ValueError("share must not be above 1")
        self.epochs, self.inner, self.share, self.anything = epochs, inner, share, anything

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Never."""
        return False


class Open(NopPruner):
    """A pruner that takes any arguments."""

    def __init__(self, **args: Any) -> None:
        self.args = args


CLASSES: Classes[BasePruner] = Classes(
    kind="pruner",
    base=BasePruner,
    optuna=optuna.pruners,
    own={"MedianPruner": Ours, "further": NopPruner},
    defaults={"PercentilePruner": {"percentile": 30.0}},
    supplied=("epochs",),
    nicknames={"asha": "SuccessiveHalvingPruner"},
)
OURS = f"{__name__}:Ours"


def test_a_name_is_a_class_of_optuna_unless_one_of_ours_stands_in_for_it() -> None:
    """Ours can have names that Optuna does not have; base classes have none."""
    assert CLASSES.find("NopPruner") is NopPruner
    assert CLASSES.find("MedianPruner") is Ours
    assert CLASSES.find(OURS) is Ours
    assert {"further", "MedianPruner", "WilcoxonPruner"} <= set(CLASSES.names)
    assert "BasePruner" not in CLASSES.names


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("medianpruner", "did you mean 'MedianPruner'"),
        ("median", "did you mean 'MedianPruner'"),
        ("Hyperbnd", "did you mean 'HyperbandPruner'"),
        ("ASHA", "did you mean 'SuccessiveHalvingPruner'"),
        ("zzz", "Unknown pruner 'zzz'. Choices: .*, package.module:Class"),
        (f"{__name__}:CLASSES", "must be a subclass of Optuna's BasePruner, but"),
        (f"{__name__}:Orus", f"Unknown name in {__name__} 'Orus'; did you mean 'Ours'"),
        ("optuna.pruners:MedianPruner", "must be a plain name .*; use MedianPruner"),
    ],
)
def test_another_name_is_refused_with_the_nearest(name: str, words: str) -> None:
    """Without the word that all of them end with, too."""
    with pytest.raises(ConfigError, match=words):
        CLASSES.find(name)


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        (OURS, {"shaer": 1}, f"Unknown argument of {OURS} 'shaer'; did you mean 'share'"),
        (OURS, {"share": "much"}, "share of .* must be float | None, but got 'much'"),
        (OURS, {"share": True}, "share of .* must be float"),
        (OURS, {"share": 2}, r"Ours\(share=2\) cannot be created: share must not be above 1"),
        (OURS, {"epochs": 2}, "epochs of .* is set by the sweep, but got 2"),
        (OURS, {"anything": {1}}, f"Arguments of {OURS} must be plain values"),
        (OURS, {"inner": "nop"}, "did you mean 'NopPruner'"),
        ("NopPruner", {"x": 1}, "NopPruner takes no arguments here, but got 'x'"),
        ("PatientPruner", {}, "must have wrapped_pruner, patience; add --pruner-arg wrapped_prune"),
    ],
)
def test_arguments_that_cannot_be_are_refused(name: str, args: dict[str, Any], words: str) -> None:
    """By the signature, or by the class itself."""
    with pytest.raises(ConfigError, match=words) as caught:
        CLASSES.maker(name, args)(epochs=20)
    assert "\n" not in str(caught.value)


def test_arguments_and_what_the_sweep_supplies_reach_the_class() -> None:
    """A class that takes one of its kind gets it by name, supplied alike."""
    made = CLASSES.maker(OURS, {"inner": OURS, "share": 1, "anything": [1]})(epochs=20, other=1)
    assert isinstance(made, Ours)
    assert (made.epochs, made.share, made.anything) == (20, 1, [1])
    assert isinstance(made.inner, Ours)
    assert made.inner.epochs == 20
    open_ = CLASSES.maker(f"{__name__}:Open", {"x": 1})(epochs=20)
    assert isinstance(open_, Open)
    assert open_.args == {"x": 1}


def test_defaults_hold_where_nothing_else_is_given() -> None:
    """Of Optuna's classes some have other ones here."""
    made = [CLASSES.maker("PercentilePruner", args)() for args in ({}, {"percentile": 40.0})]
    assert [vars(it)["_percentile"] for it in made] == [30.0, 40.0]
    assert not any(isinstance(it, MedianPruner) for it in made)

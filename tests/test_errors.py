import pytest

from trainer import errors
from trainer.errors import TrainerError, printable, shortened, unknown


@pytest.mark.parametrize(
    ("got", "hint"),
    [
        ("adm", "; did you mean 'Adam'?"),
        ("ADAM", "; did you mean 'Adam'?"),
        ("sdg", "; did you mean 'SGD'?"),
        ("RMSProp", "; did you mean 'RMSprop'?"),
        ("zzz", "."),
        ("", "."),
        (7, "."),
        (None, "."),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest_one_and_all_choices(
    got: object, hint: str
) -> None:
    """Whatever its case; where nothing is near, nothing is suggested."""
    allowed = iter(["SGD", "Adam", "RMSprop"])
    assert unknown("optimizer", got, allowed) == (
        f"Unknown optimizer {got!r}{hint} Choices: Adam, RMSprop, SGD."
    )


def test_other_words_lead_to_a_name() -> None:
    """What a name is known as elsewhere, or without its ending."""
    line = unknown("optimizer", "momentm", ["SGD", "Adam"], also={"momentum": "SGD"})
    assert line == "Unknown optimizer 'momentm'; did you mean 'SGD'? Choices: Adam, SGD."


def test_every_error_of_the_package_is_a_trainer_error_and_says_what_it_is() -> None:
    """One base for `except`, and one sentence each."""
    classes = [
        item
        for item in vars(errors).values()
        if isinstance(item, type) and item.__module__ == errors.__name__
    ]
    assert len(classes) > 5
    for item in classes:
        assert issubclass(item, TrainerError)
        assert item.__doc__
        assert item.__doc__.strip().endswith(".")
        assert "\n\n" not in item.__doc__


def test_control_characters_are_shown_as_escapes() -> None:
    """They would move a terminal's cursor, or turn the direction of writing."""
    assert printable("größe 大小 \x1b[2J\u202e\n") == "größe 大小 \\x1b[2J\\u202e\\n"
    assert printable("a\nb\r", keep="\n") == "a\nb\\r"


def test_a_long_line_loses_its_middle() -> None:
    """Its beginning says what must hold, its end what to do."""
    line = "".join(map(str, range(1000)))
    short = shortened(line)
    assert len(short) <= 1000
    begin, end = short.split(" ... ")
    assert line.startswith(begin)
    assert line.endswith(end)
    assert shortened(line[:1000]) == line[:1000]

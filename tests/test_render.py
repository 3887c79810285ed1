import io
import math
from dataclasses import replace

import damage  # noqa: F401 - the profile of hypothesis
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console
from studies import frames_of

from sweeps.report.page import to_page
from sweeps.report.render import markdown, render_table
from sweeps.report.showing import open_console
from sweeps.report.summary import Summary, summarize
from sweeps.report.wording import winner_line
from trainer.errors import printable


@pytest.fixture
def summary() -> Summary:
    """A study with trials of every kind."""
    return summarize(
        frames_of(
            ("complete", [2.0, 1 / 3], {"lr": 0.1, "momentum": 0.9}),
            ("pruned", [2.0], {"optimizer": "Adam", "lr": 1e-4, "step_size": 10}),
            ("diverged", [float("inf")], {"lr": 1.0}),
            ("failed", [], {"optimizer": "Adadelta"}),
        )
    )


def shown(summary, **settings):
    """What a console shows of a summary."""
    console = Console(file=io.StringIO(), **{"width": 80, **settings})
    render_table(summary, console)
    return console.file.getvalue()


def test_the_table_is_readable_at_80_columns(summary):
    """Every line but the commands fits and no number is cut, whatever an optimizer's arguments."""
    top = summary.top.assign(weight_decay=0.0005, nesterov=True, betas="[0.9, 0.99]")
    top.loc[0, ["best_val_loss", "lr"]] = [123456.7, 0.0001]
    text = shown(replace(summary, top=top))
    ours = [line for line in text.splitlines() if not line.startswith("  ")]
    assert max(len(line.rstrip()) for line in ours) <= 80
    assert "…" not in text
    for word in ("123457", "0.0001", "nesterov=True", "weight_decay=0.0005"):
        assert word in text


def test_what_no_other_trial_beats_is_listed_for_two_objectives():
    """Each row has the value of both; the winner is by the first."""
    trials = [("complete", [3.0, 1 / 3], {}), ("complete", [2.5], {"lr": 0.1, "momentum": 0.9})]
    text = shown(summarize(frames_of(*trials, second="seconds")))
    assert "second objective: the lowest seconds" in text
    front = text.partition("Pareto front of val_loss and seconds")[2]
    assert "0.333333       1  2    2/2" in front
    assert "2.5     0.5  1    1/2" in front
    assert max(len(line.rstrip()) for line in front.splitlines() if line[:2] != "  ") <= 80


def test_a_terminal_gets_colours(summary):
    """And markup in a study's name is but text."""
    text = shown(replace(summary, study="[red]a[/nothing]"), force_terminal=True)
    assert "\x1b[" in text
    assert "[red]a[/nothing]" in text


@pytest.mark.parametrize("terminal", [False, True])
def test_a_command_is_one_line_however_narrow_the_console(summary, terminal):
    """The terminal wraps it by itself, so that what is copied from there is the command."""
    lines = shown(summary, width=30, force_terminal=terminal).splitlines()
    assert f"  {summary.winner.command}" in lines
    assert f"  {summary.view}" in lines


def test_nearly_all_is_not_shown_as_all(summary):
    """An accuracy of 0.9999999 is not 1."""
    winner = replace(summary.winner, val_accuracy=0.9999999)
    assert "val_accuracy 0.9999999 " in shown(replace(summary, winner=winner))


def test_markdown_has_the_same_rows_as_the_table(summary):
    """Each row has as many cells as its header, and a bar in a name does not add one."""
    text = markdown(summary)
    assert text.startswith("# Study digits\n")
    assert (
        "| 0 | complete | 0.333333 | 0.5 | 2 | 2/2 | SGD | 0.1 | 5 | 0.1 | momentum=0.9 |" in text
    )
    barred = replace(summary, top=summary.top.assign(betas="a|b"))
    for table in markdown(barred).split("\n\n"):
        rows = [row.replace("\\|", "") for row in table.splitlines() if row.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def seen(text: str) -> str:
    """The text with any white space as one blank, as a reader sees it."""
    return " ".join(text.split())


def named(text: str) -> Summary:
    """A study whose winner has a model of this name."""
    trials = [("complete", [2.0, 1.0], {"model": text}), ("complete", [3.0], {"model": "other"})]
    return summarize(frames_of(*trials))


def tokens_of(summary: Summary) -> list[Token]:
    """What a reader of Markdown makes of it."""
    return MarkdownIt("gfm-like", {"linkify": False}).parse(markdown(summary))


def printed(summary: Summary) -> str:
    """What a terminal gets."""
    console = open_console()
    with console.capture() as captured:
        render_table(summary, console)
    return captured.get()


@given(text=st.text(min_size=1, max_size=40).filter(lambda it: it.strip() not in ("", "other")))
@example(text="<img src=x onerror=alert(1)> & [a](http://b) `c` **d** _e_ ~~f~~ $g$ |h|")
@example(text="# a")
@example(text="12. a")
@example(text="a\\|b\\")
@example(text="```")
@example(text="&amp;")
@example(text="\x1b[2J\u202eabc\r\n")
def test_a_name_is_text_in_markdown_and_in_a_terminal(text: str) -> None:
    """Whatever is in it: it is one cell of one line, no markup, and no order to a terminal."""
    summary, plain = named(text), named("plain")
    wanted = seen(f"model={printable(text)}")
    tokens = tokens_of(summary)
    assert [it.type for it in tokens] == [it.type for it in tokens_of(plain)]
    cells = [it.children or [] for it in tokens if it.type == "inline"]
    assert {child.type for cell in cells for child in cell} <= {"text", "text_special"}
    assert wanted in [seen("".join(child.content for child in cell)) for cell in cells]
    assert printed(summary).replace("\n", "").isprintable()
    assert wanted in seen(printed(summary))
    before = [printed(it).partition("Train the winner again")[0] for it in (summary, plain)]
    assert before[0].count("\n") == before[1].count("\n")  # a command may have several lines


COMPARED = [
    ("complete", [2.0, 1.0], {"lr": 0.1, "weight_decay": 0.0005, "nesterov": True}),
    ("complete", [2.0, 1.5], {"optimizer": "Adam"}),
    ("diverged", [float("inf")], {"optimizer": "RMSprop"}),
]


def test_a_comparison_follows_the_winner():
    """In the table and in Markdown: answer, doubts and both tables come before the ten best."""
    seeds = [(trial, seed, 1.0 + trial + 0.1 * seed) for trial in (0, 1) for seed in range(5)]
    summary = summarize(frames_of(*COMPARED, compare="optimizer", repeats=seeds))
    for text in (shown(summary), markdown(summary)):
        words = " ".join(text.split())
        order = [
            "winner: trial 0",
            "Comparison of optimizer",
            summary.comparison.answer,
            *summary.comparison.doubts,
            "Best trial of each optimizer",
            "Its val_loss from other seeds",
            "Best 2 of 2 ranked trials",
            "By optimizer",
        ]
        places = [words.index(it) for it in order]
        assert places == sorted(places)
        assert "Trained again from other seeds" not in text  # the comparison has all of them
    text = shown(summary)
    assert max(len(line.rstrip()) for line in text.splitlines() if line[:2] != "  ") <= 80
    rows = [line.split() for line in text.splitlines()]
    assert ["SGD", "best", "5", "1.2", "(1.02", "to", "1.38)", "0"] in rows
    assert ["RMSprop", "too", "few", "seeds", "0"] in rows


def test_without_a_comparison_a_report_is_as_it_was():
    """No line of it tells that there could be one."""
    plain, compared = (frames_of(*COMPARED, compare=it) for it in ("", "optimizer"))
    for show in (shown, markdown):
        text, more = show(summarize(plain)), show(summarize(compared))
        assert "Comparison" not in text
        before, _, rest = more.partition("## " * (show is markdown) + "Comparison of optimizer")
        assert text.startswith(before)
        assert rest.endswith(text[len(before) :])


def test_trials_that_are_no_best_of_a_value_keep_their_table():
    """Others may have been confirmed, too."""
    seeds = [(trial, seed, 1.0 + trial) for trial in (0, 1, 2) for seed in range(5)]
    trials = [COMPARED[0], ("complete", [3.0], {}), COMPARED[1]]
    summary = summarize(frames_of(*trials, compare="optimizer", repeats=seeds))
    assert "Trained again from other seeds" in shown(summary)


def test_what_is_next_is_a_command_and_a_change_of_the_space_is_lines_of_its_file():
    """Flags alone would search another data set; a command would not fit the lines of a space."""
    text = shown(summarize(frames_of(("complete", [3.0, 2.0], {}), space={"lr": [0.01, 0.1]})))
    command = "python -m sweeps.report --study digits --next next.toml"
    assert "\n      space: lr = [0.001, 0.01, 0.1]\n" in text
    assert f"\n      next: {command}\n" in text
    assert (
        f"\nWrite this space to a file, and print the command that searches it:\n  {command}\n"
        in text
    )


def test_a_regression_has_no_accuracy_to_show():
    """Neither in the winner's line, nor as a column of a table."""
    frames = frames_of(("complete", [2.0, 1.0], {}), ("complete", [3.0, 2.0], {}))
    frames.curves["val_accuracy"] = math.nan
    assert winner_line(summarize(frames)).endswith("val_loss 1 at epoch 2")
    assert "accuracy</" not in to_page(frames)

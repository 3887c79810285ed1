"""A study's summary as a table for the terminal, as Markdown, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from string import ascii_uppercase
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from sweeps.progress import duration
from sweeps.report.across import across
from sweeps.report.confirmed import LEAST_SEEDS, TIED
from sweeps.report.frames import StudyFrames
from sweeps.report.notes import share
from sweeps.report.summary import Summary, summarize
from sweeps.search.objectives import SECOND_OBJECTIVES
from sweeps.space import SEARCHED
from trainer.metrics import TEST_ACCURACY, VAL_ACCURACY
from trainer.record import BEST, BEST_EPOCH
from trainer.references import is_reference

JSON_FORMAT = 1
"""Raised with any change that a reader of the JSON would trip over."""


def render_table(summary: Summary, console: Console) -> None:
    """Print the summary for people: 80 columns do, and commands stay whole in fewer, to be copied.

    A console that is no terminal gets plain text.
    """

    def say(text: str = "", style: str = "", whole: bool = False) -> None:
        console.print(text, style=style, highlight=False, markup=False, soft_wrap=whole)

    for line in headlines(summary):
        say(line)
    if summary.winner is not None:
        say()
        say(winner_line(summary), "bold green")
        say(_settings(summary.winner.params))
        if line := confirmed_line(summary):
            say(line)
    for title, frame in tables(summary):
        say()
        say(title, "bold")
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
        for header in frame.columns:
            words = header in ("state", "optimizer", "settings", "verdict")
            table.add_column(header, justify="left" if words else "right", overflow="fold")
        for row in frame.itertuples(index=False):
            table.add_row(*row)
        console.print(table, highlight=False, markup=False)
    say()
    for note in summary.notes:
        say(f"note: {note}", "yellow")
    for sentence in summary.advice:
        seen, _, change = sentence.partition(" Next: ")
        say(f"note: {seen}", "yellow")
        say(f"      next: {change}", whole=True)
    say()
    for what, command in _next(summary):
        say(f"{what}:", "bold")
        say(f"  {command}", whole=True)


def render_across(studies: Sequence[StudyFrames], console: Console) -> None:
    """Print how several studies compare."""
    rows = across(studies)
    for letter, name in zip(ascii_uppercase, rows["study"], strict=False):
        console.print(f"{letter}  {name}", highlight=False, markup=False, soft_wrap=True)
    console.print()
    target = f"to reach {short(rows['target'].iloc[0])}"
    headers = ("", "trials", f"best {rows['objective'].iloc[0]}", "epochs", "time", target, "")
    table = Table(*headers, box=None, padding=(0, 1, 0, 0), header_style="dim")
    for letter, row in zip(ascii_uppercase, rows.to_dict("records"), strict=False):
        table.add_row(
            letter,
            str(row["trials"]),
            short(row["best"]),
            f"{row['trained_epochs']} trained, {row['reused_epochs']} reused",
            _time(row["seconds"]),
            "" if pd.isna(row["epochs_to_target"]) else f"{row['epochs_to_target']} epochs",
            _time(row["seconds_to_target"]),
        )
    console.print(table, highlight=False, markup=False)


def _time(seconds: float) -> str:
    return "" if pd.isna(seconds) else duration(seconds)


def markdown(summary: Summary) -> str:
    """The summary as Markdown."""
    parts = [f"# Study {summary.study}", "\n".join(f"- {line}" for line in headlines(summary))]
    if summary.winner is not None:
        parts += ["## Winner", f"{winner_line(summary)}: {_settings(summary.winner.params)}"]
        parts += [line] if (line := confirmed_line(summary)) else []
    for title, frame in tables(summary):
        parts += [f"## {title}", _markdown_table(frame)]
    if summary.notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in summary.notes)]
    if summary.advice:
        parts += ["## What to try next", "\n".join(f"- {it}" for it in summary.advice)]
    parts += ["## Next"]
    parts += [f"{what}:\n\n```\n{command}\n```" for what, command in _next(summary)]
    return "\n\n".join(parts) + "\n"


def markdown_across(studies: Sequence[StudyFrames]) -> str:
    """How several studies compare, as Markdown; a column a study.

    Raises:
        SweepError: they cannot be compared.
    """
    facts = across(studies).set_index("study").T.reset_index(names="").map(short)
    return f"# {len(studies)} studies\n\n{_markdown_table(facts)}\n"


def _markdown_table(texts: pd.DataFrame) -> str:
    cells = texts.map(lambda text: text.replace("|", "\\|"))
    rows = [texts.columns, ["---"] * len(texts.columns), *cells.to_numpy()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def to_json(studies: Sequence[StudyFrames]) -> str:
    """Summary and both frames of a study as JSON; what is no finite number is null in it.

    Of several studies: their comparison, and a list of them.

    Raises:
        SweepError: the studies cannot be compared.
    """
    each = [
        {
            "study": frames.name,
            "objective": frames.objective,
            "summary": asdict(summarize(frames)),
            "trials": frames.trials,
            "curves": frames.curves,
        }
        for frames in studies
    ]
    content = each[0] if len(each) == 1 else {"across": across(studies), "studies": each}
    return (
        json.dumps(_jsonable({"format": JSON_FORMAT} | content), indent=1, allow_nan=False) + "\n"
    )


def _jsonable(value: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        value = value.to_dict("records")
    if isinstance(value, dict):
        return {name: _jsonable(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if value is None or pd.isna(value) or value in (math.inf, -math.inf):
        return None
    return value.isoformat() if isinstance(value, pd.Timestamp) else value


def headlines(summary: Summary) -> Iterable[str]:
    """What the study is, and what it took."""
    kind = "highest" if summary.maximize else "lowest"
    yield f"study {summary.study}: the {kind} {summary.objective} of a trial's epochs wins"
    if summary.second:
        kind = "highest" if SECOND_OBJECTIVES[summary.second] else "lowest"
        yield f"second objective: the {kind} {summary.second}"
    counts = ", ".join(f"{n} {state}" for state, n in summary.counts.items())
    yield f"trials: {summary.trials} of {summary.asked} asked for" + (counts and f": {counts}")
    reused = share(summary.reused_epochs, summary.epochs)
    yield f"epochs: {summary.epochs} asked for, {summary.trained_epochs} trained; reused {reused}"
    if summary.spared_epochs or summary.reused_epochs:
        yield (
            f"saved: {summary.spared_epochs} epochs ({duration(summary.spared_seconds)} of "
            f"training) as trials were stopped, {summary.reused_epochs} "
            f"({duration(summary.reused_seconds)}) by reuse"
        )
    if summary.seconds is not None:
        yield f"wall time: {duration(summary.seconds)}"


def winner_line(summary: Summary) -> str:
    """Which trial won; "" where none did yet."""
    won = summary.winner
    if won is None:
        return ""
    text = f"winner: trial {won.trial} ({won.state}), {summary.objective} {short(won.value)}"
    if summary.objective != VAL_ACCURACY:
        text += f", {VAL_ACCURACY} {short(won.val_accuracy)}"
    if won.test_accuracy is not None:
        text += f", {TEST_ACCURACY} {short(won.test_accuracy)}"
    return f"{text} after epoch {won.epoch}"


def confirmed_line(summary: Summary) -> str:
    """How the winner does from other seeds, and which other trials do as well; "": not tried."""
    if summary.confirmed.empty:
        return ""
    best = summary.confirmed.iloc[0]
    spread = "" if pd.isna(best["std"]) else f" (standard deviation {_rounded(best['std'])})"
    seeds = "1 other seed" if best["seeds"] == 1 else f"{best['seeds']} other seeds"
    tied = summary.confirmed.loc[summary.confirmed["verdict"] == TIED, "trial"]
    others = "no other is tied with it"
    if len(tied):
        which = "trial" if len(tied) == 1 else "trials"
        others = f"{which} {', '.join(map(str, tied))} tied with it"
    elif best["seeds"] < LEAST_SEEDS:
        others = f"too few to compare by: --repeats {LEAST_SEEDS} or more"
    return (
        f"confirmed: from {seeds} trial {best['trial']} has a mean {summary.objective} of "
        f"{_rounded(best['mean'])}{spread}; {others}"
    )


def _settings(params: Mapping[str, Any]) -> str:
    return "  ".join(f"{name}={short(value)}" for name, value in params.items())


def tables(summary: Summary) -> Iterable[tuple[str, pd.DataFrame]]:
    """Titles and frames of text."""
    if len(summary.top):
        count = f"{len(summary.top)} of {summary.ranked} complete and pruned trials"
        yield f"Best {count}, by {summary.objective}", _listed(summary, summary.top)
    if len(summary.confirmed):
        yield "Trained again from other seeds, by mean", _compared(summary.confirmed)
    if len(summary.front):
        both = f"{summary.objective} and {summary.second}"
        yield f"Beaten by no other in both {both}", _listed(summary, summary.front)
    if len(summary.by_optimizer):
        yield "By optimizer", summary.by_optimizer.map(_brief)


def _listed(summary: Summary, trials: pd.DataFrame) -> pd.DataFrame:
    """The trials; what not every trial has goes into one column, so that 80 columns do."""
    texts = trials.map(_brief)
    texts[BEST_EPOCH] += "/" + texts.pop("epochs")
    names = {BEST + summary.objective: "best", BEST_EPOCH: "epoch", "step_size": "step"}
    columns = list(texts.columns)
    searched = [name for name in SEARCHED if name in columns]
    plain = [*columns[: columns.index(BEST_EPOCH) + 1], *searched]
    others = texts.drop(columns=plain).to_dict("records")
    shown = texts[plain].rename(columns=names)
    settings = [" ".join(f"{name}={it}" for name, it in row.items() if it) for row in others]
    return shown.assign(settings=settings) if others[0] else shown


def _compared(confirmed: pd.DataFrame) -> pd.DataFrame:
    """The comparison with the best, an interval as one text."""
    numbers = confirmed[["mean", "std", "difference"]].map(_rounded)
    low, high = confirmed["low"].map(_rounded), confirmed["high"].map(_rounded)
    counts = confirmed[["trial", "seeds", "diverged"]].astype("str")
    shown = pd.concat([counts, numbers], axis=1)
    shown["95 %"] = (low + " to " + high).where(confirmed["low"].notna(), "")
    shown["verdict"] = confirmed["verdict"]
    return shown.drop(columns=[] if confirmed["diverged"].any() else ["diverged"])


def _rounded(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.4g}"


def _next(summary: Summary) -> Iterable[tuple[str, str]]:
    yield "See every epoch of it", summary.view
    if summary.winner is not None:
        yield "Train the winner again", summary.winner.command


def _brief(value: Any) -> str:
    """As `short`, and of what users bring its last name, so that a table's columns stay narrow."""
    text = short(value)
    return text.rpartition(":")[2] if is_reference(text) else text


def short(value: Any) -> str:
    """Six digits, more where those would turn nearly 1 into 1; "" for what is missing."""
    if value is None or pd.isna(value):
        return ""
    if not isinstance(value, float):
        return str(value)
    texts = (f"{value:.{digits}g}" for digits in range(6, 18))
    return next(text for text in texts if float(text) != 1 or value == 1)

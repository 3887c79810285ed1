"""The report's page, as text and in a browser."""

from __future__ import annotations

import html
import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from studies import frames_of

from sweeps.report.page import across_page, to_page
from sweeps.report.reading.frames import StudyFrames
from sweeps.report.summary import summarize

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


REPEATS = [(trial, seed, 1.0 + trial) for trial in (0, 1, 2) for seed in range(5)]


def study(trials: int = 12, **more: Any) -> StudyFrames:
    """Complete, pruned and diverged trials of two optimizers."""
    made = []
    for number in range(trials):
        state = ("complete", "pruned", "complete", "diverged")[number % 4]
        params = {
            "optimizer": ("SGD", "AdamW")[number % 2],
            "lr": 10.0 ** -(number % 5),
            "step_size": 1 + number % 3,
            "gamma": 0.1 * (1 + number % 7),
        }
        values = [2.0 + number / trials, 1.0 + number / 7, 1.5]
        made.append((state, values[: 1 if state == "diverged" else 3], params))
    return frames_of(*made, **more)


def figures(page: str) -> list[dict[str, Any]]:
    """What is given to plotly: data and layout of each figure."""
    decode, found = json.JSONDecoder().raw_decode, []
    for call in re.finditer(r'Plotly\.newPlot\(\s*"figure-\d+",\s*', page):
        data, end = decode(page, call.end())
        layout, _ = decode(page, page.index("{", end))
        found.append({"data": data, "layout": layout})
    return found


@pytest.mark.parametrize(
    "frames",
    [
        study(),
        frames_of(),
        frames_of(("diverged", [math.inf], {})),
        frames_of(("running", [], {}), ("failed", [], {})),
        frames_of(("complete", [1.0], {})),
        frames_of(("suspended", [2.0, 1.0], {}), ("running", [1.0], {}), asked=9),
        study(second="seconds"),
        study(objective="val_accuracy"),
        study(repeats=REPEATS),
        study(compare="optimizer", repeats=REPEATS),
        study(compare="step_size", objective="val_accuracy"),
        frames_of(("diverged", [math.inf], {}), compare="optimizer"),
        frames_of(("complete", [1.0], {}), compare="optimizer"),
    ],
    ids=[
        *["all", "none", "diverged", "begun", "one", "suspended", "two", "accuracy", "confirmed"],
        *["compared", "compared steps", "compared, diverged", "compared, one"],
    ],
)
def test_any_study_has_a_page_that_needs_nothing_else(frames: StudyFrames) -> None:
    """No script, style, font or image comes from elsewhere; all is escaped."""
    page = to_page(frames)
    assert "<title>Study digits</title>" in page
    own = page.partition("<script>/**")[0] + page.rpartition("</script>")[2]
    assert not re.search(r"(src|href)=|@import|url\(", own)


def test_the_numbers_in_the_page_are_those_of_the_frames() -> None:
    """In the table of all trials to the last digit, in the curves as well."""
    frames = study()
    page = to_page(frames)
    rows = re.findall(r"<tr>(.*?)</tr>", page.partition('id="trials"')[2], flags=re.DOTALL)
    names = re.findall(r"<button type=\"button\">(.*?)</button>", rows[0])
    for row, trial in zip(rows[1:], frames.trials.to_dict("records"), strict=True):
        values = dict(zip(names, re.findall(r'data-value="(.*?)"', row), strict=True))
        assert int(values["trial"]) == trial["trial"]
        for name in ("lr", "gamma", "best_val_loss"):
            value = trial[name]
            assert values[name] == "" if math.isnan(value) else float(values[name]) == value
    curves = figures(page)[0]["data"]
    drawn = [line["y"] for line in curves if line["y"] != [None]]
    expected = [rows["val_loss"].tolist() for _, rows in frames.curves.groupby("trial")]
    assert sorted(drawn) == sorted(expected)
    winner = summarize(frames).winner
    assert winner is not None
    assert html.escape(winner.command) in page


def test_the_page_has_the_accuracy_at_the_best_epoch() -> None:
    """Not that of the last one, nor the best of another; in both tables of trials."""
    frames = frames_of(("complete", [2.0, 1.0, 3.0], {}))
    frames.curves["val_accuracy"] = [0.1, 0.625, 0.9]
    page, _, table = to_page(frames).partition('id="trials"')
    assert 'data-value="0.625"' in table
    assert 'data-value="0.9"' not in table
    best = page.partition("<h2>Best 1 of 1")[2].partition("</table>")[0]
    assert "<th>accuracy</th><th>at</th>" in best
    assert "<td>0.625</td><td>2</td>" in best


def test_an_accuracy_that_trials_are_judged_by_has_one_column() -> None:
    """It is the best value."""
    best = to_page(study(objective="val_accuracy")).partition("<h2>Best ")[2].partition("</table>")
    assert "<th>best</th><th>at</th>" in best[0]


def test_no_title_of_a_figure_is_wider_than_a_telephone() -> None:
    """Long ones are in several lines."""
    for figure in figures(to_page(study())):
        assert max(map(len, figure["layout"]["title"]["text"].split("<br>"))) <= 40


def test_a_comparison_has_its_section_and_two_figures() -> None:
    """The sentence after the winner; expected best first of all figures; rates by its values."""
    more = {"repeats": REPEATS, "space": {"gamma": {"low": 0.1, "high": 0.7, "step": 0.1}}}
    plain, frames = study(**more), study(compare="step_size", **more)
    page, comparison = to_page(frames), summarize(frames).comparison
    assert comparison is not None
    sections = ["Winner", "Comparison of step_size", "Notes", "What to try next"]
    places = [page.index(f"<h2>{it}</h2>") for it in sections]
    assert places == sorted(places)
    assert places[1] < page.index(html.escape(comparison.answer)) < places[2]
    titles = [it["layout"]["title"]["text"] for it in figures(page)]
    assert titles[:2] == [
        "Expected best of each step_size",
        "Result by learning rate and step_size",
    ]
    assert titles[2:] == [it["layout"]["title"]["text"] for it in figures(to_page(plain))]
    assert "Comparison of" not in to_page(plain)


def test_too_few_complete_trials_for_importances_are_told() -> None:
    """In a line, where the figure would be; nothing of it once there are enough."""
    trials = [("complete", [3.0, 1.0 + n / 9], {"lr": 0.1 + n}) for n in range(10)]
    few = to_page(frames_of(*trials[:1], ("suspended", [3.0, 0.5], {})))
    assert "importance of parameters needs 10 complete trials, but there is 1." in few
    assert "<h2>Best so far</h2>" in few
    assert "complete trials, but there" not in to_page(frames_of(*trials))


def test_the_table_of_all_trials_has_the_best_of_suspended_ones() -> None:
    """MLflow has it of trials that have ended only."""
    page = to_page(frames_of(("suspended", [3.0, 0.25, 7.0], {}), ("failed", [], {})))
    assert '<td data-value="0.25">0.25</td><td data-value="2">2</td>' in page


def test_of_thousands_of_trials_the_best_are_lines_and_the_rest_a_band() -> None:
    """The page stays legible, and small enough to be opened."""
    page = to_page(study(2000))
    lines = figures(page)[0]["data"]
    assert len(lines) < 150
    assert any(line.get("name") == "8 of 10 trials" for line in lines)
    assert len(page) < 12e6


def test_names_are_text_and_never_code() -> None:
    """Whatever users call their classes."""
    evil = "<script>alert(1)</script>"
    page = to_page(frames_of(("complete", [1.0, 2.0], {"optimizer": evil})))
    assert evil not in page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    if BROWSER is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium must be there, but no chromium or google-chrome is.")
        pytest.skip("There is no chromium or google-chrome here.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=BROWSER,
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )
        yield started
        started.close()


def opened(
    browser: Any, page: str, folder: Path, scheme: str, width: int = 1200
) -> tuple[Any, list[str]]:
    """The page in the browser, without a network, and what its console says is wrong."""
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    viewport = {"width": width, "height": 800}
    context = browser.new_context(color_scheme=scheme, offline=True, viewport=viewport)
    tab, wrong = context.new_page(), list[str]()
    tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.goto(path.as_uri())
    return tab, wrong


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_every_figure_is_drawn_and_legible(
    browser: Any, tmp_path: Path, scheme: str
) -> None:
    """No error in the console; text has the colour of the page, which fits the scheme."""
    page = to_page(study(compare="step_size", repeats=REPEATS))
    tab, wrong = opened(browser, page, tmp_path, scheme)
    drawn = tab.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot')].map(it => ["
        "it.querySelector('.gtitle').textContent, "
        "it.querySelectorAll('.trace, .bars, .parcoords').length])"
    )
    assert len(drawn) == len(figures(page)) >= 9
    assert all(title and traces for title, traces in drawn), drawn
    text = tab.evaluate("getComputedStyle(document.body).color")
    title = tab.evaluate("getComputedStyle(document.querySelector('.gtitle')).fill")
    assert title == text
    brightness = sum(map(int, re.findall(r"\d+", text)[:3]))
    assert (brightness > 380) == (scheme == "dark")
    assert wrong == []


@pytest.mark.slow
def test_in_a_browser_the_page_is_no_wider_than_a_telephone(browser: Any, tmp_path: Path) -> None:
    """Wide tables scroll in their boxes; no title of a figure is cut."""
    page = to_page(study(compare="step_size", repeats=REPEATS))
    tab, _ = opened(browser, page, tmp_path, "light", width=390)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    ends = "[...document.querySelectorAll('.gtitle')].map(it => it.getBoundingClientRect().right)"
    assert max(tab.evaluate(ends)) <= 390


@pytest.mark.slow
def test_in_a_browser_the_table_sorts_by_value(browser: Any, tmp_path: Path) -> None:
    """Up, then down; what is missing stays at the end."""
    frames = study()
    tab, wrong = opened(browser, to_page(frames), tmp_path, "light")
    texts = "[...document.querySelectorAll('#trials {}')].map(it => it.{})"
    names = tab.evaluate(texts.format("th", "textContent"))
    for name in ("best_val_loss", "lr", "optimizer"):
        column = names.index(name)
        values = frames.trials[name].dropna().tolist()
        for falling in (False, True):
            tab.click(f"#trials th:nth-child({column + 1}) button")
            shown = tab.evaluate(texts.format("tbody tr", f"cells[{column}].dataset.value"))
            known = [it if name == "optimizer" else float(it) for it in shown if it]
            assert known == sorted(values, reverse=falling)
            assert set(shown[len(known) :]) <= {""}
    assert wrong == []


@pytest.mark.slow
def test_in_a_browser_studies_are_compared(browser: Any, tmp_path: Path) -> None:
    """Two figures, of all studies."""
    tab, wrong = opened(browser, across_page([study(), study(8)]), tmp_path, "light")
    assert tab.evaluate("document.querySelectorAll('.js-plotly-plot .main-svg').length") >= 2
    assert wrong == []

import ast
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

import sweeps.confirm
import sweeps.promote
import sweeps.report.__main__
import sweeps.run
import sweeps.space.__main__
import trainer.__main__
from trainer import metrics, record, tracking

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
TEXTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")

COMMANDS = {
    "trainer": typer.main.get_command(trainer.__main__.app),
    "sweeps.run": typer.main.get_command(sweeps.run.app),
    "sweeps.confirm": typer.main.get_command(sweeps.confirm.app),
    "sweeps.promote": typer.main.get_command(sweeps.promote.app),
    "sweeps.report": typer.main.get_command(sweeps.report.__main__.app),
    "sweeps.space": typer.main.get_command(sweeps.space.__main__.app),
}
PACKAGES = ("trainer", "sweeps")


def options(command: str) -> dict[str, Any]:
    """A command's options by each of the flags that set them."""
    found = [option for option in COMMANDS[command].params if option.name != "help"]
    found = [option for option in found if option.opts[0].startswith("-")]  # no arguments
    return {flag: it for it in found for flag in (*it.opts, *it.secondary_opts)}


def documented(command: str) -> dict[str, str]:
    """What the README's tables give as default for each flag of a command, without backticks."""
    defaults = {}
    for section in re.split(r"^##+ ", README, flags=re.MULTILINE):
        heading, _, body = section.partition("\n")
        if f"`python -m {command}`" in heading:
            for flags, default in re.findall(r"^\| (`-.*?) \| (.*?) ?\|", body, flags=re.MULTILINE):
                defaults |= dict.fromkeys(re.findall(r"`(-[^`]+)`", flags), default)
    return {flag: default.replace("`", "") for flag, default in defaults.items()}


def code(text: str) -> list[str]:
    """Every line of code in Markdown: in fences, indented, or between backticks; no comments."""
    fences = re.findall(r"^```.*?\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4}(.+)$", text, flags=re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", text)
    return [
        re.sub(r"\s#.*", "", line).strip()
        for line in ("\n".join(fences).splitlines() + indented + spans)
    ]


def commands(name: str) -> list[list[str]]:
    """The words after `python -m` of every such command in a text."""
    lines = (line.partition("python -m ") for line in code((ROOT / name).read_text()))
    return [
        shlex.split(rest) for before, found, rest in lines if found and before in ("", ".venv/bin/")
    ]


def tree(package: str) -> dict[str, str]:
    """What the README's annotated tree says of each module of a package, and of those in it."""
    lines = re.search(rf"^{package}/ .*\n((?: +\S+ .*\n)+)", README, flags=re.MULTILINE)
    assert lines is not None
    gists, folders = {}, [(0, f"{package}/")]
    for line in lines[0].splitlines():
        name, gist = line.split(maxsplit=1)
        indent = len(line) - len(line.lstrip())
        while indent and folders[-1][0] >= indent:
            folders.pop()
        path = folders[-1][1] + name if indent else name
        if name.endswith("/"):
            folders.append((indent, path))
            path += "__init__.py"
        gists[path] = gist
    return gists


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_has_help(command: str) -> None:
    """Each option says in `--help` what it does."""
    assert [flag for flag, option in options(command).items() if not option.help] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_has_every_flag_and_no_other(command: str) -> None:
    """The tables under a command's name list exactly the flags it takes."""
    assert sorted(documented(command)) == sorted(options(command))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_has_the_defaults_of_the_flags(command: str) -> None:
    """The second column of those tables is what `--help` shows as default, or empty."""
    shown = {}
    for flag, option in options(command).items():
        said = option.show_default
        default = said if isinstance(said, str) else option.default
        shown[flag] = "" if default in (None, False, "") else str(default)
    assert documented(command) == shown


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_in_the_texts_is_one_that_parses(name: str) -> None:
    """Each `python -m ...` is a command of this project, with flags and values that it takes."""
    for module, *words in commands(name):
        assert module in COMMANDS
        COMMANDS[module].make_context(module, words)


def test_the_readme_shows_every_command() -> None:
    """Each command stands in a line of code."""
    assert {module for module, *_ in commands("README.md")} == COMMANDS.keys()


@pytest.mark.parametrize("name", TEXTS)
def test_every_make_target_in_the_texts_exists(name: str) -> None:
    """Each `make TARGET` is a rule of the Makefile with a line of help; `ARGS` parse as flags."""
    rules = re.findall(r"^([a-z]+):.*## \S", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for line in code((ROOT / name).read_text()):
        if line.startswith("make "):
            _, target, *given = shlex.split(line)
            assert target in rules
            for word in given if target == "sweep" else ():
                flags = word.removeprefix("ARGS=")
                COMMANDS["sweeps.run"].make_context("sweeps.run", shlex.split(flags))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_tree_in_the_readme_names_every_module_and_no_other(package: str) -> None:
    """The annotated tree has a line with a gist for each module; a folder's is its package's."""
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py")}
    assert tree(package).keys() == modules


@pytest.mark.parametrize("package", PACKAGES)
def test_the_tree_in_the_readme_speaks_of_what_the_modules_say_they_are(package: str) -> None:
    """Each line of it shares a word, five letters or longer, with the module's docstring."""

    def words(text: str) -> set[str]:
        return set(re.findall(r"[a-z]{5,}", text.lower()))

    for name, gist in tree(package).items():
        doc = ast.get_docstring(ast.parse((ROOT / name).read_text()))
        assert doc is not None
        assert words(gist) & words(doc), name


@pytest.mark.parametrize("word", [*metrics.EPOCH_METRICS, *record.FINAL_STATES, *tracking.STATUS])
def test_the_readme_explains_every_metric_and_state(word: str) -> None:
    """Each stands in backticks in the first cells of a table."""
    assert re.search(rf"^\|.*`{word}`.*\|", README, flags=re.MULTILINE)


def test_every_link_within_the_readme_leads_somewhere() -> None:
    """Each `#anchor` is a heading."""
    headings = re.findall(r"^#+ (.+)$", README, flags=re.MULTILINE)
    anchors = {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= anchors


@pytest.mark.parametrize("name", TEXTS)
def test_every_file_that_the_texts_point_to_exists(name: str) -> None:
    """Each path of a module or a test, and each file named in capitals, is there."""
    paths = re.findall(
        r"(?<![\w/])((?:trainer|sweeps|tests|examples|benchmarks)/[\w/]+\.\w+|[A-Z]+\.md)\b",
        (ROOT / name).read_text(),
    )
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_constraints_hold_a_version_of_all_that_is_asked_for() -> None:
    """Whatever pyproject.toml names, also for tests, is pinned in constraints.txt."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {re.split(r"[<>=!~\[; ]", requirement)[0].lower() for requirement in asked}
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    assert names <= set(pinned)

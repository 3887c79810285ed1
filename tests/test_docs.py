import ast
import inspect
import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main

import sweeps.confirm
import sweeps.doctor.__main__
import sweeps.promote.__main__
import sweeps.report.__main__
import sweeps.run
import sweeps.space.__main__
import trainer.__main__
from sweeps.search.objectives import SECOND_OBJECTIVES
from sweeps.search.pruning import PRUNERS
from sweeps.search.sampling import SAMPLERS
from sweeps.space.file import parse_space
from trainer import metrics
from trainer.settings.config import DATASETS, TrainConfig
from trainer.settings.paths import Paths
from trainer.tracking import mlflow_tracker as tracking
from trainer.tracking import names as tags
from trainer.tracking import record

ROOT = Path(__file__).parents[1]
PAGES = tuple(sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
TEXTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", *PAGES)

COMMANDS = {
    "trainer": typer.main.get_command(trainer.__main__.app),
    "sweeps.run": typer.main.get_command(sweeps.run.app),
    "sweeps.confirm": typer.main.get_command(sweeps.confirm.app),
    "sweeps.promote": typer.main.get_command(sweeps.promote.__main__.app),
    "sweeps.doctor": typer.main.get_command(sweeps.doctor.__main__.app),
    "sweeps.report": typer.main.get_command(sweeps.report.__main__.app),
    "sweeps.space": typer.main.get_command(sweeps.space.__main__.app),
}


def read(name: str) -> str:
    """One of the texts."""
    return (ROOT / name).read_text()


def options(command: str) -> dict[str, Any]:
    """A command's options by each of the flags that set them."""
    found = [option for option in COMMANDS[command].params if option.name != "help"]
    found = [option for option in found if option.opts[0].startswith("-")]  # no arguments
    return {flag: it for it in found for flag in (*it.opts, *it.secondary_opts)}


def documented(command: str) -> dict[str, str]:
    """What the reference gives as default for each flag of a command, without backticks."""
    defaults: dict[str, str] = {}
    for section in re.split(r"^##+ ", read("docs/commands.md"), flags=re.MULTILINE):
        heading, _, body = section.partition("\n")
        if f"`python -m {command}`" in heading:
            for flags, default in re.findall(r"^\| (`-.*?) \| (.*?) ?\|", body, flags=re.MULTILINE):
                defaults |= dict.fromkeys(re.findall(r"`(-[^`]+)`", flags), default)
    return {flag: default.replace("`", "") for flag, default in defaults.items()}


def code(text: str) -> list[str]:
    """Every line of code in Markdown: in fences, indented, or between backticks.

    Without comments, and without where a shell writes the output to.
    """
    fences = re.findall(r"^```.*?\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4}(.+)$", text, flags=re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", text)
    return [
        re.sub(r"\s[#>].*", "", line).strip()
        for line in ("\n".join(fences).splitlines() + indented + spans)
    ]


def commands(name: str) -> list[list[str]]:
    """The words after `python -m` of every such command in a text."""
    lines = (line.partition("python -m ") for line in code(read(name)))
    return [
        shlex.split(rest) for before, found, rest in lines if found and before in ("", ".venv/bin/")
    ]


def headings(text: str) -> set[str]:
    """The anchors of the headings of a text, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", it).strip().lower().replace(" ", "-") for it in found}


def first_cells(name: str) -> set[str]:
    """What stands in backticks in the first cell of a row of some table of a text."""
    cells = re.findall(r"^\|([^|]*)\|", read(name), flags=re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def classes(name: str) -> dict[str, str]:
    """The rows of the tables of samplers and pruners in a text: a class, and the rest of it."""
    rows = re.findall(r"^\| `(\w+(?:Sampler|Pruner)|none)`(.*)$", read(name), flags=re.MULTILINE)
    return {name: rest for name, rest in rows if not rest.startswith((",", " | `"))}


@cache
def messages() -> tuple[re.Pattern[str], ...]:
    """All that the program can say."""
    return tuple(find_messages())


def find_messages() -> Iterator[re.Pattern[str]]:
    """What the program can say: each of its texts of more than a few words, as a pattern."""
    for path in (*(ROOT / "trainer").rglob("*.py"), *(ROOT / "sweeps").rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        formatted = [node for node in nodes if isinstance(node, ast.JoinedStr)]
        within = {id(part) for node in formatted for part in node.values}
        each: list[list[ast.expr]] = [node.values for node in formatted]
        each += [[it] for it in nodes if isinstance(it, ast.Constant) and id(it) not in within]
        for parts in each:
            said = [it.value if isinstance(it, ast.Constant) else None for it in parts]
            texts = ["" if it is None else str(it) for it in said]
            if len("".join(texts)) > 15:
                yield re.compile("".join(".*" if it is None else pattern(str(it)) for it in said))
    for beginning in re.findall(r'"(error: [^"$]+)', read("Makefile")):
        yield re.compile(pattern(beginning) + ".*")


def pattern(text: str) -> str:
    """A pattern for a text, however its lines are broken."""
    return re.sub(r"(?:\\?\s)+", r"\\s*", re.escape(text))


def parses(command: str, words: list[str]) -> bool:
    """Whether a command takes these flags and values."""
    try:
        COMMANDS[command].make_context(command, words)
    except typer.TyperException:
        return False
    return True


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_has_help(command: str) -> None:
    """Each option says in `--help` what it does."""
    assert [flag for flag, option in options(command).items() if not option.help] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_the_reference_has_every_flag_and_no_other(command: str) -> None:
    """The table under a command's name lists exactly the flags it takes."""
    assert sorted(documented(command)) == sorted(options(command))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_reference_has_the_defaults_of_the_flags(command: str) -> None:
    """The second column of that table is what `--help` shows as default, or empty."""
    shown = {}
    for flag, option in options(command).items():
        said = option.show_default
        default = said if isinstance(said, str) else option.default
        shown[flag] = "" if default in (None, False, "") else str(default)
    assert documented(command) == shown


def test_the_reference_is_what_the_programs_say() -> None:
    """It is what `python docs/make_commands.py` writes; after a change of a flag run that."""
    made = runpy.run_path(str(ROOT / "docs" / "make_commands.py"))
    assert read("docs/commands.md") == made["text"]()


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_in_the_texts_is_one_that_parses(name: str) -> None:
    """Each `python -m ...` is a command of this project, with flags and values that it takes."""
    for module, *words in commands(name):
        assert module in COMMANDS
        COMMANDS[module].make_context(module, words)


@pytest.mark.parametrize("name", TEXTS)
def test_every_flag_in_the_texts_is_one_that_some_command_takes(name: str) -> None:
    """Each piece of code that begins with `--` is a flag, or a flag with a value that is taken.

    A capital letter in it stands for a number.
    """
    for line in code(read(name)):
        if line.startswith("--") and line != "--help":
            flag, *values = ("1" if re.fullmatch("[A-Z]", it) else it for it in shlex.split(line))
            takers = [it for it in COMMANDS if flag in options(it)]
            assert takers, line
            if values:
                assert any(parses(it, [flag, *values]) for it in takers), line


def test_the_readme_shows_every_command() -> None:
    """Each command stands in a line of code."""
    assert {module for module, *_ in commands("README.md")} == COMMANDS.keys()


@pytest.mark.parametrize("name", TEXTS)
def test_every_make_target_in_the_texts_exists(name: str) -> None:
    """Each `make TARGET` is a rule of the Makefile with a line of help; `ARGS` parse as flags."""
    rules = re.findall(r"^([a-z-]+):.*## \S", read("Makefile"), flags=re.MULTILINE)
    for line in code(read(name)):
        if line.startswith("make "):
            _, target, *given = shlex.split(line)
            assert target in rules
            for word in given if target == "sweep" else ():
                flags = word.removeprefix("ARGS=")
                COMMANDS["sweeps.run"].make_context("sweeps.run", shlex.split(flags))


def test_the_map_of_folders_names_every_package_and_no_other() -> None:
    """Each folder of a package has a row in CONTRIBUTING.md, which names the folders within it."""
    text = read("CONTRIBUTING.md")
    rows = dict(re.findall(r"^\| `([\w/]+/)` \| (\S.*) \|$", text, flags=re.MULTILINE))
    found = [
        path.parent
        for name in ("trainer", "sweeps")
        for path in ROOT.rglob("__init__.py")
        if path.relative_to(ROOT).parts[0] == name and path.parent.parent != ROOT
    ]
    parts = [path.relative_to(ROOT).parts for path in found]
    assert rows.keys() == {f"{package}/{folder}/" for package, folder, *_ in parts}
    for package, folder, *within in parts:
        assert all(f"`{name}/`" in rows[f"{package}/{folder}/"] for name in within)


def test_the_readme_says_where_everything_is() -> None:
    """Each folder with code or texts has a row, and so has each place that a sweep writes to."""
    paths, cells = Paths(ROOT), first_cells("README.md")
    kept = (paths.stages, paths.data, paths.journal("").parent, Path(paths.artifacts("sweeps")))
    code_or_text = {path.parent for kind in ("py", "md") for path in ROOT.glob(f"[!.]*/*.{kind}")}
    for folder in (*kept, *code_or_text):
        assert f"{folder.relative_to(ROOT).as_posix()}/" in cells
    assert paths.tracking_uri.rpartition("/")[2] in cells


TAGS = [value for name, value in vars(tags).items() if "_TAG" in name]


@pytest.mark.parametrize(
    "word", [*metrics.EPOCH_METRICS, *record.FINAL_STATES, *tracking.STATUS, *sorted({*TAGS})]
)
def test_the_page_on_metrics_explains_every_metric_state_and_tag(word: str) -> None:
    """Each stands in backticks in the first cell of a row."""
    assert word in first_cells("docs/metrics.md")


def blocks(language: str) -> list[tuple[str, str]]:
    """Every fenced block of a language, with the name of the text that has it."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
    return [(name, block) for name in TEXTS for block in fence.findall(read(name))]


@pytest.mark.parametrize(("name", "block"), blocks("toml"))
def test_every_space_in_the_texts_can_be_searched(name: str, block: str) -> None:
    """Each block of TOML is a search space that passes the check of `--space`."""
    parse_space(block, name).check(TrainConfig())


def test_every_line_of_the_table_of_the_syntax_of_spaces_can_be_written() -> None:
    """Each of these rows begins with an entry of a space."""
    rows = re.findall(r"^\| `(\w+ = .*?)` \|", read("docs/spaces.md"), flags=re.MULTILINE)
    for row in rows:
        parse_space(f"{row}\nmomentum = [0.0, 0.9]", row).check(TrainConfig())
    assert len(rows) == 7


@pytest.mark.parametrize(("name", "block"), blocks("python"))
def test_every_name_imported_in_the_texts_exists(name: str, block: str) -> None:
    """Each block of Python can be compiled, and what it imports can be imported."""
    tree = ast.parse(block)
    tree.body = [it for it in tree.body if isinstance(it, ast.Import | ast.ImportFrom)]
    exec(compile(tree, name, "exec"), {})


def test_the_page_on_data_has_every_data_set() -> None:
    """Each stands in backticks in the first cell of a row."""
    assert set(DATASETS) <= first_cells("docs/data.md")


def test_the_page_on_search_has_every_objective() -> None:
    """Each stands in backticks before the samplers."""
    text = read("docs/search.md").partition("## Samplers")[0]
    assert {f"`{name}`" for name in SECOND_OBJECTIVES} <= set(re.findall(r"`\w+`", text))


def test_the_page_on_search_has_samplers_and_pruners_that_exist() -> None:
    """Each row of those tables is of a class that can be named; ours are all there."""
    found = classes("docs/search.md")
    assert found.keys() <= {*SAMPLERS.names, *PRUNERS.names}
    assert found.keys() >= {*PRUNERS.own, "FrugalSampler", "GridSampler"}


@pytest.mark.parametrize("name", [it for it in classes("docs/search.md") if it in PRUNERS.names])
def test_the_page_on_search_has_the_defaults_of_pruners(name: str) -> None:
    """Each `name=value` of a row is an argument of the class with that default."""
    parameters = inspect.signature(PRUNERS.find(name)).parameters
    defaults = {key: it.default for key, it in parameters.items()} | {
        **PRUNERS.defaults.get(name, {})
    }
    for key, value in re.findall(r"`(\w+)=([^`]+)`", classes("docs/search.md")[name]):
        assert defaults[key] == ast.literal_eval(value)


MESSAGES = re.findall(r"^```text\n(.*?)\n```", read("docs/troubleshooting.md"), re.M | re.S)


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_of_the_page_on_troubleshooting_is_the_programs(message: str) -> None:
    """Some text of the program, with its values filled in, is the message."""
    assert any(it.fullmatch(message) for it in messages())


@pytest.mark.parametrize("name", TEXTS)
def test_every_link_within_the_project_leads_somewhere(name: str) -> None:
    """Each link that is no address is a file or folder, and what follows # a heading in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", read(name)):
        if not target.startswith(("http:", "https:")):
            file, _, anchor = target.partition("#")
            path = (ROOT / name).parent / file if file else ROOT / name
            assert path.exists(), target
            assert not anchor or anchor in headings(path.read_text()), target


@pytest.mark.parametrize("name", ["README.md", "docs/README.md"])
def test_the_readme_and_the_index_lead_to_every_page(name: str) -> None:
    """Each page of docs/ but the index itself is linked."""
    links = re.findall(r"\]\(([^)#\s]+\.md)", read(name))
    there = {((ROOT / name).parent / link).resolve() for link in links}
    assert {(ROOT / page) for page in PAGES if page != "docs/README.md"} <= there


@pytest.mark.parametrize("name", TEXTS)
def test_every_file_that_the_texts_point_to_exists(name: str) -> None:
    """Each path of a module or a test, and each file named in capitals, is there."""
    paths = re.findall(
        r"(?<![\w/])((?:trainer|sweeps|tests|examples|benchmarks)/[\w/]+\.\w+|[A-Z]+\.md)\b",
        read(name),
    )
    folders = (ROOT, (ROOT / name).parent)
    assert [it for it in paths if not any((folder / it).exists() for folder in folders)] == []


def test_the_constraints_hold_a_version_of_all_that_is_asked_for() -> None:
    """Whatever pyproject.toml names, also for tests, is pinned in constraints.txt."""
    project = tomllib.loads(read("pyproject.toml"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {re.split(r"[<>=!~\[; ]", requirement)[0].lower() for requirement in asked}
    pinned = re.findall(r"^([\w.-]+)==", read("constraints.txt"), flags=re.MULTILINE)
    assert names <= set(pinned)

import importlib
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from trainer.errors import ConfigError
from trainer.settings.references import (
    code_digest,
    find,
    is_reference,
    local_code,
    unload_changed,
)


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that users import from."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # which is as old as a second
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def digest_anew(reference: str) -> str:
    """As another process would have it."""
    unload_changed([reference])
    return code_digest(reference)


@pytest.mark.parametrize("text", ["module:name", "package.module:Class", "a.b.c:_d"])
def test_a_reference_is_a_module_and_a_name(text: str) -> None:
    """With a colon between."""
    assert is_reference(text)


@pytest.mark.parametrize(
    "text", ["SGD", "a.b", "a:", ":b", "a:b.c", "a:b:c", "C:/data", "./a:b", "a b:c", "", None, 3]
)
def test_whatever_else_is_none(text: object) -> None:
    """Names, paths and nothing at all."""
    assert not is_reference(text)


def test_what_a_reference_names_is_found(users: Path) -> None:
    """In a module or a package."""
    (users / "single_piece.py").write_text("def make(): return 7\n")
    assert find("model", "single_piece:make")() == 7
    assert find("model", "json.decoder:JSONDecoder").__name__ == "JSONDecoder"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("json:lods", "Unknown name in json 'lods'; did you mean 'loads'?"),
        ("no_such_piece:a", "must be importable from"),
        ("broken_piece:a", "ZeroDivisionError: division by zero"),
        ("__main__:a", "must be in a module that workers can import"),
        ("nothing", "model must be package.module:name, but got 'nothing'"),
    ],
)
def test_what_cannot_be_found_is_told_in_one_line(
    users: Path, reference: str, message: str
) -> None:
    """With the nearest name, or what the import raised."""
    (users / "broken_piece.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError) as caught:
        find("model", reference)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_changed_code_has_another_digest(users: Path) -> None:
    """Any file of the package counts, whichever module is named; other files do not."""
    package = users / "pieces_of_mine"
    (package / "deep").mkdir(parents=True)
    for name in ("__init__.py", "one.py", "deep/__init__.py", "deep/two.py"):
        (package / name).write_text("x = 1\n")
    reference = "pieces_of_mine.one:x"
    first = digest_anew(reference)
    assert digest_anew("pieces_of_mine.deep.two:x") == first
    (package / "notes.txt").write_text("not code")
    (users / "beside.py").write_text("y = 1")
    assert digest_anew(reference) == first
    (package / "deep" / "two.py").write_text("x = 2\n")
    assert digest_anew(reference) != first


def test_a_module_alone_has_the_digest_of_its_file_wherever_it_lies(users: Path) -> None:
    """Not of its path."""
    (users / "lonely_piece.py").write_text("x = 1\n")
    first = digest_anew("lonely_piece:x")
    (users / "lonely_piece.py").write_text("x = 3\n")
    assert digest_anew("lonely_piece:x") != first


def test_installed_code_is_known_by_its_version() -> None:
    """Its files need not be read."""
    version = importlib.metadata.version("torch")
    assert digest_anew("torch.nn.functional:mse_loss") == f"torch=={version}"
    assert digest_anew("timm.models.resnet:resnet18").startswith("timm==")


def test_what_a_module_imports_counts_as_far_as_it_is_not_installed(users: Path) -> None:
    """Wherever in the file it does so, and what that imports in turn; of what is installed its
    version.
    """
    (users / "my_net.py").write_text("def make():\n    from my_layers.conv import x\n")
    (users / "my_layers").mkdir()
    (users / "my_layers" / "__init__.py").write_text("")
    (users / "my_layers" / "conv.py").write_text("import my_maths\nimport numpy, json, trainer\n")
    (users / "my_maths.py").write_text("x = 1\nimport my_net\n")
    first = digest_anew("my_net:make")
    (users / "unrelated.py").write_text("x = 1\n")
    (users / "my_layers" / ".#conv.py").symlink_to("nobody@nowhere.1")  # an editor's lock
    assert digest_anew("my_net:make") == first
    (users / "my_maths.py").write_text("x = 2\nimport my_net\n")
    second = digest_anew("my_net:make")
    assert second != first
    (users / "my_layers" / "conv.py").write_text("import my_maths\nimport json, trainer\n")
    assert digest_anew("my_net:make") != second


def test_of_a_namespace_the_first_folder_that_has_a_module_counts(
    users: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with Python's imports: the same folder again, or another behind it, changes nothing."""
    for name in ("a", "b"):
        (users / name / "shared_space").mkdir(parents=True)
        (users / name / "shared_space" / "net.py").write_text(f"x = '{name}'\n")
    monkeypatch.syspath_prepend(users / "a")
    first = digest_anew("shared_space.net:x")
    monkeypatch.setattr(sys, "path", [*sys.path, str(users / "b")])
    assert digest_anew("shared_space.net:x") == first
    (users / "a" / "shared_space" / "net.py").write_text("x = 2\n")
    assert digest_anew("shared_space.net:x") != first


def test_in_one_process_the_digest_is_that_of_the_code_in_memory(users: Path) -> None:
    """Where work begins, both are brought up to date, with what the module imports."""
    (users / "edited_piece.py").write_text("from edited_helper import x\n")
    (users / "edited_helper.py").write_text("x = 1\n")
    reference = "edited_piece:x"
    first = code_digest(reference)
    assert find("model", reference) == 1
    (users / "edited_helper.py").write_text("x = 2\n")
    assert (code_digest(reference), find("model", reference)) == (first, 1)
    unload_changed([reference])
    assert code_digest(reference) != first
    assert find("model", reference) == 2
    module = sys.modules["edited_piece"]
    unload_changed([reference])
    assert find("model", reference) == 2
    assert sys.modules["edited_piece"] is module


def test_what_was_imported_and_edited_before_anybody_asked_is_imported_anew(users: Path) -> None:
    """As in a notebook whose first cell imports the module."""
    (users / "early_piece.py").write_text("x = 1\n")
    importlib.import_module("early_piece")
    (users / "early_piece.py").write_text("x = 2\n")
    unload_changed(["early_piece:x"])
    assert find("model", "early_piece:x") == 2


def test_what_an_import_sets_for_the_whole_process_is_set_back(users: Path) -> None:
    """Another trial in the same process is none of its business."""
    (users / "rude_piece.py").write_text(
        "import os, torch\ntorch.set_default_dtype(torch.float64)\nos.chdir('/')\nx = 1\n"
    )
    before = Path.cwd()
    assert find("model", "rude_piece:x") == 1
    assert (Path.cwd(), torch.get_default_dtype()) == (before, torch.float32)


def test_the_code_that_another_machine_needs_is_ours_and_what_users_import(users: Path) -> None:
    """Folders of packages and files of modules; what is installed is there already."""
    (users / "single_piece.py").write_text("import torch\nfrom whole_piece import part\n")
    (users / "whole_piece").mkdir()
    (users / "whole_piece" / "part.py").write_text("")
    found = local_code(["single_piece:make", "SGD", "torchvision.models:resnet18"])
    root = Path(__file__).parents[1]
    ours = [root / "sweeps", root / "trainer"]
    assert sorted(found) == sorted([*ours, users / "single_piece.py", users / "whole_piece"])

import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer.errors import ConfigError
from trainer.settings.references import code_digest, find, is_reference


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that users import from."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    code_digest.cache_clear()
    yield tmp_path
    code_digest.cache_clear()
    for name in set(sys.modules) - before:
        del sys.modules[name]


def digest_anew(reference: str) -> str:
    """As another process would have it."""
    code_digest.cache_clear()
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
        ("__main__:a", "must lie in a module that workers can import"),
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

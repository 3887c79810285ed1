import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trainer

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "trainer").rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """Each package a module imports, and whether it does so when it is imported itself."""
    tree = ast.parse(path.read_text())
    later = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield (node.module or "").partition(".")[0], id(node) not in later
        elif isinstance(node, ast.Import):
            for name in node.names:
                yield name.name.partition(".")[0], id(node) not in later


def test_the_public_names_are_sorted_and_there() -> None:
    """What `trainer` exports is a short list that does not change by accident."""
    assert trainer.__all__ == ["EpochResult", "Paths", "TrainConfig", "TrainerError"]
    for name in trainer.__all__:
        assert getattr(trainer, name).__name__ == name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    """The trainer knows nothing of sweeps; MLflow is for the tracker alone, and when it is used."""
    names = dict.fromkeys(imported(path))
    packages = {package for package, _ in names}
    assert not packages & {"sweeps", "optuna"}
    assert "mlflow" not in packages or path.parent.name == "tracking"
    assert ("mlflow", True) not in names
    if path.stem in ("__init__", "__main__", "config", "fields", "flags", "paths"):
        assert ("torch", True) not in names


def test_importing_the_trainer_or_asking_for_help_imports_nothing_slow() -> None:
    """Neither needs torch nor mlflow, so both are there at once."""
    code = (
        "import sys\n"
        "import trainer, trainer.data, trainer.metrics, trainer.settings.paths\n"
        "from trainer.__main__ import main\n"
        "status = main(['--help'])\n"
        "slow = {'torch', 'torchvision', 'mlflow', 'optuna', 'pandas', 'sklearn', 'sqlalchemy'}\n"
        "print(status, slow & set(sys.modules))"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    assert "--step-size" in printed
    assert printed.splitlines()[-1] == "0 set()"

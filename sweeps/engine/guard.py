"""The guard a script needs whose worker processes import it again: `if __name__ == "__main__":`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from sweeps.errors import SweepError


def check_guard(starts_processes: bool) -> None:
    """Refuse to begin a sweep that a worker process would begin again.

    A spawned process first imports the script it was started from, under another `__name__`.
    Notebooks, `python -c` and `python -m package` have no such script.

    Args:
        starts_processes: whether the sweep is about to start any.

    Raises:
        SweepError: this is such a process, importing the script; or the script's line from which
            the call comes lies in no `if` on `__name__`. It says which lines to write.
    """
    main = vars(sys.modules["__main__"])
    for frame in _scripts():
        name, script = frame.f_globals.get("__name__"), frame.f_globals.get("__file__")
        if name == "__mp_main__":
            raise SweepError(_message(str(script), _statement(str(script), frame.f_lineno)))
        if starts_processes and frame.f_globals is main and script and not _is_package(main):
            statement = _statement(script, frame.f_lineno)
            if statement is not None and not _is_guarded(statement, frame.f_lineno):
                raise SweepError(_message(script, statement))


def _scripts() -> Iterator[FrameType]:
    """The calls that go through the top of a module."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            yield frame
        frame = frame.f_back


def _is_package(main: dict[str, object]) -> bool:
    """Whether it is a package's `__main__`, which is not imported again."""
    spec = main.get("__spec__")
    return str(getattr(spec, "name", "")).rpartition(".")[2] == "__main__"


def _statement(script: str, line: int) -> ast.stmt | None:
    """The statement at the top of a script that has this line; None where it cannot be read."""
    try:
        top = ast.parse(Path(script).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return None
    return next((it for it in top if it.lineno <= line <= (it.end_lineno or it.lineno)), None)


def _is_guarded(statement: ast.stmt, line: int) -> bool:
    """Whether the line lies in an `if` whose test has `__name__` in it."""
    return any(
        isinstance(node, ast.If)
        and node.lineno <= line <= (node.end_lineno or node.lineno)
        and any(isinstance(it, ast.Name) and it.id == "__name__" for it in ast.walk(node.test))
        for node in ast.walk(statement)
    )


def _message(script: str, statement: ast.stmt | None) -> str:
    call = "result = sweep(config)" if statement is None else ast.unparse(statement)
    line = "" if statement is None else f":{statement.lineno}"
    return (
        f"{script}{line} must call the sweep under an `if`, as each worker process imports this "
        f'file again and would begin the sweep anew. Write:\n\nif __name__ == "__main__":\n    '
        + call.partition("\n")[0]
    )

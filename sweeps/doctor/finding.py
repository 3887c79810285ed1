"""`Finding`: one thing that does not fit."""

from __future__ import annotations

from dataclasses import dataclass

AGAIN = "--fix, or the command that began the study, again"


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit, and what mends it.

    Attributes:
        where: the study, or the file.
        what: what is wrong.
        mend: what mends it.
        study: name of the study that `--fix` mends; "": it cannot.
    """

    where: str
    what: str
    mend: str
    study: str = ""

"""The report's page as an artifact of the study's run."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from sweeps.report.page import to_page
from sweeps.report.reading.frames import StudyFrames, load_study
from sweeps.report.render import render_table
from sweeps.report.summary import summarize
from trainer.killpoints import passing
from trainer.settings.paths import Paths
from trainer.tracking.connection import connect
from trainer.tracking.names import PAGE_FILE


def conclude(study: str | None, tracking_uri: str | None, console: Console) -> None:
    """Print the report of a study, and log its page to MLflow; for errors see `load_study`."""
    frames = load_study(study, tracking_uri)
    render_table(summarize(frames), console)
    line = publish(frames, tracking_uri or Paths.here().tracking_uri)
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def publish(frames: StudyFrames, tracking_uri: str) -> str:
    """Log the page, replacing an earlier one, and return a message.

    Errors are only reported in the message, since the sweep itself is finished.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder, PAGE_FILE)
            page.write_text(to_page(frames), encoding="utf-8")
            connect(tracking_uri).log_artifact(frames.run_id, str(page))
            passing("page-logged")
    except Exception as error:  # MLflow's, a database's, a network's, a full disk's
        reason = str(error).strip().partition("\n")[0]
        return f"The report's page could not be logged to MLflow: {type(error).__name__}: {reason}"
    return (
        "A page with figures is an artifact of the study's run in MLflow; to write it to a file:\n"
        f"  python -m sweeps.report --study {frames.name} --format html -o {PAGE_FILE}"
    )

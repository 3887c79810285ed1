"""Where everything lies, in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from trainer.settings.fields import positive, setting


@dataclass(frozen=True)
class Paths:
    """The files of one working folder: the one a bare `mlflow ui` is started in."""

    root: Path

    @classmethod
    def here(cls) -> Paths:
        """The folder the process was started in."""
        return cls(Path.cwd())

    @property
    def data(self) -> Path:
        """Data sets, prepared once."""
        return self.root / "dataset"

    @property
    def mlruns(self) -> Path:
        """MLflow's artifacts, the studies and the stage store."""
        return self.root / "mlruns"

    @property
    def stages(self) -> Path:
        """The stage store: results, and states under a budget."""
        return self.mlruns / "stages"

    def journal(self, study: str) -> Path:
        """The file a study lives in."""
        return self.mlruns / "studies" / f"{study}.journal"

    @property
    def tracking_uri(self) -> str:
        """MLFLOW_TRACKING_URI when set, else the database a bare `mlflow ui` reads here."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.root / 'mlflow.db'}"

    def artifacts(self, experiment: str) -> str:
        """Where the artifacts of an experiment that is kept on this machine go."""
        return str(self.mlruns / experiment)


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a run keeps things; None: in the working folder, as `Paths.here` has it."""

    tracking_uri: str | None = setting(
        None, "MLflow's store.", metavar="URI", shown="MLFLOW_TRACKING_URI, else ./mlflow.db"
    )
    stages: str | None = setting(
        None, "Folder or URL of the stage store.", metavar="DIR", shown="./mlruns/stages"
    )
    state_budget: float = setting(
        2.0,
        "Gigabytes of states that the stage store keeps; beyond that the longest unused are "
        "removed, and trained again where they are needed.",
        positive,
        metavar="GB",
    )
    data: Path | None = setting(
        None, "Folder of the data sets.", flag="--data-dir", metavar="DIR", shown="./dataset"
    )

    @property
    def state_bytes(self) -> int:
        """The budget of states, in bytes."""
        return int(self.state_budget * 1e9)

"""Paths of everything that is stored."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from trainer.errors import ConfigError
from trainer.settings.fields import positive, setting

_UNFIT = ("%", "?", "'", '"')


@dataclass(frozen=True)
class Paths:
    """Paths below one working folder, from which a bare `mlflow ui` shows the runs."""

    root: Path

    @classmethod
    def here(cls) -> Paths:
        """Paths below the current working folder."""
        return cls(Path.cwd())

    @property
    def data(self) -> Path:
        """Folder of prepared data sets."""
        return self.root / "dataset"

    @property
    def mlruns(self) -> Path:
        """Folder of MLflow's artifacts, the studies and the stage store."""
        return self.root / "mlruns"

    @property
    def stages(self) -> Path:
        """Folder of the stage store: results, and states up to a size limit."""
        return self.mlruns / "stages"

    def journal(self, study: str) -> Path:
        """Optuna's journal of a study."""
        return self.mlruns / "studies" / f"{study}.journal"

    def logs(self, study: str) -> Path:
        """Folder of what the processes of a study print."""
        return self.journal(study).with_suffix(".logs")

    @property
    def tracking_uri(self) -> str:
        """MLFLOW_TRACKING_URI if set, else the database that a bare `mlflow ui` reads here.

        Raises:
            ConfigError: the path of the folder has a character that SQLite's URLs or MLflow's
                searches take for another.
        """
        if uri := os.environ.get("MLFLOW_TRACKING_URI"):
            return uri
        if unfit := [it for it in _UNFIT if it in str(self.root)]:
            raise ConfigError(
                f"Working folder must have none of {' '.join(_UNFIT)} in its path, as MLflow "
                f"misreads them, but {str(self.root)!r} has {' '.join(unfit)}; rename it, "
                "start in another one, or use an MLflow server by --tracking-uri."
            )
        return f"sqlite:///{self.root / 'mlflow.db'}"

    def artifacts(self, experiment: str) -> str:
        """Artifact folder of an experiment in a local store."""
        return str(self.mlruns / experiment)


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a run stores things; None: the default in `Paths.here`."""

    tracking_uri: str | None = setting(
        None,
        "MLflow's tracking URI.",
        metavar="URI",
        shown="MLFLOW_TRACKING_URI, else ./mlflow.db",
    )
    stages: str | None = setting(
        None, "Folder or URL of the stage store.", metavar="DIR", shown="./mlruns/stages"
    )
    state_budget: float = setting(
        2.0,
        "Gigabytes of states that the stage store keeps; beyond that the least recently used are "
        "evicted, and trained again when needed.",
        positive,
        metavar="GB",
    )
    data: Path | None = setting(
        None, "Folder of the data sets.", flag="--data-dir", metavar="DIR", shown="./dataset"
    )

    @property
    def state_bytes(self) -> int:
        """The budget of states in bytes."""
        return int(self.state_budget * 1e9)

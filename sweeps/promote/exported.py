"""Saves a network as an MLflow model that is loaded without its code."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from torch import nn


def save(network: nn.Module, examples: NDArray[Any], path: Path, model: LoggedModel) -> None:
    """Export a network by torch.export, with signature, input example and pinned requirements.

    Args:
        network: network in evaluation mode on the CPU.
        examples: batch of inputs.
        path: folder to create.
        model: MLflow's model to which the files belong.

    Raises:
        Exception: torch.export or MLflow cannot export the network.
    """
    import mlflow
    import torch
    from mlflow.models import Model, infer_signature

    with torch.inference_mode():
        scores = network(torch.from_numpy(examples)).numpy()
    about = Model(
        artifact_path=model.artifact_location,
        run_id=model.source_run_id,
        model_id=model.model_id,
    )
    with _quiet():
        mlflow.pytorch.save_model(
            network,
            str(path),
            mlflow_model=about,
            signature=infer_signature(examples, scores),
            input_example=examples,
            pip_requirements=_requirements(),
        )


def _requirements() -> list[str]:
    """Pinned packages that load the model; inferring them would import it in a subprocess."""
    from importlib.metadata import version

    return [f"{name}=={version(name).partition('+')[0]}" for name in ("mlflow", "torch", "numpy")]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress logs and warnings of torch.export and MLflow."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

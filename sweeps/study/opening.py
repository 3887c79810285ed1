"""Opening a study: find or create it, check its settings, and take its lease."""

from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import chain, count

import filelock
import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage

from sweeps.errors import StudyInUse, StudyMismatch, SweepError, UnknownStudy
from sweeps.search.pruning import make_pruner
from sweeps.settings.config import SweepConfig
from sweeps.settings.identity import difference
from sweeps.study.journal import journal_storage
from sweeps.study.lease import LEASE, Lease, in_use
from trainer.killpoints import passing
from trainer.settings.paths import Paths
from trainer.tracking.connection import without_password

ID = "id"
SETTINGS = "settings"
CREATED_AT = "created_at"
SHARES = "shares"
DATA = "data"
WIDTH = "concurrent_trials"
TAGS = "tags"
DESCRIPTION = "description"

LEAST_WIDTH = 4
"""Default number of trials in training at a time. With more than two workers it is twice their
number, so that workers rarely wait for a decision. It is a constant of the study: the search
depends on it, not on the number of workers."""

ASIDE = "~"
"""Separates the name of a study that was set aside from the time of that; no other name has it."""


@dataclass(frozen=True)
class OpenStudy:
    """A study held by this process; as a context manager it is released at the end.

    Attributes:
        optuna: Optuna's study.
        id: unique, also among studies of the same name.
        created_at: seconds since 1970, UTC.
        lease: renewed while the study runs.
        aside: by id, the present names of earlier studies of this name.
    """

    optuna: optuna.Study
    id: str
    created_at: float
    lease: Lease
    aside: Mapping[str, str] = field(default_factory=dict)

    def __enter__(self) -> OpenStudy:
        return self

    def __exit__(self, kind: object, error: BaseException | None, where: object) -> None:
        """Release the lease; an error of the release never replaces one of the block.

        Raises:
            SweepError: Optuna's database could not be used in the block.
        """
        with suppress(Exception) if error is not None else nullcontext():
            self.lease.release()
        if isinstance(error, StorageInternalError):
            reason = str(error.__cause__ or error).partition("\n")[0].rstrip(".")
            raise SweepError(
                f"Optuna's storage must be writable, but: {reason}. The same command resumes the "
                "study once that is fixed."
            ) from error

    @property
    def tags(self) -> dict[str, str]:
        """The user's tags of all its runs in MLflow."""
        return dict(self.optuna.user_attrs.get(TAGS, {}))

    @property
    def description(self) -> str:
        """The user's description of it; "": none."""
        return str(self.optuna.user_attrs.get(DESCRIPTION, ""))

    def label(self, tags: Mapping[str, str], description: str) -> None:
        """Store the user's tags and description, where they are new."""
        if tags != self.tags:
            self.optuna.set_user_attr(TAGS, dict(tags))
        if description != self.description:
            self.optuna.set_user_attr(DESCRIPTION, description)

    def width(self, given: int | None, workers: int) -> int:
        """Number of trials in training at a time: set at the first start, then constant.

        Args:
            given: the user's setting; None: the default.
            workers: number of workers of this start.

        Raises:
            StudyMismatch: an earlier start set another number.
        """
        if WIDTH not in self.optuna.user_attrs:
            self.optuna.set_user_attr(WIDTH, given or max(LEAST_WIDTH, 2 * workers))
        width = int(self.optuna.user_attrs[WIDTH])
        if given not in (None, width):
            raise StudyMismatch(
                f"concurrent_trials must be what study {self.optuna.study_name!r} was begun with, "
                f"{width}, but got {given}; leave it out, or give another name with --study NAME."
            )
        return width

    def shares(self, try_it: Callable[[], bool]) -> bool:
        """Whether its trials share epochs; tested once, then stored."""
        if SHARES not in self.optuna.user_attrs:
            self.optuna.set_user_attr(SHARES, try_it())
        return bool(self.optuna.user_attrs[SHARES])


def open_study(
    config: SweepConfig, paths: Paths, storage_url: str | None = None, data: str = ""
) -> OpenStudy:
    """The study that `config` names, created if it is missing.

    Args:
        config: the sweep.
        paths: where the journal is.
        storage_url: Optuna's storage URL; None: the journal.
        data: digest of the data, which may have changed under the same name.

    Raises:
        StudyMismatch: a study of this name has other settings or other data.
        StudyInUse: another process runs it.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name = config.study_name
    storage = open_storage(name, paths, storage_url)
    with ExitStack() as stack:  # an error frees the lock
        lock = _lock(name, paths, storage_url)
        if lock is not None:  # before any look at the study, which another may be renaming
            stack.callback(lock.release, force=True)
            _acquire(lock, name, storage)
        exists = name in optuna.get_all_study_names(storage=storage)
        if exists and config.fresh:
            _set_aside(config, storage, lock)
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            directions=config.directions,
            pruner=make_pruner(config.pruner, config.pruner_args, config.train.epochs),
            load_if_exists=True,
        )
        _check_settings(study, config, data)
        lease = Lease(study, lock, takeover=config.takeover)
        with lease.released_on_error():
            _name_objectives(study, config.objectives)
            # each only if it is missing: completes the work of a start that was killed in between
            for attr, value in (
                (SETTINGS, config.settings()),
                (DATA, data),
                (CREATED_AT, time.time()),
                (ID, uuid.uuid4().hex),
            ):
                if attr not in study.user_attrs:
                    study.set_user_attr(attr, value)
            _delete_copies(study, storage)
            attrs, aside = study.user_attrs, _aside(name, storage)
        stack.pop_all()
        return OpenStudy(study, attrs[ID], attrs[CREATED_AT], lease, aside)


def find_study(
    name: str, paths: Paths, storage_url: str | None, *, takeover: bool = False
) -> OpenStudy:
    """A study that was run before, held by this process; `takeover` as of `Lease`.

    Raises:
        UnknownStudy: Optuna's storage has none of this name.
        StudyInUse: another process runs it.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    began_as = name.partition(ASIDE)[0]  # whose journal has it
    storage = open_storage(began_as, paths, storage_url)
    names = optuna.get_all_study_names(storage=storage)
    if name not in names:
        where = storage_url or paths.journal(began_as)
        raise UnknownStudy(
            f"Study {name!r} must be in Optuna's storage {where}, but is not; run this where the "
            "study was run, or name its --storage."
        )
    study = optuna.load_study(study_name=name, storage=storage)
    attrs = study.user_attrs
    lease = Lease(study, _lock(began_as, paths, storage_url), takeover=takeover)
    return OpenStudy(study, attrs[ID], attrs[CREATED_AT], lease)


def _lock(name: str, paths: Paths, url: str | None) -> filelock.BaseFileLock | None:
    """The file lock beside the journal, held as long as the lease; None for a database."""
    if url:
        return None
    return filelock.FileLock(paths.journal(name).with_suffix(".lease"), thread_local=False)


def _acquire(lock: filelock.BaseFileLock, name: str, storage: BaseStorage) -> None:
    """Acquire the lock, or raise `StudyInUse` with its owner."""
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout as error:
        with suppress(KeyError):  # it was just created, or is being renamed
            Lease(optuna.load_study(study_name=name, storage=storage), lock).release()
        raise StudyInUse(in_use(name)) from error


def open_storage(name: str, paths: Paths, url: str | None) -> BaseStorage:
    """Optuna's storage of a study: its journal, or the database of the URL.

    Raises:
        SweepError: it cannot be used.
    """
    if url is None:
        return journal_storage(paths.journal(name))
    try:
        return optuna.storages.get_storage(url)
    except Exception as error:  # of SQLAlchemy or a driver, depending on the URL
        reason = str(error).partition("\n")[0].rstrip(".")
        if isinstance(error, ImportError):
            reason = f"{error.__cause__ or error}; install that module"
        if "table schema" in reason:
            reason = "its tables are not of this version of Optuna; MLflow's must be elsewhere"
        url = without_password(url)
        raise SweepError(f"Optuna's storage {url} cannot be used: {reason}.") from error


def _check_settings(study: optuna.Study, config: SweepConfig, data: str) -> None:
    known = dict(study.user_attrs.get(SETTINGS, config.settings()))
    now = config.settings()
    if study.user_attrs.get(DATA, data) != data:  # of the same name: a folder may have changed
        known, now = known | {DATA: study.user_attrs[DATA]}, now | {DATA: data}
    if known == now:
        return
    raise StudyMismatch(
        f"Study {config.study_name!r} was begun with other settings:\n  "
        + "\n  ".join(difference(known, now))
        + "\nGive another name with --study NAME, or --fresh to set the old study aside."
    )


def _name_objectives(study: optuna.Study, names: Sequence[str]) -> None:
    """Set metric names, so that Optuna's dashboard and plots show the objectives by name."""
    if study.metric_names is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(list(names))


def _set_aside(
    config: SweepConfig, storage: BaseStorage, lock: filelock.BaseFileLock | None
) -> None:
    """Rename the existing study of this name."""
    name = config.study_name
    old = optuna.load_study(study_name=name, storage=storage)
    Lease(old, lock, takeover=config.takeover)  # refuses while another process runs it
    old.set_user_attr(LEASE, None)  # nobody holds the copy
    _delete_copies(old, storage)
    stem = f"{name}{ASIDE}{time.strftime('%Y%m%d-%H%M%S')}"
    taken = optuna.get_all_study_names(storage=storage)  # another was set aside in the same second
    aside = next(it for it in chain([stem], (f"{stem}-{n}" for n in count(2))) if it not in taken)
    optuna.copy_study(
        from_study_name=name, from_storage=storage, to_storage=storage, to_study_name=aside
    )
    passing("study-copied")
    optuna.delete_study(study_name=name, storage=storage)
    passing("study-set-aside")


def _delete_copies(study: optuna.Study, storage: BaseStorage) -> None:
    """Delete copies of the study made by a start that was killed before it deleted the original.

    One that was killed earlier has made a copy without an id, to which trials are added last.
    """
    for name in _names_aside(study.study_name, storage):
        copy = optuna.load_study(study_name=name, storage=storage)
        id = copy.user_attrs.get(ID)
        if id == study.user_attrs.get(ID) or (id is None and not copy.get_trials(deepcopy=False)):
            optuna.delete_study(study_name=name, storage=storage)


def _aside(name: str, storage: BaseStorage) -> dict[str, str]:
    """The names of the studies that were set aside for one of this name, by their ids."""
    names = _names_aside(name, storage)
    studies = [optuna.load_study(study_name=it, storage=storage) for it in names]
    return {it.user_attrs[ID]: it.study_name for it in studies if ID in it.user_attrs}


def _names_aside(name: str, storage: BaseStorage) -> list[str]:
    names = optuna.get_all_study_names(storage=storage)
    return [it for it in names if it.startswith(f"{name}{ASIDE}")]

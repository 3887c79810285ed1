"""How a run looks in MLflow, written once: single runs and sweeps log through the same tracker.

Source for what MLflow does with these calls: its 3.17 sources; see `MlflowTracker.sync`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.errors import LostRuns
from trainer.killpoints import passing
from trainer.tracking.connection import (
    connect,
    fullness,
    in_one_line,
    is_server,
    open_experiment,
    runs_page,
    search_runs,
    unbounded,
)
from trainer.tracking.names import (
    GROUP_TAG,
    RETRAINED_TAG,
    REUSED_TAG,
    RUN_TAG,
    STATE_TAG,
    TRAINED_TAG,
)
from trainer.tracking.record import (
    COMPLETE,
    DIVERGED,
    FAILED,
    FINAL_STATES,
    INTERRUPTED,
    PRUNED,
    RUNNING,
    SUSPENDED,
    RunRecord,
)
from trainer.tracking.sending import (
    Sent,
    milliseconds,
    send_checkpoints,
    send_data,
    send_numbers,
    send_tags,
)
from trainer.tracking.source import source_tags

if TYPE_CHECKING:  # so that importing this takes no torch
    from trainer.stages.store import StageStore

STATUS = {
    RUNNING: "RUNNING",
    SUSPENDED: "RUNNING",
    COMPLETE: "FINISHED",
    PRUNED: "KILLED",
    DIVERGED: "KILLED",
    FAILED: "FAILED",
    INTERRUPTED: "KILLED",
}
"""MLflow's status of a run in each state."""

_PARENT_TAG = "mlflow.parentRunId"


class MlflowTracker:
    """Makes MLflow's runs match their records.

    Not thread-safe: one thread owns it.

    Args:
        uri: tracking URI.
        experiment: name; created where it is missing.
        artifacts: where the artifacts of a new experiment go, for a store on this machine; a server
            decides for itself.
        store: where the states of checkpoints are found.

    Raises:
        TrackingError: the experiment cannot be used.
    """

    def __init__(self, uri: str, experiment: str, artifacts: str, store: StageStore) -> None:
        self.uri, self._experiment, self._artifacts = uri, experiment, artifacts
        with in_one_line(self.uri):
            self.client = connect(uri)
            self.experiment_id = self._open_experiment()
        self._store = store
        self._sent: dict[str, Sent] = {}
        self._groups: set[str] = set()  # that were read
        self._unsure: dict[str, bool] = {}  # ids of records sent in part: whether they had a run
        self._source_tags = source_tags()

    def _open_experiment(self) -> str:
        return open_experiment(self.client, self.uri, self._experiment, self._artifacts)

    def run_id(self, record_id: str) -> str:
        """MLflow's id of a run that was synced."""
        return self._sent[record_id].run_id

    @property
    def page(self) -> str:
        """How to see the runs of the experiment in a browser."""
        return runs_page(self.uri, self.experiment_id)

    def is_whole(self, record: RunRecord) -> bool:
        """Whether MLflow shows the run ended as the record says; an interrupted one never has.

        The status is set after all else, so a run that has it lacks nothing.

        Raises:
            TrackingError: MLflow cannot be asked.
        """
        with in_one_line(self.uri):
            sent = self._find(record)
        return (
            record.state in FINAL_STATES
            and sent is not None
            and sent.status == STATUS[record.state]
            and sent.tags.items() >= {**record.tags, STATE_TAG: record.state}.items()
            and self._is_below_its_parent(sent, record)
        )

    def unfinished(self, group: str) -> str | None:
        """The record of a run in the group that was killed or interrupted; None: there is none.

        A run that another process still trains counts as killed: both log the same numbers there.

        Raises:
            TrackingError: MLflow cannot be asked.
        """
        with in_one_line(self.uri):
            runs = self._runs_with(GROUP_TAG, group)
        for run in runs:
            if run.data.tags.get(STATE_TAG) in (RUNNING, INTERRUPTED):
                return str(run.data.tags[RUN_TAG])
        return None

    def sync(self, record: RunRecord) -> None:
        """Send what MLflow lacks of the record: parameters, epochs, files, then tags, status last.

        MLflow drops a metric it has already (same run, name, step, time and value), so epochs that
        may have been sent before are sent again.

        Raises:
            LostState: a checkpoint's state is not stored.
            LostRuns: MLflow had taken the run, and no longer has it; it is made anew the next time,
                and so are all others that are synced again.
            MlflowException: the store did not take it; nothing is lost by trying again.
        """
        if self.is_whole(record):
            return
        try:
            self._send(record)
        except BaseException:
            # what of it MLflow took has to be read again
            had_run = self._sent.pop(record.id, None) is not None
            self._unsure[record.id] = had_run or self._unsure.get(record.id, False)
            raise

    def _send(self, record: RunRecord) -> None:
        sent = self._find(record) or self._create(record)
        if STATUS[record.state] == "RUNNING" != sent.status:
            self.client.update_run(sent.run_id, status="RUNNING")
            sent.status = "RUNNING"
            passing("run-reopened")
        send_data(self.client, sent, record)
        send_numbers(self.client, sent, record)
        if record.ended_at is not None:
            send_checkpoints(self.client, self._store, sent, record)
        send_tags(self.client, sent, _tags(record) | self._parent_tag(record))
        if record.ended_at is not None:
            self._delete_twins(sent, record)
            end_time = milliseconds(record.ended_at)
            self.client.set_terminated(sent.run_id, STATUS[record.state], end_time)
            sent.status = STATUS[record.state]
            passing("run-ended")

    def _find(self, record: RunRecord) -> Sent | None:
        """What is known of the run; the first question about a group reads all its runs."""
        if record.group not in self._groups:
            self._read(GROUP_TAG, record.group)
            self._groups.add(record.group)
        elif record.id in self._unsure:
            self._read(RUN_TAG, record.id)
            if self._unsure[record.id] and record.id not in self._sent:
                self._forget()
                raise LostRuns(f"MLflow no longer has the run {record.name!r}.")
        self._unsure.pop(record.id, None)
        return self._sent.get(record.id)

    def _forget(self) -> None:
        """Read everything again; an emptied store has no experiment either."""
        self.experiment_id = self._open_experiment()
        self._sent.clear()
        self._groups.clear()
        self._unsure.clear()

    def _delete_twins(self, sent: Sent, record: RunRecord) -> None:
        """Delete further runs of the record: a server makes them where its answers are lost."""
        if is_server(self.uri):
            for run in self._runs_with(RUN_TAG, record.id):
                if run.info.run_id != sent.run_id:
                    self.client.delete_run(run.info.run_id)

    def _read(self, tag: str, text: str) -> None:
        """Learn what MLflow has; of runs of one record, all but the fullest are deleted.

        There are several where a server made a run and its answer was lost, so that MLflow's client
        asked once more.
        """
        by_record: dict[str, list[Any]] = {}
        for run in self._runs_with(tag, text):
            by_record.setdefault(run.data.tags[RUN_TAG], []).append(run)
        for id, runs in by_record.items():
            best, *twins = sorted(
                runs, key=lambda it: fullness(it.info.status, it.data.metrics), reverse=True
            )
            for twin in twins:
                self.client.delete_run(twin.info.run_id)
            data = best.data
            self._sent[id] = Sent(
                best.info.run_id,
                best.info.status,
                dict(data.params),
                dict(data.tags),
                {name: unbounded(value) for name, value in data.metrics.items()},
            )

    def _runs_with(self, tag: str, text: str) -> list[Any]:
        return list(search_runs(self.client, self.experiment_id, f"tags.`{tag}` = '{text}'"))

    def _create(self, record: RunRecord) -> Sent:
        tags = {RUN_TAG: record.id, GROUP_TAG: record.group, **self._source_tags}
        tags |= self._parent_tag(record)
        run = self.client.create_run(
            self.experiment_id,
            start_time=milliseconds(record.started_at),
            tags=tags | _tags(record),
            run_name=record.name,
        )
        sent = Sent(run.info.run_id, run.info.status, {}, dict(run.data.tags))
        self._sent[record.id] = sent
        passing("run-created")
        return sent

    def _parent_tag(self, record: RunRecord) -> dict[str, str]:
        """By which MLflow shows a run below its parent."""
        return {} if record.parent is None else {_PARENT_TAG: self._sent[record.parent].run_id}

    def _is_below_its_parent(self, sent: Sent, record: RunRecord) -> bool:
        """Whether it is shown there; one whose parent was deleted and made anew is not."""
        parent = self._sent.get(record.parent or "")
        return parent is None or sent.tags.get(_PARENT_TAG) == parent.run_id


def _tags(record: RunRecord) -> dict[str, str]:
    tags = {**record.tags, STATE_TAG: record.state}
    if record.results:
        tags[TRAINED_TAG] = str(len(record.results) - record.reused_epochs)
        tags[REUSED_TAG] = str(record.reused_epochs)
    if record.retrained_epochs:
        tags[RETRAINED_TAG] = str(record.retrained_epochs)
    return tags

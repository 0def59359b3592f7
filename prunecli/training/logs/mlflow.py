"""A log on an MLflow server, in a database or in a folder: one run of an experiment."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prunecli.training.logs.places import check_folder, quiet, require
from prunecli.training.logs.records import epoch_scalars, flat, result_scalars, step_scalars

if TYPE_CHECKING:
    from prunecli.training.settings import EpochRecord

EXPERIMENT = "prunecli"
"""The experiment, unless MLFLOW_EXPERIMENT_NAME names another."""
RUN_TAG = "prunecli.run"

_SECONDS_BETWEEN_CALLS = 5.0
# MLflow's own limits for one call.
_MOST_METRICS = 1000
_MOST_PARAMETERS = 100
_LONGEST_VALUE = 6000

_MANNERS = {
    "MLFLOW_ALLOW_FILE_STORE": "true",  # else a folder is refused
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nobody asked for figures of use to be sent
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # training waits meanwhile: seconds, not minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""How MLflow is to behave where the environment does not say otherwise."""


class MlflowRun:
    """Settings as parameters, figures as metrics; figures of steps are sent together every few seconds.

    `place` is a tracking URI or a folder, empty for MLflow's own choice: MLFLOW_TRACKING_URI, else a
    database in the current folder. A resumed training goes on in the run of the same name.
    """

    def __init__(self, place: str, *, run: str, resumed: bool = False) -> None:
        """Raise WrongUse for a folder that cannot be, WorkFailed where a package is missing."""
        require("mlflow", extra="mlflow", reason="a log on MLflow")
        place = place or os.environ.get("MLFLOW_TRACKING_URI", "")
        if not place or place.startswith("sqlite:"):
            require("sqlalchemy", extra="mlflow", reason="MLflow's database")
        elif not _is_uri(place):
            check_folder(place)
        self._place, self._name, self._resumed = place or None, run, resumed
        self._client: Any = None
        self._run_id = ""
        self._waiting: list[Any] = []
        self._sent = 0.0
        self._steps = self._epochs = 0
        self._status = "KILLED"

    def start(self, facts: Mapping[str, Any]) -> None:
        """Create the run with the facts as its parameters, or take up the one that was interrupted."""
        with _well_behaved():
            from mlflow.tracking import MlflowClient

            self._client = MlflowClient(tracking_uri=self._place)
            experiment = self._experiment()
            found = self._earlier(experiment) if self._resumed else None
            if found is not None:
                self._run_id = found
                self._client.update_run(found, status="RUNNING")
                return
            tags = {RUN_TAG: self._name}
            made = self._client.create_run(experiment, run_name=self._name, tags=tags)
            self._run_id = made.info.run_id
            self._parameters(facts)

    def step(self, figures: Mapping[str, float]) -> None:
        """Figures over the steps; sent with the next ones when the last call was a moment ago."""
        self._add(step_scalars(figures), int(figures["step"]))
        if time.monotonic() - self._sent > _SECONDS_BETWEEN_CALLS:
            self._send()

    def epoch(self, record: EpochRecord) -> None:
        """Figures over the epochs, sent at once."""
        self._epochs = record.epoch + 1
        self._add(epoch_scalars(record), self._epochs)
        self._send()

    def finish(self, facts: Mapping[str, Any]) -> None:
        """The numbers of the end; the run is a finished one when it is closed."""
        self._add(result_scalars(facts), self._epochs)
        self._send()
        self._status = "FINISHED"

    def close(self) -> None:
        """End the run: FINISHED, or KILLED where the training broke off."""
        if self._client is None:
            return
        client, self._client = self._client, None
        if self._run_id:
            with _well_behaved():
                client.set_terminated(self._run_id, status=self._status)

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))

    def _earlier(self, experiment: str) -> str | None:
        wanted = f"tags.`{RUN_TAG}` = '{self._name}'"
        for run in self._client.search_runs([experiment], filter_string=wanted, max_results=1):
            return str(run.info.run_id)
        return None

    def _parameters(self, facts: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        given = flat(facts, between=".")
        found = [
            Param(re.sub(r"[^\w\-. /]", "_", name)[:250], str(value)[:_LONGEST_VALUE])
            for name, value in given.items()
        ]
        for first in range(0, len(found), _MOST_PARAMETERS):
            self._client.log_batch(self._run_id, params=found[first : first + _MOST_PARAMETERS])

    def _add(self, scalars: Mapping[str, float], at: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._waiting += [Metric(name, value, now, at) for name, value in scalars.items()]

    def _send(self) -> None:
        with _well_behaved():
            while self._waiting:
                self._client.log_batch(self._run_id, metrics=self._waiting[:_MOST_METRICS])
                del self._waiting[:_MOST_METRICS]
        self._sent = time.monotonic()


def _is_uri(place: str) -> bool:
    return "://" in place or place.partition(":")[0] in (
        "file",
        "sqlite",
        "databricks",
        "databricks-uc",
        "uc",
    )


@contextmanager
def _well_behaved() -> Iterator[None]:
    """MLflow without its messages, and with `_MANNERS` for as long as it is called."""
    added = [name for name in _MANNERS if name not in os.environ]
    os.environ.update({name: _MANNERS[name] for name in added})
    try:
        with quiet():
            yield
    finally:
        for name in added:
            with contextlib.suppress(KeyError):
                del os.environ[name]

"""A tracking store of MLflow, by its client and with explicit run ids: nothing here is active or current."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookloop_mlflow import database
from hookloop_mlflow.library import client_of, environment
from hookloop_mlflow.names import key_name, path_name
from hookloop_mlflow.params import shorten
from hookloop_mlflow.points import Point

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

MOST_POINTS, MOST_PARAMETERS = 1000, 100  # in one call
LONGEST_TAG = 5000
KEY_TAG = "hookloop.key"
# How MLflow names an image of a key and a step; older versions have % for +, and # for the ~ that stands for a slash.
IMAGE = re.compile(r"^images/(.+)[+%]step[+%](\d+)[+%]timestamp[+%]")
SILENT_END = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}  # what is printed may be for a script


class Store:
    """Runs of one experiment in the tracking store at *uri*. Every method may wait for a server, and may fail."""

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri = uri
        self.experiment = experiment
        self.experiment_id: str | None = None
        self._client: MlflowClient | None = None

    @property
    def client(self) -> MlflowClient:
        """The client, which is connected when it is first asked for."""
        if self._client is None:
            path = database.file_of(self.uri)
            if path is not None:
                database.create(path)
            self._client = client_of(self.uri)
        return self._client

    def connect(self) -> None:
        """Make the client: for a server, all that can be done without waiting for it."""
        _ = self.client

    def open(self) -> str:
        """Return the id of the experiment, which is made if there is none."""
        if self.experiment_id is None:
            found = self.client.get_experiment_by_name(self.experiment)
            self.experiment_id = str(found.experiment_id if found else self.create_experiment())
            self.check_active()
        return self.experiment_id

    def create_experiment(self) -> str:
        """Make the experiment. The artifacts of a database in a file are kept beside it."""
        from mlflow.exceptions import MlflowException

        path = database.file_of(self.uri)
        place = None if path is None else path.parent / "mlflow-artifacts" / path_name(self.experiment)
        location = None if place is None else place.absolute().as_uri()
        try:
            return self.client.create_experiment(self.experiment, artifact_location=location)
        except MlflowException:  # another run has made it in between
            found = self.client.get_experiment_by_name(self.experiment)
            if found is None:
                raise
            return str(found.experiment_id)

    def check_active(self) -> None:
        """Raise MlflowException when the experiment was deleted."""
        from mlflow.exceptions import MlflowException

        if self.client.get_experiment(str(self.experiment_id)).lifecycle_stage != "active":
            self.experiment_id = None
            raise MlflowException.invalid_parameter_value(
                f"the experiment '{self.experiment}' was deleted: restore it with `mlflow experiments restore`, or set "
                "another 'experiment'."
            )

    def create_run(self, key: str, name: str, tags: Mapping[str, str]) -> MlflowRun:
        """Make a run with *key* and return it; one that has that key is the one that is wanted."""
        experiment = self.open()
        found = self.client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
        if found:
            return found[0]
        return self.client.create_run(
            experiment, start_time=int(1000 * time.time()), tags=fitting({**tags, KEY_TAG: key}), run_name=name
        )

    def find_run(self, run_id: str) -> MlflowRun | None:
        """Return the run, or None when there is none any more, or it was deleted."""
        from mlflow.exceptions import MlflowException

        try:
            found = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return found if found.info.lifecycle_stage == "active" else None

    def points(self, run: MlflowRun) -> Iterator[tuple[str, int]]:
        """Yield key and step of each point of *run*."""
        for key in run.data.metrics:
            for metric in self.client.get_metric_history(run.info.run_id, key):
                yield metric.key, metric.step

    def images(self, run_id: str) -> set[tuple[str, int]]:
        """Return key and step of each image of a run."""
        matches = (IMAGE.match(file.path) for file in self.client.list_artifacts(run_id, "images"))
        return {(flat(match[1]), int(match[2])) for match in matches if match}

    def log_points(self, run_id: str, points: Sequence[Point]) -> None:
        """Log *points*, of which one call takes 1000."""
        from mlflow.entities import Metric

        metrics = [Metric(each.key, each.value, each.timestamp_ms, each.step) for each in points]
        self.client.log_batch(run_id, metrics=metrics, synchronous=True)

    def log_parameters(self, run_id: str, parameters: Mapping[str, str]) -> None:
        """Log *parameters*."""
        from mlflow.entities import Param

        for some in batched_items(parameters):
            self.client.log_batch(run_id, params=[Param(*each) for each in some], synchronous=True)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set *tags*; those that are there are replaced."""
        from mlflow.entities import RunTag

        for some in batched_items(fitting(tags)):
            self.client.log_batch(run_id, tags=[RunTag(*each) for each in some], synchronous=True)

    def log_file(self, run_id: str, path: Path, to: str) -> None:
        """Log the file or directory *path* as the artifact *to*, whose last part is its name."""
        folder = to.rpartition("/")[0]
        if path.is_dir():
            self.client.log_artifacts(run_id, str(path), to)
        else:
            self.client.log_artifact(run_id, str(path), folder or None)

    def log_image(self, run_id: str, pixels: Any, key: str, step: int, timestamp_ms: int) -> None:
        """Log an array of pixels as MLflow shows them, by steps."""
        self.client.log_image(run_id, pixels, key=key, step=step, timestamp=timestamp_ms, synchronous=True)

    def set_status(self, run_id: str, status: str) -> None:
        """Set a status; one that a run ends with sets its end time, too."""
        if status == "RUNNING":
            self.client.update_run(run_id, status=status)
        else:
            with environment(SILENT_END):
                self.client.set_terminated(run_id, status)


def flat(key: str) -> str:
    """Return the *key* of an image as it stands in the name of a file."""
    return re.sub(r"[/#]", "~", key)


def batched_items(table: Mapping[str, str]) -> Iterator[Iterable[tuple[str, str]]]:
    """Yield the items of *table*, as many at once as one call takes."""
    items = list(table.items())
    for first in range(0, len(items), MOST_PARAMETERS):
        yield items[first : first + MOST_PARAMETERS]


def fitting(tags: Mapping[str, str]) -> dict[str, str]:
    """Return *tags* with names and values that MLflow takes."""
    return {key_name(name): shorten(value, LONGEST_TAG) for name, value in tags.items()}

"""A directory of its own for each test, and MLflow's own client to read with."""

import shutil

import pytest
import torch

from hookloop import Engine
from hookloop.testing.tiny import tiny_task
from hookloop_mlflow.database import create
from hookloop_mlflow.library import client_of, quiet

FAST = {"interval_seconds": 0.1}


class Shown:
    """What MLflow has in the database of a directory, read by its client."""

    def __init__(self, directory):
        with quiet():
            self.client = client_of(f"sqlite:///{directory}/mlflow.db")

    def runs(self, experiment="run"):
        found = self.client.get_experiment_by_name(experiment)
        return list(reversed(self.client.search_runs([found.experiment_id], order_by=["attributes.start_time DESC"])))

    def run(self, experiment="run"):
        (found,) = self.runs(experiment)
        return found

    def history(self, run, key):
        metrics = self.client.get_metric_history(run.info.run_id, key)
        return sorted((each.step, each.value) for each in metrics)

    def histories(self, run):
        return {key: self.history(run, key) for key in run.data.metrics}

    def artifacts(self, run, path=None):
        found = []
        for each in self.client.list_artifacts(run.info.run_id, path):
            found += self.artifacts(run, each.path) if each.is_dir else [each.path]
        return sorted(found)

    def artifact(self, run, path, folder):
        return self.client.download_artifacts(run.info.run_id, path, str(folder))


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """A database without runs: MLflow takes seconds to make one."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    with quiet():
        create(path)
    return path


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch, database):
    """A directory with a database of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(database, tmp_path)


@pytest.fixture
def shown(tmp_path):
    """A function that reads what was logged."""
    return lambda: Shown(tmp_path)


@pytest.fixture
def engine(tmp_path):
    """A function that makes an engine for six steps in two epochs, with the plugin."""

    def make(*plugins, options=None, directory="run", task=None, **run):
        torch.manual_seed(0)
        defaults = {"max_epochs": 2, "log_every": "1 step", "device": "cpu", "threads": 1, "name": "run"}
        return Engine(
            task or tiny_task,
            loss="cross_entropy",
            optimizer=("sgd", {"lr": 0.1}),
            plugins=[("mlflow", {**FAST, **(options or {})}), *plugins],
            run_dir=tmp_path / directory,
            **{**defaults, **run},
        )

    return make

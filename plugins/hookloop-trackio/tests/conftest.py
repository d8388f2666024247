"""trackio in a directory of the tests' own, and what its own client reads there."""

import os
import tempfile
from types import SimpleNamespace

import pytest
import torch

from hookloop import Engine, SupervisedTask, hookimpl, snapshots

# trackio reads this once, when it is imported.
os.environ["TRACKIO_DIR"] = tempfile.mkdtemp(prefix="trackio-tests-")


@pytest.fixture(autouse=True)
def no_settings_of_the_users(monkeypatch):
    for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "TRACKIO_WEBHOOK_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(request):
    """The name of a project that no other test has."""
    return request.node.name.replace("[", "-").replace("]", "").replace(" ", "-")[:60]


def batches(count=4):
    generator = torch.Generator().manual_seed(3)
    return [
        (torch.randn(4, 3, generator=generator), torch.randint(0, 2, (4,), generator=generator)) for _ in range(count)
    ]


class Saves:
    """Saves with every second step."""

    role = "observer"

    @hookimpl
    def persist(self, run):
        if run.step % 2 == 0:
            state = snapshots.take(run)
            name = f"step-{run.step:08}-{run.epoch}"
            folder = run.directory / "checkpoints" / "saves"
            snapshots.saved(run, snapshots.write(folder, name, state, instance="saves", attempt=run.attempt).path)


@pytest.fixture
def checkpoint():
    """Make what saves snapshots."""
    return lambda: ("saves", Saves())


@pytest.fixture
def engine(tmp_path, project):
    """Make an engine with the plugin, for eight steps of two epochs with a validation each."""

    def make(*plugins, options=None, directory="run", **keywords):
        torch.manual_seed(0)
        task = SupervisedTask(torch.nn.Linear(3, 2), train=batches(), val=batches(1), test=batches(1))
        settings = {
            "max_epochs": 2,
            "log_every": "1 step",
            "run_dir": tmp_path / directory,
            "name": project,
            **keywords,
        }
        trackio = [("trackio", options or {})] if options is not False else []
        return Engine(task, loss="cross_entropy", optimizer="sgd", plugins=[*plugins, *trackio], **settings)

    return make


def read(project, run=None):
    """What trackio's own client says of the *run*, or the only one, of a project."""
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    runs = list(trackio.Api().runs(project))
    [found] = [each for each in runs if run in (None, each.name, each.id)]
    rows = SQLiteStorage.get_logs(project, found.name, run_id=found.id)
    for row in rows:
        del row["timestamp"]
    return SimpleNamespace(
        run=found,
        rows=rows,
        metrics=[row for row in rows if "epoch" in row],
        steps=[row["step"] for row in rows if "epoch" in row],
        config=found.config,
        alerts=found.alerts(),
        artifacts=SQLiteStorage.get_artifacts(project),
        ids={each.id for each in runs},
    )


@pytest.fixture
def logged(project):
    """Read what trackio has of the test's run."""
    return lambda run=None, of=project: read(of, run)

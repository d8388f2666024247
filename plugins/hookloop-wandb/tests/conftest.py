"""wandb without a network and without an account, and what it has on disk, read back."""

from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from hookloop import Engine, SupervisedTask, hookimpl, snapshots
from hookloop_wandb.transaction_log import entries, logged, values_of


@pytest.fixture(autouse=True)
def nobody_is_logged_in(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_PROJECT", "WANDB_BASE_URL", "WANDB_ERROR_REPORTING", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "NETRC"):
        monkeypatch.setenv(name, str(tmp_path / "wandb-home" / name.lower()))
    monkeypatch.setenv("WANDB_MODE", "offline")


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
def engine(tmp_path):
    """Make an engine with the plugin, for eight steps of two epochs with a validation each."""

    def make(*plugins, options=None, directory="run", **keywords):
        torch.manual_seed(0)
        task = SupervisedTask(torch.nn.Linear(3, 2), train=batches(), val=batches(1), test=batches(1))
        settings = {"max_epochs": 2, "log_every": "1 step", "run_dir": tmp_path / directory, **keywords}
        wandb = [("wandb", options or {})] if options is not False else []
        return Engine(task, loss="cross_entropy", optimizer="sgd", plugins=[*plugins, *wandb], **settings)

    return make


def read_records(path):
    """The records of a file as wandb's own classes."""
    import wandb.proto.wandb_internal_pb2 as protocol

    records = []
    for _, entry in entries(path.read_bytes()):
        records.append(protocol.Record())
        records[-1].ParseFromString(entry)
    return records


def read(directory, instance=None):
    """What wandb's files below *directory* say: rows, parameters, summary, artifacts, exit codes, files."""
    found = SimpleNamespace(
        rows=[], metrics={}, config={}, summary={}, exits=[], artifacts=[], runs=[], kinds=Counter()
    )
    found.files = sorted((directory / instance if instance else directory).glob("wandb/*run-*/*.wandb"))
    for path in found.files:
        found.rows += [row.values for row in logged(path)]
        for record in read_records(path):
            take(found, record.WhichOneof("record_type"), record)
    found.metrics = {
        row["step"]: {name: value for name, value in row.items() if not name.startswith("_")}
        for row in found.rows
        if "epoch" in row
    }
    return found


def take(found, kind, record):
    found.kinds[kind] += 1
    if kind == "run":
        found.runs.append(record.run)
        found.config = values_of(record.run.config.update)
    elif kind == "summary":
        found.summary.update(values_of(record.summary.update))
    elif kind == "exit":
        found.exits.append(record.exit.exit_code)
    elif kind == "request" and record.request.HasField("log_artifact"):
        found.artifacts.append(record.request.log_artifact.artifact)
    elif kind == "artifact":
        found.artifacts.append(record.artifact)


@pytest.fixture
def files(tmp_path):
    """Read what wandb's files of a run say."""
    return lambda directory="run", instance=None: read(tmp_path / directory, instance)


def steps(found):
    """The steps of the rows of metrics, in order."""
    return [row["step"] for row in found.rows if "epoch" in row]

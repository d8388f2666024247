"""A state that takes a millisecond to save, and a warm process that forks one child for each scenario."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hookloop import snapshots

WARM = Path(__file__).with_name("warm.py")


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def state_of():
    """A function that returns the state at a step; the step can be told from each of its parts."""

    def state(step):
        return {
            "format": 1,
            "counters": {"epoch": 0, "step": step, "batch_index": step, "samples": 2 * step, "elapsed_seconds": 0.5},
            "model": {"weight": torch.full((4,), float(step)), "bias": torch.zeros(1)},
            "optimizers": [{"state": {0: {"momentum": torch.full((4,), -float(step))}}, "param_groups": [{"lr": 0.1}]}],
            "plugins": {"ema": {"version": "1.2", "state": {"decay": 0.9}}},
            "fingerprint": {"torch": "2"},
        }

    return state


@pytest.fixture
def run_dir(tmp_path):
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


@pytest.fixture
def directory(run_dir):
    """Where the instance ``checkpoint`` saves."""
    return run_dir / "checkpoints" / "checkpoint"


@pytest.fixture
def save(directory, state_of):
    """A function that saves the state at a step."""

    def write(step, **keywords):
        return snapshots.write(directory, f"step-{step:08}", state_of(step), **{"instance": "checkpoint", **keywords})

    return write


@pytest.fixture
def hidden_in():
    """A function that returns the names in a directory that are hidden."""
    return lambda directory: sorted(each.name for each in directory.iterdir() if each.name.startswith("."))


class Warm:
    """Runs scenarios of ``warm.py``, each in a child forked from one process that has torch imported."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, WARM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def start(self, scenario, **options):
        """Start a scenario and return its process id."""
        self.process.stdin.write(json.dumps({"scenario": scenario, **options}) + "\n")
        return int(self.process.stdout.readline())

    def wait(self):
        """Return the exit status of the scenario that was started: negative for a signal."""
        return int(self.process.stdout.readline())

    def run(self, scenario, **options):
        self.start(scenario, **options)
        return self.wait()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="session")
def warm():
    process = Warm()
    yield process
    process.close()

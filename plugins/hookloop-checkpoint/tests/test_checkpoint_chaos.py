"""A training that is killed at random instants and resumed each time ends as one that never was, bit by bit.

HOOKLOOP_CHAOS_KILLS says how often each training is killed (4), HOOKLOOP_CHAOS_SEED when (0).
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

KILLS = int(os.environ.get("HOOKLOOP_CHAOS_KILLS", "4"))
SEED = int(os.environ.get("HOOKLOOP_CHAOS_SEED", "0"))
STARTING_SECONDS = 2.5  # about what a process takes to its first step
LONGEST_DELAY_SECONDS = 0.04  # some steps, of which each is followed by a save
TIMEOUT_SECONDS = 120

pytestmark = pytest.mark.timeout(120 + 30 * KILLS)

CONFIG = """\
[run]
name = "chaos"
seed = 3
max_epochs = {epochs}
device = "cpu"
threads = 1
accumulate = 3
clip_grad_norm = 1.0
log_every = "1 step"

[task]
use = "{training}:build"

[loss]
use = "cross_entropy"

[optimizer]
use = "adamw"
lr = 0.01

[schedule]
use = "cosine"
unit = "step"

[metrics.accuracy]

[plugins.witness]
use = "{training}:Witness"

[plugins.checkpoint]
every = "1 step"
keep_last = 2
"""


@dataclass
class Training:
    """A configuration in a folder, and the runs of it."""

    folder: Path

    def start(self, name, *words):
        """Begin the run *name*, or go on with it, in a process group of its own."""
        command = [sys.executable, "-m", "hookloop", "fit", "run.toml", "--run-dir", name, "--resume", "-q", *words]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HOOKLOOP")}
        variables = {**kept, "HOOKLOOP_PLUGINS": "witness,checkpoint", "OMP_NUM_THREADS": "1"}
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.folder, env=variables, stderr=log, start_new_session=True)

    def finish(self, name, *words):
        """Let the run *name* come to its end."""
        code = self.start(name, *words).wait(TIMEOUT_SECONDS)
        assert code == 0, self.said(name)

    def said(self, name):
        """Return what the processes of the run *name* had to say."""
        return (self.folder / f"{name}.log").read_text()

    def rows(self, name):
        """Return what the run *name* has logged, without times."""
        with suppress(FileNotFoundError):
            text = (self.folder / name / "metrics.jsonl").read_text()
            return [{**json.loads(line), "time": None} for line in text.splitlines(keepends=True) if line[-1] == "\n"]
        return []

    def end(self, name):
        """Return what the run *name* came to."""
        return json.loads((self.folder / name / "end.json").read_text())

    def record(self, name):
        """Return the record of the run *name*."""
        return json.loads((self.folder / name / "run.json").read_text())


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """The configuration, and the run ``whole``, which was never killed."""
    folder = tmp_path_factory.mktemp("chaos")
    script = Path(__file__).with_name("chaos_training.py")
    (folder / "run.toml").write_text(CONFIG.format(training=script, epochs=4 + 2 * KILLS))
    made = Training(folder)
    made.finish("whole")
    return made


def kill(training, name, process, rows, chance):
    """Kill *process* with all that it started, a random moment after the run *name* has logged *rows* rows.

    One in four is killed while it begins, where it reads what the one before it has left.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    if chance.random() < 0.25:
        time.sleep(chance.uniform(0, STARTING_SECONDS))
    else:
        while len(training.rows(name)) < rows and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, LONGEST_DELAY_SECONDS))
    assert process.poll() is None, f"it ended before it was killed:\n{training.said(name)}"
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(TIMEOUT_SECONDS) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("mode", "workers"),
    [("synchronous", [2]), ("asynchronous", [2, 0, 1])],
    ids=["synchronous", "asynchronous, with other workers each time"],
)
def test_a_run_that_is_killed_again_and_again_ends_like_one_that_never_was(training, mode, workers):
    chance = random.Random(f"{SEED} {mode}")
    whole = training.rows("whole")
    asynchronous = ("--set", f"plugins.checkpoint.asynchronous={str(mode == 'asynchronous').lower()}")
    for number in range(KILLS):
        words = (*asynchronous, "--set", f"task.workers={workers[number % len(workers)]}")
        target = len(whole) * (number + 1) // (KILLS + 1)
        kill(training, mode, training.start(mode, *words), target, chance)
    training.finish(mode, *asynchronous)

    end, expected = training.end(mode), training.end("whole")
    assert end["order"] == expected["order"]
    assert training.rows(mode) == whole
    assert end == expected
    record = training.record(mode)
    assert (record["outcome"], record["exact"]) == ("completed", True)
    assert 1 < len(record["attempts"]) <= KILLS + 1
    assert any(each["resumed_from"] for each in record["attempts"])
    left = [each.name for each in (training.folder / mode / "checkpoints" / "checkpoint").iterdir()]
    assert len([each for each in left if not each.startswith(".")]) == 2
    assert [each for each in left if each.startswith((".bad", ".tmp", ".trash"))] == []


def test_the_training_depends_on_what_a_resume_can_get_wrong(training):
    """Were it all the same which samples come when, the test above would say nothing."""
    training.finish("other", "--set", "run.seed=4")
    assert training.end("other")["weights"] != training.end("whole")["weights"]
    assert training.end("other")["order"] != training.end("whole")["order"]
    order = training.end("whole")["order"]
    epoch = [index for batch in order[: len(order) // (4 + 2 * KILLS)] for index in batch]
    assert sorted(epoch) == list(range(98))
    assert epoch != sorted(epoch)

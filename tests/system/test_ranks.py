"""The end of a run that a launcher started on two ranks."""

import os
import subprocess
import sys

import pytest

COMMAND = """
import atexit, os, sys

# The last thing this process does before Python ends takes long, and lets no other thread take a turn: one that waits
# for its turn gets it from a Python that is ending.
atexit.register(sum, range(5 * 10**7 * int(os.environ["RANK"])))

from hookloop.__main__ import main

sys.exit(main())
"""

TASK = """
import time
import torch
from hookloop import SupervisedTask, hookimpl

class Last:
    @hookimpl
    def on_run_end(self, run):
        self.group = torch.distributed.new_group()
        if run.rank == 0:
            time.sleep(0.5)
        torch.distributed.all_reduce(torch.ones(1), group=self.group, async_op=run.rank == 1)

def build():
    torch.distributed.init_process_group("gloo")
    batch = torch.ones(2, 4), torch.ones(2, 1)
    return SupervisedTask(torch.nn.Linear(4, 1), train=[batch] * 2)
"""

CONFIG = """
run = {max_epochs = 1, device = "cpu", threads = 1}
task.use = "task.py:build"
loss.use = "mse"
optimizer = {use = "sgd", lr = 0.1}
plugins.last.use = "task.py:Last"
"""

PYTHON = """
import os
from pathlib import Path
import torch
from hookloop import Engine
from task import build

engine = Engine(build(), loss="mse", optimizer="sgd", max_epochs=1, run_dir="run", overwrite=True, device="cpu")
threads = []
for _ in range(3):
    engine.fit()
    threads.append(len(os.listdir("/proc/self/task")))
Path("added" + os.environ["RANK"]).write_text(str(threads[-1] - threads[0]))
torch.distributed.destroy_process_group()
"""


@pytest.fixture
def launch(tmp_path):
    """A function that runs a script's text on two ranks, with words after it; it returns the finished process."""

    def call(text, *words):
        for name, content in {"script.py": text, "task.py": TASK, "run.toml": CONFIG}.items():
            (tmp_path / name).write_text(content)
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        return subprocess.run(
            [*launcher, "script.py", *words],
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call


def test_what_a_rank_has_yet_to_send_when_its_run_is_over_does_not_abort_it(launch):
    done = launch(COMMAND, "fit", "run.toml", "--run-dir", "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("completed: 1 epoch, 2 steps")


def test_runs_leave_no_threads_of_theirs_in_the_process(launch, tmp_path):
    done = launch(PYTHON)
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / f"added{rank}").read_text() for rank in range(2)] == ["0", "0"]

"""Trainings with the plugin, each in a process of its own, which kills itself where it is told to.

This module is a program. It imports what takes seconds to import once, and then forks for each line that it reads: a
directory, the step to be killed after or 0, the seconds to wait there, and ``self`` or ``group``. It answers each with
the exit status.
"""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch
import wandb  # noqa: F401

from hookloop import Engine, SupervisedTask, hookimpl, snapshots


class Saves:
    """Saves with every third step, and kills the process: after a step and so many seconds, or never."""

    role = "observer"

    def __init__(self, killed_at, seconds, group):
        self.killed_at, self.seconds, self.group = killed_at, seconds, group

    @hookimpl
    def on_step_end(self, run):
        run.log_text("note", f"at step {run.step}")
        if run.step == self.killed_at:
            time.sleep(self.seconds)
            if self.group:
                os.killpg(0, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    @hookimpl
    def persist(self, run):
        if run.step % 3 == 0:
            state = snapshots.take(run)
            name = f"step-{run.step:08}-{run.epoch}"
            folder = run.directory / "checkpoints" / "saves"
            snapshots.saved(run, snapshots.write(folder, name, state, instance="saves", attempt=run.attempt).path)


def train(directory, killed_at, seconds, whom):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(3)
    batches = [(torch.randn(4, 3, generator=generator), torch.randn(4, 1, generator=generator)) for _ in range(4)]
    task = SupervisedTask(torch.nn.Linear(3, 1), train=batches, val=batches[:1])
    plugins = [
        ("wandb", {}),
        ("saves", Saves(int(killed_at), float(seconds), whom == "group")),
    ]
    engine = Engine(
        task, loss="mse", optimizer="sgd", plugins=plugins, max_epochs=3, log_every="1 step", run_dir=Path(directory)
    )
    engine.fit(resume=Path(directory).exists())


def forked(arguments):
    """Train in a process of its own, with a process group of its own, and return how it ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.setsid()
    status = 1
    try:
        train(*arguments)
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as warm:  # so that what a training imports is there
        os.environ["WANDB_MODE"] = "disabled"
        train(Path(warm) / "run", 0, 0, "self")
        os.environ["WANDB_MODE"] = "offline"
    for line in sys.stdin:
        print(forked(line.strip().split("\t")), flush=True)


if __name__ == "__main__":
    main()

"""A training that saves by the engine's snapshots, for test_remote_resume.py to kill; run by its path.

The process imports torch once, and then trains in a forked child for each line of words that it reads.
"""

import json
import os
import signal
import sys
import traceback
from pathlib import Path

import torch

from hookloop import Engine, SupervisedTask, hookimpl, snapshots


class Saves:
    """Saves a snapshot every few steps."""

    role = "observer"

    def __init__(self, every):
        self.every = every

    @hookimpl
    def persist(self, run):
        if run.step % self.every == 0:
            target = run.directory / "checkpoints" / "saves"
            snapshot = snapshots.write(target, f"step-{run.step:08}-{run.epoch}", snapshots.take(run), instance="saves")
            snapshots.saved(run, snapshot.path)


class KillsItself:
    """Ends the process as a kill does, in one hook of one step."""

    def __init__(self, hook, step):
        self.hook, self.step = hook, step

    @hookimpl(tryfirst=True)
    def on_metrics(self, run):
        self.die("on_metrics", run)

    @hookimpl
    def on_step_start(self, run):
        self.die("on_step_start", run)

    @hookimpl(trylast=True)
    def persist(self, run):
        self.die("persist", run)

    def die(self, hook, run):
        if hook == self.hook and run.step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def main(run_dir, url, every, hook, step, loading):
    """Train three epochs of four steps."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    batches = [(torch.randn(6, 4, generator=generator), torch.randint(3, (6,), generator=generator)) for _ in range(4)]
    if loading == "workers":
        data = torch.utils.data.TensorDataset(*(torch.cat(each) for each in zip(*batches, strict=True)))
        train = torch.utils.data.DataLoader(data, batch_size=6, num_workers=1)
    else:
        train = batches
    options = {"url": url, "backoff_seconds": 0.05, "timeout_seconds": 1}
    if every != "-":
        options["every"] = every
    engine = Engine(
        SupervisedTask(torch.nn.Linear(4, 3), train, val=batches[:1]),
        loss="cross_entropy",
        optimizer="sgd",
        plugins=[("remote", options), Saves(3), KillsItself(hook, int(step))],
        max_epochs=3,
        log_every="1 step",
        seed=3,
        device="cpu",
        run_dir=Path(run_dir),
    )
    engine.fit(resume=True)


def child(words):
    """Train in a child and return how it ended, as a shell says it."""
    pid = os.fork()
    if pid == 0:
        try:
            main(*words)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    for line in sys.stdin:
        print(child(json.loads(line)), flush=True)

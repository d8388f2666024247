"""A training for a process of its own, which another one kills: ``python tensorboard_training.py RUN_DIR``."""

import sys
import time
from pathlib import Path

import torch

from hookloop import Engine, SupervisedTask, hookimpl, snapshots

STEPS, EPOCHS = 5, 4


class Saver:
    """Takes a snapshot every three steps, and at the end of the second epoch."""

    role = "observer"

    @hookimpl
    def persist(self, run):
        if run.step % 3 == 0 or run.epoch == 2 == run.step / STEPS:
            state = snapshots.take(run)
            name = f"step-{run.step:08}-{run.epoch}"
            path = run.directory / "checkpoints" / "saver"
            snapshots.saved(run, snapshots.write(path, name, state, instance="saver", attempt=run.attempt).path)


class Logger:
    """Logs more than numbers, and takes its time, so that there is some to be killed in."""

    role = "observer"

    def __init__(self, pause_seconds):
        self.pause_seconds = pause_seconds

    @hookimpl
    def on_step_end(self, run):
        run.log_text("notes", f"step {run.step}")
        run.log_histogram("values", run.model.weight)
        time.sleep(self.pause_seconds)

    @hookimpl
    def on_epoch_end(self, run):
        run.log_image("picture", torch.full((2, 2), run.epoch / EPOCHS))


def batches():
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(6, 4, generator=generator), torch.randint(3, (6,), generator=generator)) for _ in range(STEPS)]


def train(directory, *plugins, pause_seconds=0.0, **options):
    """Train to the end, or on to it."""
    data = batches()
    engine = Engine(
        lambda: SupervisedTask(torch.nn.Linear(4, 3), data, data[:2]),
        loss=torch.nn.functional.cross_entropy,
        optimizer=lambda params: torch.optim.SGD(params, lr=0.1),
        plugins=[
            ("tensorboard", {"flush_seconds": 0.02, **options}),
            ("parameters", {"every": "2 steps"}),
            Logger(pause_seconds),
            Saver(),
            *plugins,
        ],
        max_epochs=EPOCHS,
        log_every="1 step",
        seed=1,
        device="cpu",
        run_dir=directory,
    )
    return engine.fit(resume=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(Path(sys.argv[1]), pause_seconds=0.05)

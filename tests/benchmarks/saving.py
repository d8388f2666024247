"""How long a step takes that saves. Run it on a quiet machine: python tests/benchmarks/saving.py [MEGABYTES]

One run each way takes turns with the other: saving while training waits, and with asynchronous = true, where training
waits for the copy alone. Beside them a bare copy of the state.
"""

import statistics
import sys
import tempfile
import time

import torch

from hookloop import Engine, SupervisedTask, hookimpl, snapshots

STEPS, EVERY, ROUNDS = 30, 10, 5


class Watch:
    """Times each step with its boundary, and the copy of the state once."""

    role = "observer"

    def __init__(self):
        self.seconds = {}
        self.copy_seconds = 0.0
        self.begun = 0.0

    @hookimpl
    def on_step_start(self, run):
        self.begun = time.perf_counter()

    @hookimpl(trylast=True)
    def report(self, run):
        self.seconds.setdefault(run.step, time.perf_counter() - self.begun)
        if run.step == STEPS and not self.copy_seconds:
            state = snapshots.take(run)
            begun = time.perf_counter()
            snapshots.copy_state(state)
            self.copy_seconds = time.perf_counter() - begun


def build(megabytes):
    width = int((megabytes * 2**20 / 4) ** 0.5)
    batches = [(torch.randn(2, width), torch.randn(2, width))] * STEPS
    return SupervisedTask(torch.nn.Linear(width, width, bias=False), train=batches)


def milliseconds(megabytes, *, asynchronous):
    """Return the medians of a step that saves, of one that does not, and of the copy."""
    watch = Watch()
    options = {"every": f"{EVERY} steps", "asynchronous": asynchronous, "final": False}
    with tempfile.TemporaryDirectory() as directory:
        Engine(
            lambda: build(megabytes),
            loss="mse",
            optimizer=("sgd", {"lr": 1e-9}),
            plugins=[("checkpoint", options), watch],
            max_epochs=1,
            threads=1,
            device="cpu",
            runs_dir=directory,
        ).fit()
    saving = [seconds for step, seconds in watch.seconds.items() if step % EVERY == 0]
    others = [seconds for step, seconds in watch.seconds.items() if step % EVERY]
    return [1000 * each for each in (statistics.median(saving), statistics.median(others), watch.copy_seconds)]


def main(megabytes):
    torch.set_num_threads(1)
    rows = {"saves while training waits": [], "saves in the background": []}
    for _ in range(ROUNDS):
        for name, measured in rows.items():
            measured.append(milliseconds(megabytes, asynchronous="background" in name))
    print(f"a model of {megabytes} MB, {ROUNDS} rounds, milliseconds: min, median, max")
    for name, measured in rows.items():
        for what, column in (("a step that saves", 0), ("another step", 1), ("the copy alone", 2)):
            values = [each[column] for each in measured]
            print(f"{name:<28}{what:<20}{min(values):>9.1f}{statistics.median(values):>9.1f}{max(values):>9.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 64)

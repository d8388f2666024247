"""What full equipment adds to a step, in hookloop and by hand: python tests/benchmarks/equipped.py [ROUNDS]

In every step: a progress bar on a terminal, a CSV row, a learning rate, early stopping, a look for NaN, throughput and
the learning rate in the row. Microseconds a step above the bare hand-written loop, by taking turns with it in one
process; each has a terminal of its own, whose other end is read and counted by another process.
"""

import cProfile
import csv
import math
import os
import pstats
import pty
import statistics
import subprocess
import sys
import tempfile
import termios
import time

import torch
from calls import Profiled
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from workload import BLOCK, make_batches, make_model, make_optimizer, median, train_by_engine, train_by_hand

GAMMA = 0.9998
PATIENCE = 10**9
WARMUP_STEPS = 200
SCREEN = (40, 120)  # rows, columns

PLUGINS = [
    "progress",
    ("csv", {"every": "1 step"}),
    ("early-stopping", {"monitor": "train/loss", "mode": "min", "patience": PATIENCE}),
    "nan-guard",
    "throughput",
    "lr-monitor",
]
RUN = {"schedule": ("exponential", {"gamma": GAMMA, "unit": "step"}), "log_every": "1 step"}

COUNT_BYTES = """
import os, sys
total = 0
try:
    while data := os.read(0, 65536):
        total += len(data)
except OSError:  # how a terminal says that nobody writes to it any more
    pass
print(total)
"""


class Terminal:
    """A pseudo-terminal in the place of stderr, whose other end a process reads and counts."""

    def __enter__(self):
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, SCREEN)
        self.reader = subprocess.Popen([sys.executable, "-c", COUNT_BYTES], stdin=ours, stdout=subprocess.PIPE)
        os.close(ours)
        self.stream = os.fdopen(theirs, "w")
        self.stderr, sys.stderr = sys.stderr, self.stream
        return self

    def __exit__(self, *error):
        sys.stderr = self.stderr
        self.stream.close()
        self.bytes_written = int(self.reader.communicate()[0])


class Equipped:
    """The hand-written loop with the same equipment, as far as one writes it by hand."""

    def __init__(self, steps, file, terminal):
        self.steps, self.stream = steps, terminal.stream
        self.model = make_model()
        self.optimizer = make_optimizer(self.model.parameters())
        self.schedule = LambdaLR(self.optimizer, lambda step: GAMMA**step)
        self.writer = csv.writer(file)
        self.writer.writerow(["step", "epoch", "seconds", "train/loss", "lr", "samples_per_second"])
        self.step = self.waited = 0
        self.best = math.inf
        self.begun = self.shown = time.perf_counter()

    def train(self, batches):
        model, optimizer = self.model, self.optimizer
        stepped = time.perf_counter()
        for inputs, targets in batches:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
            self.schedule.step()
            self.step += 1
            value = loss.item()
            if not math.isfinite(value):
                raise ValueError(f"the loss is {value} in step {self.step}")
            now = time.perf_counter()
            samples_per_second, stepped = len(targets) / (now - stepped), now
            lr = optimizer.param_groups[0]["lr"]
            self.writer.writerow([self.step, 0, now - self.begun, value, lr, samples_per_second])
            self.best, self.waited = (value, 0) if value < self.best else (self.best, self.waited + 1)
            if self.waited >= PATIENCE:
                break
            if now - self.shown >= 0.1:
                self.shown = now
                self.draw_bar(now, value)

    def draw_bar(self, now, loss):
        done = 40 * self.step // self.steps
        bar = "#" * done + " " * (40 - done)
        pace = self.step / (now - self.begun)
        self.stream.write(f"\r|{bar}| {self.step}/{self.steps} [{pace:.2f}it/s, loss={loss:.4g}]")
        self.stream.flush()


class Turns:
    """A loader that lets the engine, the bare loop and the equipped loop take turns, block by block, and times each.

    By the clock, and by the processor time of the thread that trains, which others on the machine disturb less. What
    the progress bar's own thread takes is the rest of the process's; it is laid on the engine's steps by the share of
    the time that they would take alone.
    """

    def __init__(self, batches, equipped):
        self.batches = batches
        self.model = make_model()
        self.optimizer = make_optimizer(self.model.parameters())
        self.equipped = equipped
        self.stamps = []

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        began, others = time.perf_counter(), time.process_time() - time.thread_time()
        for start in range(0, len(self.batches), BLOCK):
            block = self.batches[start : start + BLOCK]
            stamps = [now()]
            yield from block
            stamps.append(now())
            train_by_hand(self.model, self.optimizer, block)
            stamps.append(now())
            self.equipped.train(block)
            stamps.append(now())
            self.stamps.append(stamps)
        spent = time.process_time() - time.thread_time() - others
        self.drawing_share = spent / (time.perf_counter() - began)

    def microseconds_a_step(self):
        """Return variant → (by the clock, on the processor): medians of the blocks after the first, which warm up."""
        warm = self.stamps[WARMUP_STEPS // BLOCK :]
        found = {}
        for index, name in enumerate(("hookloop", "bare", "by hand")):
            found[name] = [median([each[index + 1][c] - each[index][c] for each in warm]) / BLOCK * 1e6 for c in (0, 1)]
        found["drawing"] = [self.drawing_share * each for each in found["hookloop"]]
        return found


def now():
    return time.perf_counter(), time.thread_time()


def measure(batches):
    """Return the microseconds a step, whether the final weights are the same, and the bytes written to the terminal."""
    with tempfile.TemporaryFile("w", newline="") as table, Terminal() as others, Terminal() as terminal:
        equipped = Equipped(len(batches), table, others)
        model, turns = make_model(), Turns(batches, equipped)
        train_by_engine(model, turns, PLUGINS, **RUN)
    pairs = zip(model.parameters(), equipped.model.parameters(), strict=True)
    return turns.microseconds_a_step(), all(torch.equal(*pair) for pair in pairs), terminal.bytes_written


def calls_a_step(batches):
    """Return the Python function calls a step, builtins included, above the bare loop's: by hand, and by hookloop."""
    bare, by_hand, watched = cProfile.Profile(), cProfile.Profile(), Profiled()
    model = make_model()
    with tempfile.TemporaryFile("w", newline="") as table, Terminal() as others, Terminal():
        equipped = Equipped(len(batches), table, others)
        bare.runcall(train_by_hand, model, make_optimizer(model.parameters()), batches)
        by_hand.runcall(equipped.train, batches)
        train_by_engine(make_model(), batches, [*PLUGINS, watched], **RUN)
    loop, *others = (pstats.Stats(each).total_calls for each in (bare, by_hand, watched.profile))
    return [(each - loop) / len(batches) for each in others]


def main(rounds):
    torch.set_num_threads(1)
    batches = make_batches()
    measure(batches[: 2 * WARMUP_STEPS])  # the first run of a process imports and warms up
    results = [measure(batches) for _ in range(rounds)]
    print(f"{rounds} rounds; same weights as by hand: {all(same for _, same, _ in results)}")
    print(f"bytes on the terminal: {max(written for _, _, written in results)}")
    for clock, kind in enumerate(("by the clock", "on the processor")):
        print(f"{'µs a step, ' + kind:<42} {'min':>8} {'median':>8} {'max':>8}")
        report([{name: each[clock] for name, each in figures.items()} for figures, _, _ in results])
    by_hand, by_hookloop = calls_a_step(batches)
    print(f"Python calls a step above the bare loop's: by hand {by_hand:.0f}, by hookloop {by_hookloop:.0f}")


def report(rounds):
    row("bare hand-written loop", [each["bare"] for each in rounds])
    row("+ equipped by hand", [each["by hand"] - each["bare"] for each in rounds])
    row("+ equipped by hookloop", [each["hookloop"] - each["bare"] for each in rounds])
    row("  and drawing, on a thread of its own", [each["drawing"] for each in rounds])
    row("in % of the bare loop, by hand", [100 * (each["by hand"] / each["bare"] - 1) for each in rounds])
    row("in % of the bare loop, hookloop", [100 * (each["hookloop"] / each["bare"] - 1) for each in rounds])


def row(name, values):
    print(f"{name:<42} {min(values):>8.1f} {statistics.median(values):>8.1f} {max(values):>8.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)

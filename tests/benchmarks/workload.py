"""The step that is measured: Linear(64,64)-ReLU-Linear(64,10), SGD, cross entropy, batches of 32 from a list."""

import tempfile
import time

import torch
from torch.nn import functional

from hookloop import Engine, SupervisedTask, hookimpl

STEPS = 2000
BLOCK = 20


def make_batches():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(STEPS, 32, 64, generator=generator)
    targets = torch.randint(10, (STEPS, 32), generator=generator)
    return list(zip(inputs, targets, strict=True))


def make_model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))


def make_optimizer(parameters):
    return torch.optim.SGD(parameters, lr=0.05)


def train_by_hand(model, optimizer, batches):
    """The hand-written loop that everything is compared with."""
    for inputs, targets in batches:
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()


def train_by_engine(model, batches, plugins=(), **run):
    with tempfile.TemporaryDirectory() as directory:
        engine = Engine(
            SupervisedTask(model, train=batches),
            loss="cross_entropy",
            optimizer=make_optimizer,
            plugins=plugins,
            max_epochs=1,
            runs_dir=directory,
            **run,
        )
        engine.fit()


class Turns:
    """A loader that lets the engine and a hand-written loop take turns, block by block, and times both.

    What else happens on the machine hits both alike, so their difference is steadier than that of two separate runs.
    """

    def __init__(self, batches):
        self.batches = batches
        self.model = make_model()
        self.optimizer = make_optimizer(self.model.parameters())
        self.engine_seconds, self.loop_seconds = [], []

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        for start in range(0, len(self.batches), BLOCK):
            block = self.batches[start : start + BLOCK]
            begun = time.perf_counter()
            yield from block
            handed_over = time.perf_counter()
            train_by_hand(self.model, self.optimizer, block)
            self.engine_seconds.append(handed_over - begun)
            self.loop_seconds.append(time.perf_counter() - handed_over)

    def microseconds_a_step(self):
        """Return the medians of (engine, loop), without the first blocks, which warm up."""
        warm = 200 // BLOCK
        return tuple(median(each[warm:]) / BLOCK * 1e6 for each in (self.engine_seconds, self.loop_seconds))


def median(values):
    return sorted(values)[len(values) // 2]


def make_idle():
    """Return a plugin that implements two hooks of the step and does nothing in them."""

    class Idle:
        role = "observer"

        @hookimpl
        def on_step_start(self, run):
            pass

        @hookimpl
        def on_step_end(self, run):
            pass

    return Idle()


def make_wrapper():
    """Return a plugin that wraps the step and does nothing in the wrapper."""

    class Wrapper:
        role = "observer"

        @hookimpl(wrapper=True)
        def run_step(self, run):
            return (yield)

    return Wrapper()

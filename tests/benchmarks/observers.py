"""What each observer that measures adds to a step. Run it: python tests/benchmarks/observers.py [ROUNDS] [PLUGIN ...]

One run each, in which steps with the plugin's hooks and steps without them take turns. The medians are of pairs of
neighbours, so that whatever else happens on the machine hits both alike. What a plugin does at a logging boundary,
every 50 steps, is timed by itself and shared out among the steps.
"""

import logging
import statistics
import sys
import time

import torch
from workload import make_batches, make_model, median, train_by_engine

from hookloop import hookimpl

WARM_STEPS = 200
PLUGINS = {
    "timing": {},
    "throughput": {},
    "flops": {"peak_tflops": 1},
    "hook-times": {"print": False},
    "summary": {"print": False},
    "profiler": {"wait": 1_000_000},
    "memory-snapshot": {},
    "slow-rank": {},
    "monitor": {},
}


class Switch:
    """Switches the hooks of one plugin off and on again, at no cost but in between two steps."""

    role = "observer"

    def __init__(self, name):
        self.name = name
        self.run = None
        self.boundary_seconds = 0.0
        self.functions = {}

    @hookimpl
    def on_fit_start(self, run):
        self.run = run

    def prepare(self):
        """Find out what the hooks are with the plugin and without it, and time what it does at boundaries."""
        plugins, hooks = self.run.plugins, self.run.plugins.hooks
        entry = next(each for each in plugins if each.instance == self.name)
        plugins.unregister(self.name)
        self.functions[False] = {hook: getattr(hooks, hook) for hook in entry.hooks}
        plugins.register(entry)
        self.functions[True] = {hook: getattr(hooks, hook) for hook in entry.hooks}
        self.run.store.gauges[:] = [self.timed(each) for each in self.run.store.gauges]

    def timed(self, gauge):
        def read():
            begun = time.perf_counter()
            gauge()
            self.boundary_seconds += time.perf_counter() - begun

        return read

    def turn(self, on):
        for hook, function in self.functions[on].items():
            setattr(self.run.plugins.hooks, hook, function)


class Steps:
    """A loader that times each step, with the plugin and without it in turns."""

    def __init__(self, batches, switch):
        self.batches, self.switch = batches, switch
        self.seconds = {True: [], False: []}

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        yield from self.batches[:WARM_STEPS]
        self.switch.prepare()
        for number, batch in enumerate(self.batches[WARM_STEPS:]):
            on = number % 4 in (0, 3)  # no kind of step is always the odd one
            self.switch.turn(on)
            begun = time.perf_counter()
            yield batch
            self.seconds[on].append(time.perf_counter() - begun)
        self.switch.turn(on=True)


def microseconds(name, options, batches):
    """Return (what the plugin adds to a step, a step without it)."""
    switch = Switch(name)
    steps = Steps(batches, switch)
    train_by_engine(make_model(), steps, [(name, options), switch], log_every="50 steps")
    with_it, without = steps.seconds[True], steps.seconds[False]
    added = median([one - other for one, other in zip(with_it, without, strict=True)])
    return (added + switch.boundary_seconds / len(batches[WARM_STEPS:])) * 1e6, median(without) * 1e6


def main(rounds, names):
    logging.getLogger("hookloop").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    batches = make_batches()
    microseconds("timing", {}, batches)  # the first run of a process imports and warms up
    measured = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            measured[name].append(microseconds(name, PLUGINS[name], batches))
    print(f"{rounds} rounds: min, median, max")
    print(f"{'':<18}{'µs a step':>24}   {'of a step without it':>24}")
    for name, pairs in measured.items():
        added, ratios = [above for above, _ in pairs], [1 + above / step for above, step in pairs]
        print(f"{name:<18}{row(added, 2)}   {row(ratios, 3)}")


def row(values, digits):
    return "".join(f"{each:8.{digits}f}" for each in (min(values), statistics.median(values), max(values)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, sys.argv[2:] or list(PLUGINS))

"""What `monitor` adds to a step. Run it on a quiet machine: python tests/benchmarks/monitor.py [ROUNDS]

The engine takes turns with a hand-written loop in one process, without the monitor and with it; what the monitor adds
on the thread that trains is the difference of both ratios. The sampler works during the turns of both, so its own
processor time is measured apart. Together they are the most that the monitor can cost a step: the sampler's time is
only lost where there is no other core, or while it holds the interpreter's lock.
"""

import statistics
import sys
import time

import torch
from workload import Turns, make_batches, make_model, train_by_engine

RATES = {"1 Hz": 1.0, "10 Hz": 0.1}
SECONDS = 10


def percent_of_loop(batches, plugins):
    """Return the engine's time of a step in percent of the loop's beside it."""
    turns = Turns(batches)
    train_by_engine(make_model(), turns, plugins)
    engine, loop = turns.microseconds_a_step()
    return 100 * engine / loop


def hooks(rounds):
    """Return rate → percent of the loop that the plugin adds on the thread that trains, for each round."""
    batches = make_batches()
    percent_of_loop(batches, [("monitor", {})])  # the first run of a process imports and warms up
    added = {name: [] for name in RATES}
    for _ in range(rounds):
        for name, interval in RATES.items():
            plain = percent_of_loop(batches, [])
            added[name].append(percent_of_loop(batches, [("monitor", {"interval_seconds": interval})]) - plain)
    return added


class Load:
    """A loader that goes on for a time."""

    def __init__(self, batches, seconds):
        self.batches, self.seconds = batches, seconds

    def __iter__(self):
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            yield from self.batches[:200]


def thread_percent(interval, batches):
    """Return the processor time of the sampler in percent of the time that passed, training all the while."""
    from hookloop_monitor.sampler import Sampler

    spent, original = [0.0], Sampler._take

    def timed(self):
        begun = time.thread_time()
        original(self)
        spent[0] += time.thread_time() - begun

    Sampler._take = timed
    try:
        begun = time.monotonic()
        train_by_engine(make_model(), Load(batches, SECONDS), [("monitor", {"interval_seconds": interval})])
        return 100 * spent[0] / (time.monotonic() - begun)
    finally:
        Sampler._take = original


def main(rounds):
    torch.set_num_threads(1)
    batches = make_batches()
    print(f"{rounds} rounds; percent of a hand-written step")
    for name, percents in hooks(rounds).items():
        low, middle, high = min(percents), statistics.median(percents), max(percents)
        print(f"{name:<6} on the thread that trains: {low:6.2f} {middle:6.2f} {high:6.2f}  (min, median, max)")
    for name, interval in RATES.items():
        print(f"{name:<6} on the sampler's thread:   {thread_percent(interval, batches):6.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)

"""What `monitor` adds to a step. Run it: python tests/benchmarks/monitor.py [SECONDS]

In one run, the steps that a sample falls into are compared with those around them, and as many steps half an interval
later, into which none falls, in the same way: whatever else happens on the machine hits both alike. To what a sample
takes from training by that comes what training does itself at its logging boundaries, every 50 steps.
"""

import bisect
import logging
import statistics
import sys
import time

import torch
from workload import make_batches, make_model, train_by_engine

from hookloop import hookimpl
from hookloop_monitor.sampler import Sampler

RATES = {"1 Hz": 1.0, "10 Hz": 0.1}
AROUND = 100  # steps


class Boundaries:
    """Times what the monitor does on the thread that trains."""

    role = "observer"
    after = ("monitor",)

    def __init__(self):
        self.seconds = 0.0

    @hookimpl
    def on_fit_start(self, run):
        run.store.gauges[:] = [self.timed(each) for each in run.store.gauges]

    def timed(self, gauge):
        def read():
            begun = time.perf_counter()
            gauge()
            self.seconds += time.perf_counter() - begun

        return read


class Stamped:
    """A loader that goes on for a time, and notes when each batch was asked for."""

    def __init__(self, batches, seconds):
        self.batches, self.seconds = batches, seconds
        self.stamps = []

    def __iter__(self):
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end:
            for batch in self.batches[:500]:
                self.stamps.append(time.perf_counter())
                yield batch


def lost_seconds(stamps, begun, ended):
    """Return how much longer the steps between two times took than the median of those around them."""
    first, last = bisect.bisect(stamps, begun) - 1, bisect.bisect(stamps, ended) + 1
    if first < AROUND or last + AROUND >= len(stamps):
        return None
    around = [stamps[each + 1] - stamps[each] for each in range(first - AROUND, last + AROUND)]
    return stamps[last] - stamps[first] - (last - first) * statistics.median(around)


def measure(interval, seconds, batches):
    """Return in percent of training: what the sampler takes from it, the same by chance, and what boundaries take."""
    samples, original = [], Sampler._take

    def timed(self):
        begun = time.perf_counter()
        original(self)
        samples.append((begun, time.perf_counter()))

    loader, boundaries = Stamped(batches, seconds), Boundaries()
    Sampler._take = timed
    try:
        plugins = [("monitor", {"interval_seconds": interval}), boundaries]
        train_by_engine(make_model(), loader, plugins, log_every="50 steps")
    finally:
        Sampler._take = original
    lost = [lost_seconds(loader.stamps, *each) for each in samples]
    chance = [lost_seconds(loader.stamps, *(each + interval / 2 for each in sample)) for sample in samples]
    of_sampler, of_chance = (
        100 * statistics.mean(each for each in losses if each is not None) / interval for losses in (lost, chance)
    )
    return of_sampler, of_chance, 100 * boundaries.seconds / seconds


def main(seconds):
    logging.getLogger("hookloop").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    batches = make_batches()
    print(f"percent of the time of training, {seconds} s each")
    for name, interval in RATES.items():
        of_sampler, of_chance, of_boundaries = measure(interval, seconds, batches)
        total = of_sampler - of_chance + of_boundaries
        print(
            f"{name:<6} samples {of_sampler:6.3f}, by chance {of_chance:6.3f}, boundaries {of_boundaries:6.3f}: ",
            end="",
        )
        print(f"{total:6.3f} in all")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)

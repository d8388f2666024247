"""Plugins that show what a run does with its time, its memory and its hardware."""

from hookloop_profiler.flops import Flops
from hookloop_profiler.hook_times import HookTimes
from hookloop_profiler.memory_snapshot import MemorySnapshot
from hookloop_profiler.profiler import Profiler
from hookloop_profiler.slow_rank import SlowRank
from hookloop_profiler.summary import Summary
from hookloop_profiler.throughput import Throughput
from hookloop_profiler.timing import Timing

__all__ = [
    "Flops",
    "HookTimes",
    "MemorySnapshot",
    "Profiler",
    "SlowRank",
    "Summary",
    "Throughput",
    "Timing",
]

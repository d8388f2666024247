"""What every plugin keeps, for each of these."""

from typing import ClassVar

from hookloop.testing import PluginContract


class TestTiming(PluginContract):
    plugin = "timing"
    options: ClassVar = {"warmup": 0}


class TestThroughput(PluginContract):
    plugin = "throughput"
    options: ClassVar = {"warmup_steps": 0, "units": {"pixels": 4}}


class TestProfiler(PluginContract):
    plugin = "profiler"
    options: ClassVar = {"wait": 1, "warmup": 1, "active": 1}


class TestHookTimes(PluginContract):
    plugin = "hook-times"
    options: ClassVar = {"trace_after_steps": 1, "trace_steps": 2}


class TestSummary(PluginContract):
    plugin = "summary"


class TestFlops(PluginContract):
    plugin = "flops"
    options: ClassVar = {"peak_tflops": 1, "recount_every_steps": 2, "warmup_steps": 0}


class TestMemorySnapshot(PluginContract):
    plugin = "memory-snapshot"
    options: ClassVar = {"stop_step": 3}


class TestSlowRank(PluginContract):
    plugin = "slow-rank"
    options: ClassVar = {"every": "2 steps"}

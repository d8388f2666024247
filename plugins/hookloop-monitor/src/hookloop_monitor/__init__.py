"""Samples the machine, the process and the GPUs in the background, and logs what it sees as `system/…`."""

from hookloop_monitor.plugin import Monitor
from hookloop_monitor.sampler import Sampler
from hookloop_monitor.thresholds import Threshold
from hookloop_monitor.window import Spread, Window

__all__ = ["Monitor", "Sampler", "Spread", "Threshold", "Window"]

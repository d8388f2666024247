"""Learning rate schedules for hookloop, a range test to begin with, and a monitor of what the rates are."""

from hookloop_schedules.finder import LrFinder
from hookloop_schedules.monitor import LrMonitor
from hookloop_schedules.plateau import Plateau
from hookloop_schedules.plugin import Schedules

__all__ = ["LrFinder", "LrMonitor", "Plateau", "Schedules"]

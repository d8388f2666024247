"""What every plugin keeps, for the three of this package."""

from typing import ClassVar

from hookloop.testing import PluginContract


class TestSchedules(PluginContract):
    plugin = "schedules"


class TestLrFinder(PluginContract):
    plugin = "lr-finder"
    options: ClassVar = {"steps": 10}
    second_options: ClassVar = {"steps": 10, "file": "second.svg"}


class TestLrMonitor(PluginContract):
    plugin = "lr-monitor"
    keywords: ClassVar = {"schedule": ("exponential", {"gamma": 0.5})}

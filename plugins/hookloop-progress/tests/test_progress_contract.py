"""What every plugin keeps, for each of them and both displays."""

from typing import ClassVar

from hookloop.testing import PluginContract


class TestLines(PluginContract):
    plugin = "progress"


class TestMonitor(PluginContract):
    plugin = "progress-monitor"


class TestReporter(PluginContract):
    plugin = "progress-reporter"


class TestBars(PluginContract):
    plugin = "progress"
    options: ClassVar = {"style": "rich", "refresh_hz": 10}

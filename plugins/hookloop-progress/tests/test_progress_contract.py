"""What every plugin keeps, for lines and for bars."""

from typing import ClassVar

from hookloop.testing import PluginContract


class TestLines(PluginContract):
    plugin = "progress"


class TestBars(PluginContract):
    plugin = "progress"
    options: ClassVar = {"style": "rich", "refresh_hz": 10}

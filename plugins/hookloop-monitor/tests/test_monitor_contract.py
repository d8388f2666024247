"""What every plugin keeps."""

from typing import ClassVar

from hookloop.testing import PluginContract


class TestMonitor(PluginContract):
    plugin = "monitor"
    options: ClassVar = {"interval_seconds": 0.1, "warn": {"system/process/rss_bytes": "> 1e15"}}
    second_options: ClassVar = {"timeline": False}

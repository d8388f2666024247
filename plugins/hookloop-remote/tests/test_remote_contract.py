"""What every plugin keeps, with a server that nobody has started."""

from typing import ClassVar

from hookloop.testing import PluginContract


class TestRemote(PluginContract):
    plugin = "remote"
    options: ClassVar = {"url": "http://127.0.0.1:9/rows", "drain_seconds": 0.2, "every": "3 steps"}
    second_options: ClassVar = {"url": "http://127.0.0.1:9/rows", "drain_seconds": 0.2}

"""What every plugin keeps, for both."""

from typing import ClassVar

from hookloop.testing import PluginContract

SELDOM: dict[str, object] = {"every": "1 epoch"}  # on the meta device there is nothing to save


class TestCheckpoint(PluginContract):
    plugin = "checkpoint"
    options: ClassVar = {"every": "1 step", "keep_last": 2}
    meta_options: ClassVar = SELDOM


class TestCheckpointInTheBackground(PluginContract):
    plugin = "checkpoint"
    options: ClassVar = {
        "every": "1 step",
        "asynchronous": True,
        "monitor": "val/loss",
        "keep_best": 2,
        "on_exception": True,
    }
    meta_options: ClassVar = SELDOM


class TestBackup(PluginContract):
    plugin = "backup"
    options: ClassVar = {"every": "1 step", "asynchronous": True}
    meta_options: ClassVar = SELDOM

"""What every plugin keeps, for both."""

from typing import ClassVar

from hookloop.testing import PluginContract


class TestTensorBoard(PluginContract):
    plugin = "tensorboard"
    second_options: ClassVar = {"directory": "second"}


class TestParameters(PluginContract):
    plugin = "parameters"
    options: ClassVar = {"every": "2 steps", "buffers": True}
    meta_options: ClassVar = {"every": "1000 steps"}

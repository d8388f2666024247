"""What every plugin keeps."""

from typing import ClassVar

from hookloop.testing import PluginContract


class TestWandb(PluginContract):
    plugin = "wandb"
    options: ClassVar = {"mode": "offline"}

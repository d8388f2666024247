"""What every plugin keeps."""

from typing import ClassVar

from hookloop.testing import PluginContract


class TestMlflow(PluginContract):
    plugin = "mlflow"
    options: ClassVar = {"interval_seconds": 0.1}

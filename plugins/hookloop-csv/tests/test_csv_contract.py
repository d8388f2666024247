"""What every plugin keeps, for both."""

from typing import ClassVar

from hookloop.testing import PluginContract


class TestMetricsCsv(PluginContract):
    plugin = "csv"
    options: ClassVar = {"every": "3 steps"}
    second_options: ClassVar = {"file": "second.csv"}


class TestPredictionsCsv(PluginContract):
    plugin = "predictions"
    second_options: ClassVar = {"file": "second.csv"}

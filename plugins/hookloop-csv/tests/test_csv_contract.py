"""What every plugin keeps, for both."""

from hookloop.testing import PluginContract


class TestMetricsCsv(PluginContract):
    plugin = "csv"
    options = {"every": "3 steps"}
    second_options = {"file": "second.csv"}


class TestPredictionsCsv(PluginContract):
    plugin = "predictions"
    second_options = {"file": "second.csv"}

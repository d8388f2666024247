"""What every plugin keeps, with metrics in use."""

from typing import ClassVar

from hookloop.testing import PluginContract


class TestMetrics(PluginContract):
    plugin = "metrics"

    # A name that the engine offers as well, as some clauses train without the plugin.
    keywords: ClassVar = {"metrics": {"accuracy": {}}}

    # Two providers of the same names are an error, and meant to be.
    test_two_instances_run_side_by_side = None

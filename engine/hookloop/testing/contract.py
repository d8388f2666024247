"""`PluginContract`: subclass it, name your plugin, and pytest checks everything that hookloop expects of it."""

from __future__ import annotations

from hookloop.testing.declared import DeclaredClauses
from hookloop.testing.endings import EndingClauses
from hookloop.testing.numbers import NumberClauses


class PluginContract(DeclaredClauses, NumberClauses, EndingClauses):
    """What every plugin keeps, a test for each clause.

    ::

        from hookloop.testing import PluginContract

        class TestMonitor(PluginContract):
            plugin = "monitor"
            options = {"interval_seconds": 0.1}

    See `hookloop.testing.subject.PluginUnderTest` for the attributes to set. A plugin that cannot be loaded fails one
    clause and skips the others.
    """

"""Learning rate schedules by name, a search for the rate to begin with, and the rates among the metrics.

Everything is imported when it is first asked for: the search needs pydantic, and `hookloop plugins` answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookloop_schedules.finder import LrFinder
    from hookloop_schedules.monitor import LrMonitor
    from hookloop_schedules.plateau import Plateau
    from hookloop_schedules.plugin import Schedules

__all__ = ["LrFinder", "LrMonitor", "Plateau", "Schedules"]

_LAZY = {"LrFinder": "finder", "LrMonitor": "monitor", "Plateau": "plateau", "Schedules": "plugin"}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'hookloop_schedules' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(f"hookloop_schedules.{_LAZY[name]}"), name)

"""The kit for testing plugins: fixtures that pytest finds by itself, and `PluginContract`, what every plugin must keep.

Nothing here imports torch, pydantic or cyclopts before a run is made: pytest loads the fixtures in every test session
of everybody who has hookloop installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookloop.testing.clock import FakeClock
    from hookloop.testing.contract import PluginContract
    from hookloop.testing.failing import failing_plugin
    from hookloop.testing.recorder import Call, HookRecorder
    from hookloop.testing.tiny import TinyRun, tiny_task

__all__ = ["Call", "FakeClock", "HookRecorder", "PluginContract", "TinyRun", "failing_plugin", "tiny_task"]

_LAZY = {
    "Call": "recorder",
    "FakeClock": "clock",
    "HookRecorder": "recorder",
    "PluginContract": "contract",
    "TinyRun": "tiny",
    "failing_plugin": "failing",
    "tiny_task": "tiny",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'hookloop.testing' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(f"hookloop.testing.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return __all__

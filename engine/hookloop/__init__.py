"""A small PyTorch training engine that fires a pluggy hook at every training event.

What needs torch is imported when it is first asked for, so that ``import hookloop`` takes milliseconds and a plugin
module can be read by the command line without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookloop._version import __version__
from hookloop.control import SkipBackward, SkipBatch, SkipEpoch, SkipStep
from hookloop.errors import (
    ConfigError,
    DataError,
    HookloopError,
    LogError,
    PluginConfigError,
    PluginError,
    PluginHookError,
    PluginIncompatibleError,
    PluginLoadError,
    SnapshotError,
)
from hookloop.interval import Interval, Trigger
from hookloop.markers import hookimpl

if TYPE_CHECKING:
    from hookloop import snapshots
    from hookloop.engine import Engine
    from hookloop.functions import check_function_location, import_function, is_function_location
    from hookloop.plugin_config import PluginConfig
    from hookloop.result import Result
    from hookloop.run import Run
    from hookloop.task import SupervisedTask, Task

__all__ = [
    "ConfigError",
    "DataError",
    "Engine",
    "HookloopError",
    "Interval",
    "LogError",
    "PluginConfig",
    "PluginConfigError",
    "PluginError",
    "PluginHookError",
    "PluginIncompatibleError",
    "PluginLoadError",
    "Result",
    "Run",
    "SkipBackward",
    "SkipBatch",
    "SkipEpoch",
    "SkipStep",
    "SnapshotError",
    "SupervisedTask",
    "Task",
    "Trigger",
    "__version__",
    "check_function_location",
    "hookimpl",
    "import_function",
    "is_function_location",
    "snapshots",
]

_LAZY = {
    "Engine": "hookloop.engine",
    "PluginConfig": "hookloop.plugin_config",
    "Result": "hookloop.result",
    "Run": "hookloop.run",
    "SupervisedTask": "hookloop.task",
    "Task": "hookloop.task",
    "check_function_location": "hookloop.functions",
    "import_function": "hookloop.functions",
    "is_function_location": "hookloop.functions",
}


def __getattr__(name: str) -> object:
    import importlib

    if name == "snapshots":
        return importlib.import_module("hookloop.snapshots")
    if name not in _LAZY:
        raise AttributeError(f"module 'hookloop' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return __all__

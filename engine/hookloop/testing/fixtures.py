"""The pytest plugin of hookloop: the fixtures `tiny_run`, `hook_recorder`, `fake_clock` and `failing_plugin`.

Each imports what it needs when it is asked for. pytest loads this file before coverage starts to measure, so what it
imported at the top would count as never run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hookloop.testing.clock import FakeClock
    from hookloop.testing.recorder import HookRecorder
    from hookloop.testing.tiny import TinyRun


@pytest.fixture
def tiny_run(tmp_path: Path) -> TinyRun:
    """A function that trains a tiny seeded model with the plugins that it is given: ``tiny_run([MyPlugin()])``."""
    from hookloop.testing.tiny import TinyRun

    return TinyRun(tmp_path)


@pytest.fixture
def hook_recorder() -> HookRecorder:
    """A plugin that implements every hook and remembers the calls, in order."""
    from hookloop.testing.recorder import HookRecorder

    return HookRecorder()


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that moves only when told to: ``tiny_run(..., clock=fake_clock)``, ``fake_clock.advance(60)``."""
    from hookloop.testing.clock import FakeClock

    return FakeClock()


@pytest.fixture
def failing_plugin() -> Callable[..., object]:
    """Makes a plugin that raises in one hook: ``failing_plugin("on_step_end", at_step=2)``."""
    from hookloop.testing.failing import failing_plugin

    return failing_plugin

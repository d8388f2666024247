"""Spans around the parts of a step, for the time of a profile."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any

from hookloop import hookimpl

Phase = Callable[[str], AbstractContextManager[Any]]
Wrapping = Generator[None, Any, Any]


class Phases:
    """Wraps what the engine does; `role` is that of its host."""

    role = "observer"

    def __init__(self, phase: Phase) -> None:
        self.phase = phase
        self.fetching: AbstractContextManager[Any] | None = None

    @hookimpl(trylast=True)
    def on_fetch_start(self) -> None:
        """Begin to wait for a batch."""
        self.fetching = self.phase("fetch")
        self.fetching.__enter__()

    @hookimpl(tryfirst=True)
    def on_fetch_end(self) -> None:
        """End waiting."""
        self.end_fetch()

    @hookimpl(tryfirst=True)
    def on_data_exhausted(self) -> None:
        """End waiting."""
        self.end_fetch()

    def end_fetch(self) -> None:
        """End the span of a fetch, if it was begun."""
        if self.fetching is not None:
            self.fetching.__exit__(None, None, None)
        self.fetching = None

    @hookimpl(wrapper=True, tryfirst=True)
    def run_step(self) -> Wrapping:
        """Lie around a step."""
        with self.phase("step"):
            return (yield)

    @hookimpl(wrapper=True, tryfirst=True)
    def run_forward(self) -> Wrapping:
        """Lie around the forward pass and the loss."""
        with self.phase("forward"):
            return (yield)

    @hookimpl(wrapper=True, tryfirst=True)
    def run_backward(self) -> Wrapping:
        """Lie around the backward pass."""
        with self.phase("backward"):
            return (yield)

    @hookimpl(wrapper=True, tryfirst=True)
    def run_optimizer_step(self) -> Wrapping:
        """Lie around the update of the weights."""
        with self.phase("optimizer"):
            return (yield)

    @hookimpl(wrapper=True, tryfirst=True)
    def run_validation(self) -> Wrapping:
        """Lie around a validation."""
        with self.phase("validation"):
            return (yield)

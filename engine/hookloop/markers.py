"""The two decorators of the hook system: `hookimpl` for plugins, `hookspec` for the engine's own specifications."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import pluggy

F = TypeVar("F", bound=Callable[..., object])

PROJECT = "hookloop"

Kind = Literal["event", "deferred", "ending", "collect", "chain", "around"]
Scope = Literal["all", "rank0"]

hookimpl = pluggy.HookimplMarker(PROJECT)
_pluggy_hookspec = pluggy.HookspecMarker(PROJECT)


@dataclass(frozen=True)
class HookInfo:
    """What a specification says of its hook beyond its arguments.

    ``kind`` is how results travel: an ``event`` tells; a ``deferred`` one tells all, perhaps on another thread, and
    what they raise is raised on the training's; an ``ending`` tells every plugin in reverse order whatever fails;
    ``collect`` gathers one result a plugin; a ``chain`` hands each plugin what the one before it returned; ``around``
    takes the first result that is not None. ``scope`` is which ranks call it.
    """

    kind: Kind
    scope: Scope
    since: str


def hookspec(kind: Kind = "event", *, scope: Scope = "all", since: str = "0.1") -> Callable[[F], F]:
    """Mark a function as a hook's specification, and remember what pluggy has no word for."""

    def mark(function: F) -> F:
        function.__hookloop__ = HookInfo(kind, scope, since)  # type: ignore[attr-defined]
        return _pluggy_hookspec(firstresult=kind == "around")(function)

    return mark


def spelt_out(function: F) -> F:
    """Mark a default of the engine that its caller spells out in place, for when nobody else implements the hook.

    Such a hook is then None like any other that nobody listens to: a call less in every step.
    """
    function.__spelt_out__ = True  # type: ignore[attr-defined]
    return function


def hook_info(specification: Callable[..., object]) -> HookInfo:
    """Return what `hookspec` remembered of *specification*."""
    info: HookInfo = specification.__hookloop__  # type: ignore[attr-defined]
    return info

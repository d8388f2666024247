"""Spans around what each plugin does in each hook, while somebody wants them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from hookloop_profiler.instances import loaded

if TYPE_CHECKING:
    from hookloop import Run

Span = Callable[[str, str], AbstractContextManager[Any]]  # of a plugin's name and a hook's

ABSENT = object()


class PluginSpans:
    """Puts itself between the engine and the hooks of every plugin, and takes itself out again.

    A hook is found on the plugin object, so that is where it is replaced. An object that takes no attributes is left as
    it is. The engine's own plugins have no span: what they do is the training itself.
    """

    def __init__(self, span: Span, leave_out: Collection[object] = ()) -> None:
        self.span = span
        self.leave_out = leave_out
        self.replaced: list[tuple[Any, str, Any, Any]] = []
        self.on = False

    def attach(self, run: Run) -> None:
        """Begin."""
        self.on = True
        for each in loaded(run):
            if not each.builtin and not any(each.plugin is other for other in self.leave_out):
                for hook in hooks_of(each, run):
                    self.replace(each.plugin, each.instance, hook)
        run.plugins.register()  # has the hooks looked up anew

    def detach(self, run: Run) -> None:
        """End; whatever somebody else has put over a span since then stays, and finds nothing to do in it."""
        self.on = False
        for plugin, hook, spanned, before in reversed(self.replaced):
            if vars(plugin).get(hook) is spanned:
                if before is ABSENT:
                    delattr(plugin, hook)
                else:
                    setattr(plugin, hook, before)
        self.replaced = []
        run.plugins.register()

    def replace(self, plugin: Any, instance: str, hook: str) -> None:
        """Put a span around one hook of one plugin."""
        if not hasattr(plugin, "__dict__"):
            return
        before = vars(plugin).get(hook, ABSENT)
        spanned = self.spanned(getattr(plugin, hook), instance, hook)
        try:
            setattr(plugin, hook, spanned)
        except (AttributeError, TypeError):  # frozen dataclasses and the like
            return
        self.replaced.append((plugin, hook, spanned, before))

    def spanned(self, function: Callable[..., Any], instance: str, hook: str) -> Callable[..., Any]:
        """Return *function* with a span around each call."""

        @functools.wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            if not self.on:
                return function(*given, **named)
            with self.span(instance, hook):
                return function(*given, **named)

        return call


def hooks_of(entry: Any, run: Run) -> list[str]:
    """Return the hooks that a plugin implements, without its wrappers: these lie around what others do."""
    names = [name for name in dir(run.plugins.hooks) if not name.startswith("_")]
    return [
        name
        for name in names
        if any(each.plugin_name == entry.instance and not each.wrapper for each in run.plugins.implementations(name))
    ]

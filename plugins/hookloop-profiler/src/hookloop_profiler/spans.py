"""Spans around the parts of a step, and around what each plugin does in each hook, while somebody wants them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from hookloop_profiler.instances import dismiss, invite, loaded
from hookloop_profiler.phases import Phases

if TYPE_CHECKING:
    from hookloop import Run

Span = Callable[[str], AbstractContextManager[Any]]

ABSENT = object()


class Spans:
    """Puts itself between the engine and the hooks of every plugin but *host*, and takes itself out again.

    A hook is found on the plugin object, so that is where it is replaced. An object that takes no attributes is left as
    it is. The engine's own plugins have no span: what they do is the training itself, whose parts have spans.
    *of_part* makes a span of the name of a part, *of_plugin* one of a name such as ``csv: report``.
    """

    def __init__(self, host: object, of_part: Span, of_plugin: Span) -> None:
        self.host = host
        self.phases = Phases(of_part)
        self.of_plugin = of_plugin
        self.replaced: list[tuple[Any, str, Any, Any]] = []
        self.guest = ""
        self.on = False

    def attach(self, run: Run) -> None:
        """Begin."""
        self.on = True
        for plugin, instance, hook in implementations(run):
            if plugin is not self.host:
                self.replace(plugin, instance, hook)
        self.guest = invite(self.host, self.phases, run)  # which has all hooks looked up anew, those above as well

    def detach(self, run: Run) -> None:
        """End; whatever somebody else has put over a span since then stays, and finds nothing to do in it."""
        self.on = False
        self.phases.end_fetch()
        for plugin, hook, spanned, before in reversed(self.replaced):
            if vars(plugin).get(hook) is spanned:
                if before is ABSENT:
                    delattr(plugin, hook)
                else:
                    setattr(plugin, hook, before)
        self.replaced = []
        dismiss(self.guest, run)

    def replace(self, plugin: Any, instance: str, hook: str) -> None:
        """Put a span around one hook of one plugin."""
        if not hasattr(plugin, "__dict__"):
            return
        before = vars(plugin).get(hook, ABSENT)
        spanned = self.spanned(getattr(plugin, hook), f"{instance}: {hook}")
        try:
            setattr(plugin, hook, spanned)
        except (AttributeError, TypeError):  # frozen dataclasses and the like
            return
        self.replaced.append((plugin, hook, spanned, before))

    def spanned(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Return *function* with a span around each call."""

        @functools.wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            if not self.on:
                return function(*given, **named)
            with self.of_plugin(name):
                return function(*given, **named)

        return call


def implementations(run: Run) -> Iterator[tuple[Any, str, str]]:
    """Yield plugin, instance and hook of all that is implemented, but for wrappers: these lie around what others do."""
    plugins = {each.instance: each.plugin for each in loaded(run) if not each.builtin}
    for hook in dir(run.plugins.hooks):
        if not hook.startswith("_") and getattr(run.plugins.hooks, hook) is not None:
            for each in run.plugins.implementations(hook):
                if each.plugin_name in plugins and not each.wrapper:
                    yield plugins[each.plugin_name], each.plugin_name, hook

"""A plugin that hears everything, for tests of what is called when."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hookloop.errors import suggest
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.markers import hook_info, hookimpl

T = TypeVar("T")

SPECS = {
    name: function
    for group in SPECIFICATIONS
    for name, function in vars(group).items()
    if hasattr(function, "__hookloop__")
}


@dataclass(frozen=True)
class Call:
    """One call of a hook: the counters of the run at that time, and copies of the arguments beside the run."""

    hook: str
    counters: Mapping[str, int | float] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)


def recording(specification: Callable[..., object]) -> Callable[..., Any]:
    """Return the method that records calls of the hook of *specification*, with the same parameters.

    pluggy reads parameters from the code of a function, so a function that takes ``*arguments`` would not do.
    """
    hook = specification.__name__
    names = [name for name in inspect.signature(specification).parameters if name != "self"]
    around = hook_info(specification).kind == "around"
    arguments = ", ".join(f"{name}={name}" for name in names)
    source = f"def {hook}(self, {', '.join(names)}):\n    self.note({hook!r}, dict({arguments}))\n"
    namespace: dict[str, Any] = {}
    exec(source + ("    return (yield)\n" if around else ""), namespace)
    method: Callable[..., Any] = namespace[hook]
    return hookimpl(wrapper=around)(method)


def with_every_hook(recorder: type[T]) -> type[T]:
    """Give the class *recorder* a method for each specification."""
    for name, specification in SPECS.items():
        setattr(recorder, name, recording(specification))
    return recorder


@with_every_hook
class HookRecorder:
    """An observer that implements every hook and remembers each call in ``calls``; it changes nothing.

    Of a ``run_…`` hook it remembers that the action began, as a wrapper around it. Its methods are made from the
    specifications, so that a new hook is in it from the start.

    Calls of ``write_rows`` are in ``deferred`` and not in ``calls``: when they come is by the clock, and so by the
    machine, and not the same in every run.
    """

    role = "observer"

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.deferred: list[Call] = []

    @property
    def names(self) -> list[str]:
        """The hooks that were called, in order, but for deferred ones."""
        return [each.hook for each in self.calls]

    def count(self, hook: str) -> int:
        """Return how often *hook* was called; ValueError when there is no such hook, here and below."""
        return len(self.of(hook))

    def of(self, hook: str) -> list[Call]:
        """Return the calls of *hook*."""
        check_names([hook])
        return [each for each in (*self.calls, *self.deferred) if each.hook == hook]

    def assert_order(self, *hooks: str) -> None:
        """Assert that *hooks* were called in this order, whatever was called in between.

        ValueError for one that is deferred, which has no place in the order.
        """
        check_names(hooks)
        for hook in filter(is_deferred, hooks):
            raise ValueError(f"{hook} comes at a time that is not the same in every run: look at .of('{hook}')")
        rest = iter(self.names)
        for index, hook in enumerate(hooks):
            if hook not in rest:  # this walks on to the place after it
                before = f" after {', '.join(hooks[:index])}" if index else ""
                raise AssertionError(f"{hook} was not called{before}. The calls: {', '.join(compact(self.names))}")

    def note(self, hook: str, arguments: Mapping[str, Any]) -> None:
        """Remember a call of *hook* with *arguments* by name."""
        run = arguments.get("run")
        others = {name: copied(value) for name, value in arguments.items() if name != "run"}
        calls = self.deferred if is_deferred(hook) else self.calls
        calls.append(Call(hook, {} if run is None else run.counters(), others))


def is_deferred(hook: str) -> bool:
    """Return whether the clock, and not the order of events, says when *hook* is called."""
    return hook_info(SPECS[hook]).kind == "deferred"


def check_names(hooks: Iterable[str]) -> None:
    """Raise ValueError for a name that is no hook: a test that counts none of it would pass for ever."""
    for hook in hooks:
        if hook not in SPECS:
            raise ValueError(f"there is no hook '{hook}'.{suggest(hook, SPECS)}")


def compact(names: Iterable[str]) -> Iterator[str]:
    """Yield *names* with those that follow themselves as one, such as ``on_fetch_end x3``."""
    last, count = "", 0
    for name in [*names, ""]:
        if name != last and last:
            yield f"{last} x{count}" if count > 1 else last
        count = count + 1 if name == last else 1
        last = name


def copied(value: Any) -> Any:
    """Return *value* as it is now: a tensor is cloned and leaves its graph, a mapping is copied one level deep."""
    if hasattr(value, "detach"):
        return value.detach().clone()
    return dict(value) if isinstance(value, Mapping) else value

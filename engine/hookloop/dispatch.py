"""Freezes the implementations of one hook into one plain function.

pluggy holds registration, validation and order, and its own call costs about a microsecond for a hook that nobody
implements. A training step has some thirty hooks, so the engine asks pluggy for the order once, after every change of
the plugin set, and calls what `freeze` returns: ``None`` when nobody listens, which a caller skips with an ``if``, and
otherwise a loop over bound functions that knows whose turn it is when one raises and adds up how long each takes.

What a frozen hook does is what pluggy's call does, in order, results, first result, wrappers and exceptions, but that
an event returns nothing, and for two kinds of hook that pluggy does not have: a chain hands the result of one plugin
to the next, and an ending reaches every plugin whatever the others raise.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Protocol

from hookloop.calling import (
    Entry,
    Function,
    Supervisor,
    Timing,
    chained,
    ending,
    first_result,
    gathered,
    told,
    told_both,
    told_more,
)
from hookloop.markers import HookInfo, Kind
from hookloop.wrapping import wrapped, wrapped_ending


class Implementation(Protocol):
    """The public part of ``pluggy.HookImpl`` that is read here."""

    function: Function
    argnames: tuple[str, ...]
    kwargnames: tuple[str, ...]
    plugin: object
    plugin_name: str
    wrapper: bool
    tryfirst: bool
    trylast: bool


def freeze(
    hook: str,
    info: HookInfo,
    parameters: Sequence[str],
    implementations: Sequence[Implementation],
    supervisor: Supervisor,
) -> Function | None:
    """Return one function that calls *implementations*, which stand in call order, or None when there are none."""
    if not implementations:
        return None
    untimed = Timing("", hook)

    def entry_of(implementation: Implementation) -> Entry:
        timing = supervisor.timing(implementation.plugin_name, hook)
        return adapt(implementation, parameters), timing or untimed

    plain = [entry_of(each) for each in implementations if not each.wrapper]
    wrappers = [entry_of(each) for each in implementations if each.wrapper]
    engine_alone = len(plain) == 1 and plain[0][1] is untimed
    if engine_alone and not wrappers and getattr(plain[0][0], "__spelt_out__", False):
        return None
    call: Function
    match info.kind:
        case "around":
            call = plain[0][0] if engine_alone else first_result(plain, supervisor)
        case "chain":
            call = chained(plain, supervisor)
        case "ending":
            call = ending(hook, plain, supervisor)
        case "event" | "deferred" if not wrappers:
            tell = {1: told, 2: told_both}.get(len(parameters), told_more)
            call = plain[0][0] if engine_alone else tell(plain, supervisor)
        case "event" | "deferred" | "collect":
            call = gathered(plain, supervisor)
    around = wrapped_ending if info.kind == "ending" else wrapped
    for function, timing in reversed(wrappers):
        call = around(function, timing, call, supervisor)
    return call


def call_order(implementations: Iterable[Implementation], kind: Kind, own: Container[str] = ()) -> list[Implementation]:
    """Return *implementations*, given as pluggy keeps them, in call order: wrappers, then the rest.

    pluggy has the last registered first, so plugins are registered backwards to be called as they are listed; but of
    several ``trylast`` it has the first registered first, so these are turned round. The engine's *own* come after all
    others that ask to be last, since they are the defaults. An ending calls in reverse.
    """
    calls = list(implementations)[::-1]
    wrappers = listed([each for each in calls if each.wrapper], own)
    plain = listed([each for each in calls if not each.wrapper], own)
    return wrappers + (unwound(plain) if kind == "ending" else plain)


def listed(calls: Sequence[Implementation], own: Container[str]) -> list[Implementation]:
    """Return *calls* with those that ask to be last as they are listed, and the engine's *own* of them at the end."""
    last = [each for each in reversed(calls) if each.trylast]
    return [each for each in calls if not each.trylast] + sorted(last, key=lambda each: each.plugin_name in own)


def unwound(calls: Sequence[Implementation]) -> list[Implementation]:
    """Return *calls* in reverse, but for what asked to be first or last."""
    backwards = list(reversed(calls))
    return sorted(backwards, key=lambda each: each.trylast - each.tryfirst)


def adapt(implementation: Implementation, parameters: Sequence[str]) -> Function:
    """Return a function of all of the hook's *parameters* that passes on those which the implementation takes."""
    function = implementation.function
    positional = implementation.argnames
    named = tuple(name for name in implementation.kwargnames if name in parameters)
    if positional + named == tuple(parameters) and named == implementation.kwargnames[: len(named)]:
        return function
    places = [parameters.index(name) for name in positional]
    keywords = {name: parameters.index(name) for name in named}
    if keywords:
        return lambda *given: function(*[given[i] for i in places], **{n: given[i] for n, i in keywords.items()})
    if not places:
        return lambda *given: function()
    if places == [0]:
        return lambda first, *rest: function(first)
    if places == [1]:
        return lambda first, second, *rest: function(second)
    return lambda *given: function(*[given[i] for i in places])

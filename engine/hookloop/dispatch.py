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

from collections.abc import Callable, Generator, Sequence
from time import perf_counter
from typing import Any, Protocol

from hookloop.markers import HookInfo

Function = Callable[..., Any]


class Implementation(Protocol):
    """The public part of ``pluggy.HookImpl`` that is read here."""

    function: Function
    argnames: tuple[str, ...]
    kwargnames: tuple[str, ...]
    plugin_name: str
    wrapper: bool
    tryfirst: bool
    trylast: bool


class Timing:
    """How often one plugin was called in one hook, and how many seconds it took in all."""

    __slots__ = ("calls", "hook", "plugin", "seconds")

    def __init__(self, plugin: str, hook: str) -> None:
        self.plugin = plugin
        self.hook = hook
        self.calls = 0
        self.seconds = 0.0


class Supervisor(Protocol):
    """What a frozen hook needs to know of the world around it."""

    def timing(self, plugin: str, hook: str) -> Timing | None:
        """Return where to add up the time, or None for a plugin of the engine itself."""

    def failed(self, timing: Timing, error: BaseException, arguments: tuple[Any, ...]) -> None:
        """Note whose exception this is; return when training goes on without it, else raise it."""


Entry = tuple[Function, Timing]


def freeze(
    hook: str,
    info: HookInfo,
    parameters: Sequence[str],
    implementations: Sequence[Implementation],
    supervisor: Supervisor,
) -> Function | None:
    """Return one function that calls *implementations*, which stand in call order, or None when there are none."""
    plain = [each for each in implementations if not each.wrapper]
    wrappers = [each for each in implementations if each.wrapper]
    if not implementations:
        return None
    if info.kind == "ending":
        plain = unwound(plain)
    entries = [(adapt(each, parameters), supervisor.timing(each.plugin_name, hook)) for each in plain]
    untimed = Timing("", hook)
    timed = [(function, timing or untimed) for function, timing in entries]
    own = all(timing is None for _, timing in entries)
    call: Function
    match info.kind:
        case "around" if own and len(entries) == 1:
            call = entries[0][0]
        case "around":
            call = first_result(timed, supervisor)
        case "chain":
            call = chained(timed, supervisor)
        case "ending":
            call = ending(timed, supervisor, gather=bool(wrappers))
        case "collect":
            call = gathered(timed, supervisor)
        case _ if wrappers:
            call = gathered(timed, supervisor)
        case _ if own and len(entries) == 1:
            call = entries[0][0]
        case _ if len(parameters) == 1:
            call = told(timed, supervisor)
        case _:
            call = told_more(timed, supervisor)
    for wrapper in reversed(wrappers):
        timing = supervisor.timing(wrapper.plugin_name, hook) or untimed
        call = wrapped(adapt(wrapper, parameters), timing, call, supervisor)
    return call


def unwound(implementations: Sequence[Implementation]) -> list[Implementation]:
    """Return *implementations* in reverse, but for what asked to be first or last."""
    backwards = list(reversed(implementations))
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
    return lambda *given: function(*[given[i] for i in places])


def told(entries: Sequence[Entry], supervisor: Supervisor) -> Function:
    """Call each with the run alone: the shape of nearly every hook inside a step, so it is spelt out for speed."""

    def call(run: Any) -> None:
        started = perf_counter()
        for function, timing in entries:
            try:
                function(run)
            except BaseException as error:
                supervisor.failed(timing, error, (run,))
            now = perf_counter()
            timing.seconds += now - started
            timing.calls += 1
            started = now

    return call


def told_more(entries: Sequence[Entry], supervisor: Supervisor) -> Function:
    """Call each with all arguments and drop what they return."""

    def call(*given: Any) -> None:
        started = perf_counter()
        for function, timing in entries:
            try:
                function(*given)
            except BaseException as error:
                supervisor.failed(timing, error, given)
            now = perf_counter()
            timing.seconds += now - started
            timing.calls += 1
            started = now

    return call


def timed_call(entry: Entry, given: tuple[Any, ...], supervisor: Supervisor) -> Any:
    """Call one implementation, kept to its timing; a tolerated failure returns None."""
    function, timing = entry
    started = perf_counter()
    try:
        return function(*given)
    except BaseException as error:
        supervisor.failed(timing, error, given)
        return None
    finally:
        timing.seconds += perf_counter() - started
        timing.calls += 1


def gathered(entries: Sequence[Entry], supervisor: Supervisor) -> Function:
    """Return the results that are not None, in call order."""

    def call(*given: Any) -> list[Any]:
        results = [timed_call(entry, given, supervisor) for entry in entries]
        return [result for result in results if result is not None]

    return call


def first_result(entries: Sequence[Entry], supervisor: Supervisor) -> Function:
    """Return the first result that is not None, and ask nobody after that."""

    def call(*given: Any) -> Any:
        for entry in entries:
            result = timed_call(entry, given, supervisor)
            if result is not None:
                return result
        return None

    return call


def chained(entries: Sequence[Entry], supervisor: Supervisor) -> Function:
    """Hand the second argument from one to the next; who returns None leaves it as it was."""

    def call(run: Any, value: Any, *rest: Any) -> Any:
        for entry in entries:
            result = timed_call(entry, (run, value, *rest), supervisor)
            if result is not None:
                value = result
        return value

    return call


def ending(entries: Sequence[Entry], supervisor: Supervisor, *, gather: bool) -> Function:
    """Call every one, and raise afterwards what any of them raised."""

    def call(*given: Any) -> list[Any] | None:
        results: list[Any] = []
        errors: list[BaseException] = []
        for entry in entries:
            try:
                results.append(timed_call(entry, given, supervisor))
            except BaseException as error:
                errors.append(error)
        if len(errors) > 1:
            raise BaseExceptionGroup(f"{len(errors)} plugins failed in {entries[0][1].hook}", errors)
        if errors:
            raise errors[0]
        return [result for result in results if result is not None] if gather else None

    return call


def wrapped(wrapper: Function, timing: Timing, inner: Function, supervisor: Supervisor) -> Function:
    """Run *inner* where the generator *wrapper* yields. Only the wrapper's own part counts as its time."""

    def call(*given: Any) -> Any:
        started = perf_counter()
        timing.calls += 1
        try:
            generator = wrapper(*given)
            try:
                next(generator)
            except StopIteration:
                raise RuntimeError(wrapper_fault(wrapper, "did not yield")) from None
        except BaseException as error:
            supervisor.failed(timing, error, given)
            return inner(*given)
        finally:
            timing.seconds += perf_counter() - started
        try:
            result = inner(*given)
        except BaseException as error:
            return resume_with_error(generator, error, timing, given, supervisor, wrapper)
        started = perf_counter()
        try:
            generator.send(result)
            generator.close()
            raise RuntimeError(wrapper_fault(wrapper, "has a second yield"))
        except StopIteration as stop:
            return stop.value
        except BaseException as error:
            supervisor.failed(timing, error, given)
            return result
        finally:
            timing.seconds += perf_counter() - started

    return call


def resume_with_error(
    generator: Generator[None, Any, Any],
    error: BaseException,
    timing: Timing,
    given: tuple[Any, ...],
    supervisor: Supervisor,
    wrapper: Function,
) -> Any:
    """Throw *error* in where the wrapper yielded, and return or raise what the wrapper makes of it."""
    try:
        try:
            generator.throw(error)
        except RuntimeError as rewritten:
            # A generator turns a StopIteration that leaves it into a RuntimeError; the hook's own must come out as it was.
            if isinstance(error, StopIteration) and rewritten.__cause__ is error:
                raise error from None
            raise
        generator.close()
        raise RuntimeError(wrapper_fault(wrapper, "has a second yield"))
    except StopIteration as stop:
        if stop is error:
            raise
        return stop.value
    except BaseException as raised:
        if raised is error:
            raise
        supervisor.failed(timing, raised, given)
        raise error from None


def wrapper_fault(wrapper: Function, fault: str) -> str:
    """Say which wrapper broke the rule that it yields once."""
    code = wrapper.__code__
    return f"wrap_controller at {code.co_name!r} {code.co_filename}:{code.co_firstlineno} {fault}"

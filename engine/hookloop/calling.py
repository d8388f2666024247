"""How each kind of hook calls its implementations: telling all, gathering, the first result, a chain, an ending.

Each function here returns what a frozen hook is. It knows whose turn it is when one raises, hands the error to the
supervisor, which raises it or lets training go on, and adds up how long each implementation takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Protocol

Function = Callable[..., Any]


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


def told(entries: Sequence[Entry], supervisor: Supervisor) -> Function:
    """Call each with the run alone: the shape of nearly every hook inside a step, so it is spelt out for speed."""

    def call(run: Any) -> None:
        started = perf_counter()
        for function, timing in entries:
            try:
                function(run)
            except BaseException as error:
                supervisor.failed(timing, error, (run,))
            finally:
                now = perf_counter()
                timing.seconds += now - started
                timing.calls += 1
                started = now

    return call


def told_both(entries: Sequence[Entry], supervisor: Supervisor) -> Function:
    """Call each with the run and one thing more: the shape of the others, spelt out as well."""

    def call(run: Any, given: Any) -> None:
        started = perf_counter()
        for function, timing in entries:
            try:
                function(run, given)
            except BaseException as error:
                supervisor.failed(timing, error, (run, given))
            finally:
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
            finally:
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
        for function, timing in entries:
            started = perf_counter()
            try:
                result = function(run, value, *rest)
                if result is not None:
                    value = result
            except BaseException as error:
                supervisor.failed(timing, error, (run, value, *rest))
            finally:
                timing.seconds += perf_counter() - started
                timing.calls += 1
        return value

    return call


def ending(hook: str, entries: Sequence[Entry], supervisor: Supervisor) -> Function:
    """Call every one, and raise afterwards what any of them raised."""

    def call(*given: Any) -> list[Any]:
        results: list[Any] = []
        errors: list[BaseException] = []
        for entry in entries:
            try:
                results.append(timed_call(entry, given, supervisor))
            except BaseException as error:
                errors.append(error)
        raise_all(hook, errors)
        return [result for result in results if result is not None]

    return call


def raise_all(hook: str, errors: Sequence[BaseException]) -> None:
    """Raise the one error as it is, several as a group, and nothing when there are none."""
    if len(errors) > 1:
        raise BaseExceptionGroup(f"{len(errors)} plugins failed in {hook}", errors)
    if errors:
        raise errors[0]

"""Wrappers: generators that a hook runs around its other implementations.

They unwind as in pluggy, where a wrapper that raises before its yield keeps the rest from being called; but in an
ending the rest is called all the same, since an ending reaches every plugin.
"""

from __future__ import annotations

from time import perf_counter
from types import GeneratorType
from typing import Any, NoReturn, TypeAlias

from hookloop.calling import Function, Supervisor, Timing, raise_all

Wrapper: TypeAlias = "GeneratorType[None, Any, Any]"


def wrapped(wrapper: Function, timing: Timing, inner: Function, supervisor: Supervisor) -> Function:
    """Run *inner* where the generator *wrapper* yields. Only the wrapper's own parts count as its time.

    The way that nearly every call goes is spelt out here: in each step, functions for its halves would cost as much as
    the halves themselves.
    """

    def call(*given: Any) -> Any:
        generator: Wrapper | None = None
        started = perf_counter()
        timing.calls += 1
        try:
            generator = wrapper(*given)
            try:
                next(generator)
            except StopIteration:
                broken(generator, "did not yield")
        except BaseException as error:
            generator = None
            supervisor.failed(timing, error, given)
        finally:
            timing.seconds += perf_counter() - started
        if generator is None:
            return inner(*given)
        try:
            result = inner(*given)
        except BaseException as error:
            return thrown(generator, error, timing, given, supervisor)
        started = perf_counter()
        try:
            generator.send(result)
            generator.close()
            broken(generator, "has second yield")
        except StopIteration as stop:
            return stop.value
        except BaseException as error:
            supervisor.failed(timing, error, given)
            return result
        finally:
            timing.seconds += perf_counter() - started

    return call


def wrapped_ending(wrapper: Function, timing: Timing, inner: Function, supervisor: Supervisor) -> Function:
    """As `wrapped`, but *inner* is called even when the wrapper fails before its yield."""

    def call(*given: Any) -> Any:
        reached = False
        errors: list[BaseException] = []

        def noted(*given: Any) -> Any:
            nonlocal reached
            reached = True
            return inner(*given)

        try:
            return wrapped(wrapper, timing, noted, supervisor)(*given)
        except BaseException as error:
            if reached:
                raise
            errors.append(error)
        try:
            inner(*given)
        except BaseException as error:
            errors.append(error)
        return raise_all(timing.hook, errors)

    return call


def thrown(
    generator: Wrapper, error: BaseException, timing: Timing, given: tuple[Any, ...], supervisor: Supervisor
) -> Any:
    """Throw *error* into the wrapper at its yield, and return or raise what the wrapper makes of it."""
    started = perf_counter()
    try:
        generator.throw(error)
        generator.close()
        broken(generator, "has second yield")
    except StopIteration as stop:
        return stop.value
    except BaseException as raised:
        # What only passes through a wrapper is not the wrapper's failure.
        if raised is not error and not rewritten(raised, error):
            supervisor.failed(timing, raised, given)
    finally:
        timing.seconds += perf_counter() - started
    try:
        raise error
    finally:
        # A frame that holds its own exception is a cycle, which would keep a whole batch until it is collected.
        del error


def rewritten(raised: BaseException, error: BaseException) -> bool:
    """Return whether *raised* is what a generator makes of a StopIteration that leaves it."""
    return isinstance(raised, RuntimeError) and isinstance(error, StopIteration) and raised.__cause__ is error


def broken(generator: Wrapper, fault: str) -> NoReturn:
    """Raise, in pluggy's words, what a wrapper gets that does not yield once."""
    code = generator.gi_code
    raise RuntimeError(f"wrap_controller at {code.co_name!r} {code.co_filename}:{code.co_firstlineno} {fault}")

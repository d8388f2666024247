import gc
import weakref

import pytest

from hookloop import wrapping
from hookloop.calling import Timing
from hookloop.wrapping import wrapped, wrapped_ending


class Supervisor:
    """Raises what it is told of unless it is the failure of somebody *tolerated*, and remembers whose it was."""

    def __init__(self, tolerated=()):
        self.tolerated = tolerated
        self.blamed = []

    def timing(self, plugin, hook):
        return Timing(plugin, hook)

    def failed(self, timing, error, arguments):
        self.blamed.append((timing.plugin, repr(error), arguments))
        if timing.plugin not in self.tolerated:
            raise error


class Clock:
    """Stands for ``perf_counter``: a second passes only when somebody says so."""

    now = 0.0

    def __call__(self):
        return self.now


def returning(value):
    return lambda run: value


def raising(error):
    def fail(run):
        raise error

    return fail


def wrap(wrapper, inner, supervisor=None, *, name="w", around=wrapped):
    return around(wrapper, Timing(name, "hook"), inner, supervisor or Supervisor())


def passing(run):
    return (yield)


def failing_before(run):
    raise LookupError("before")
    yield


def failing_after(run):
    try:
        yield
    finally:
        raise LookupError("after")


def twice(run):
    try:
        yield
    except KeyError:
        pass
    yield


def never(run):
    return
    yield


def test_a_wrapper_may_replace_the_result():
    def wrapper(run):
        return f"{run}: {(yield)}"

    assert wrap(wrapper, returning("it"))("run") == "run: it"


def test_a_wrapper_that_forgets_to_return_makes_the_result_none():
    def wrapper(run):
        yield

    assert wrap(wrapper, returning("it"))("run") is None


def test_a_wrapper_may_swallow_an_error():
    def wrapper(run):
        try:
            return (yield)
        except ValueError:
            return "instead"

    assert wrap(wrapper, raising(ValueError()))("run") == "instead"


@pytest.mark.parametrize("error", [ValueError("theirs"), StopIteration("theirs"), KeyboardInterrupt("theirs")])
def test_what_only_passes_through_is_raised_as_it_is_and_not_the_wrappers_failure(error):
    error.__cause__ = cause = KeyError("why")
    supervisor = Supervisor()
    call = wrap(passing, wrap(passing, raising(error), supervisor), supervisor)
    with pytest.raises(type(error)) as caught:
        call("run")
    assert caught.value is error
    assert error.__cause__ is cause
    assert supervisor.blamed == []


def test_a_runtime_error_that_a_wrapper_makes_of_a_stop_iteration_is_its_own():
    def wrapper(run):
        try:
            yield
        except StopIteration:
            raise RuntimeError("mine") from None

    with pytest.raises(RuntimeError, match="mine"):
        wrap(wrapper, raising(StopIteration()))("run")


def test_what_a_wrapper_makes_of_an_error_is_its_own():
    supervisor = Supervisor()
    with pytest.raises(LookupError, match="after") as caught:
        wrap(failing_after, raising(ValueError("theirs")), supervisor)("run")
    assert repr(caught.value.__context__) == "ValueError('theirs')"
    assert supervisor.blamed == [("w", "LookupError('after')", ("run",))]


@pytest.mark.parametrize(("wrapper", "fault"), [(twice, "has second yield"), (never, "did not yield")])
@pytest.mark.parametrize("inner", [returning(1), raising(KeyError("theirs"))])
def test_a_wrapper_that_does_not_yield_once_is_named_with_its_file(wrapper, fault, inner):
    with pytest.raises(RuntimeError) as caught:
        wrap(lambda run: wrapper(run), inner)("run")
    line = wrapper.__code__.co_firstlineno
    assert str(caught.value) == f"wrap_controller at {wrapper.__name__!r} {__file__}:{line} {fault}"


def test_what_yields_twice_is_closed_and_those_around_it_are_unwound():
    seen = []

    def closing(run):
        try:
            yield
            yield
        finally:
            seen.append("closed")

    def outer(run):
        try:
            yield
        finally:
            seen.append("outer")

    with pytest.raises(RuntimeError, match="second yield"):
        wrap(outer, wrap(closing, returning(1)))("run")
    assert seen == ["closed", "outer"]


def test_without_a_tolerated_wrapper_the_rest_runs_as_if_it_were_not_there():
    supervisor = Supervisor(tolerated="w")
    assert wrap(failing_before, returning("it"), supervisor)("run") == "it"
    with pytest.raises(ValueError, match="theirs") as caught:
        wrap(failing_before, raising(ValueError("theirs")), supervisor)("run")
    assert caught.value.__context__ is None
    assert supervisor.blamed == [("w", "LookupError('before')", ("run",))] * 2


def test_a_tolerated_failure_after_the_yield_keeps_the_result():
    assert wrap(failing_after, returning("it"), Supervisor(tolerated="w"))("run") == "it"


def test_a_tolerated_failure_after_the_yield_keeps_the_error():
    error = ValueError("theirs")
    error.__cause__ = cause = KeyError("why")
    with pytest.raises(ValueError, match="theirs") as caught:
        wrap(failing_after, raising(error), Supervisor(tolerated="w"))("run")
    assert caught.value is error
    assert error.__cause__ is cause
    assert error.__context__ is None


def test_only_its_own_parts_are_a_wrappers_time(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(wrapping, "perf_counter", clock)

    def wrapper(run):
        clock.now += 1
        try:
            yield
        finally:
            clock.now += 2

    def inner(run):
        clock.now += 500
        raise run

    timings = [Timing("a", "hook"), Timing("b", "hook")]
    call = inner
    for each in timings:
        call = wrapped(wrapper, each, call, Supervisor())
    with pytest.raises(ValueError, match="theirs"):
        call(ValueError("theirs"))
    assert [(each.calls, each.seconds) for each in timings] == [(1, 3), (1, 3)]


def test_what_runs_without_a_tolerated_wrapper_is_not_its_time(monkeypatch):
    clock, timing = Clock(), Timing("w", "hook")
    monkeypatch.setattr(wrapping, "perf_counter", clock)

    def inner(run):
        clock.now += 500

    wrapped(failing_before, timing, inner, Supervisor(tolerated="w"))("run")
    assert (timing.calls, timing.seconds) == (1, 0)


def test_an_error_that_passed_through_does_not_keep_the_batch_alive():
    class Batch:
        pass

    alive = []

    def fail(run):
        batch = Batch()
        alive.append(weakref.ref(batch))
        raise ValueError("skip it")

    call = wrap(passing, wrap(passing, fail))
    gc.disable()
    try:
        try:
            call("run")
        except ValueError:
            pass
        assert alive[0]() is None
    finally:
        gc.enable()


def test_an_ending_is_reached_although_its_wrapper_fails_before_it():
    seen = []
    with pytest.raises(LookupError, match="before"):
        wrap(failing_before, seen.append, around=wrapped_ending)("run")
    assert seen == ["run"]
    with pytest.raises(ExceptionGroup, match="2 plugins failed in hook") as caught:
        wrap(failing_before, raising(ValueError("inside")), around=wrapped_ending)("run")
    assert [repr(each) for each in caught.value.exceptions] == ["LookupError('before')", "ValueError('inside')"]


def test_an_ending_inside_of_wrappers_is_called_once():
    seen = []

    def inner(run):
        seen.append("inner")
        raise ValueError("inside")

    def outer(run):
        try:
            yield
        finally:
            seen.append("outer")

    with pytest.raises(ValueError, match="inside"):
        wrap(outer, inner, around=wrapped_ending)("run")
    assert seen == ["inner", "outer"]


def test_an_ending_without_a_tolerated_wrapper_is_called_once():
    seen = []
    wrap(failing_before, seen.append, Supervisor(tolerated="w"), around=wrapped_ending)("run")
    assert seen == ["run"]

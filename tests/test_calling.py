import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookloop import calling
from hookloop.calling import Timing, chained, ending, first_result, gathered, told, told_both, told_more


class Raising:
    """A supervisor that tolerates nothing."""

    def timing(self, plugin, hook):
        return Timing(plugin, hook)

    def failed(self, timing, error, arguments):
        raise error


class Tolerant(Raising):
    """A supervisor that goes on without whoever failed, and remembers it."""

    def __init__(self):
        self.failures = []

    def failed(self, timing, error, arguments):
        self.failures.append((timing.plugin, error, arguments))


class Clock:
    """Stands for ``perf_counter``: a second passes only when somebody says so."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(calling, "perf_counter", clock)
    return clock


def entries_of(*functions):
    return [(function, Timing(letter, "hook")) for letter, function in zip("abcdefg", functions, strict=False)]


def spending(clock, seconds, error=None):
    def spend(*given):
        clock.now += seconds
        if error is not None:
            raise error

    return spend


def ending_of(entries, supervisor):
    return ending("hook", entries, supervisor)


KINDS = [told, told_both, told_more, gathered, first_result, ending_of]
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda each: each.__name__)


def given_to(kind):
    return ("run", "batch") if kind is told_both else ("run",)


def add_up(entries):
    return [(timing.calls, timing.seconds) for _, timing in entries]


@EVERY_KIND
def test_calls_and_seconds_are_added_up_by_plugin(clock, kind):
    entries = entries_of(spending(clock, 1), spending(clock, 20), spending(clock, 300))
    call = kind(entries, Raising())
    call(*given_to(kind))
    call(*given_to(kind))
    assert add_up(entries) == [(2, 2), (2, 40), (2, 600)]


@EVERY_KIND
def test_a_call_that_raises_is_counted_and_those_it_kept_from_being_called_are_not(clock, kind):
    entries = entries_of(spending(clock, 1), spending(clock, 20, ValueError("full")), spending(clock, 300))
    with pytest.raises(ValueError, match="full"):
        kind(entries, Raising())(*given_to(kind))
    last = (1, 300) if kind is ending_of else (0, 0)
    assert add_up(entries) == [(1, 1), (1, 20), last]


@EVERY_KIND
def test_a_tolerated_failure_is_handed_on_with_the_arguments_and_the_rest_is_called(clock, kind):
    error, supervisor = ValueError("full"), Tolerant()
    entries = entries_of(spending(clock, 1), spending(clock, 20, error), spending(clock, 300))
    kind(entries, supervisor)(*given_to(kind))
    assert supervisor.failures == [("b", error, given_to(kind))]
    assert add_up(entries) == [(1, 1), (1, 20), (1, 300)]


def test_results_are_gathered_in_call_order_without_those_that_are_none():
    entries = entries_of(lambda run: 0, lambda run: None, lambda run: "c")
    assert gathered(entries, Raising())("run") == [0, "c"]
    assert ending_of(entries, Raising())("run") == [0, "c"]


def test_after_the_first_result_nobody_is_asked():
    entries = entries_of(lambda run: None, lambda run: 0, lambda run: "c")
    assert first_result(entries, Raising())("run") == 0
    assert [timing.calls for _, timing in entries] == [1, 1, 0]


def test_when_nobody_has_a_result_there_is_none():
    assert first_result(entries_of(lambda run: None), Raising())("run") is None


def link(factor, seen):
    def multiply(run, value):
        seen.append(value)
        return None if factor is None else value * factor

    return multiply


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=6), st.integers(0, 9))
def test_a_chain_folds_and_who_returns_none_leaves_the_value(factors, start):
    seen, values = [], [start]
    for factor in factors:
        values.append(values[-1] if factor is None else values[-1] * factor)
    assert chained(entries_of(*(link(each, seen) for each in factors)), Raising())("run", start) == values[-1]
    assert seen == values[:-1]


def test_a_chain_hands_further_arguments_to_everyone():
    entries = entries_of(lambda run, value, stage: value + stage, lambda run, value, stage: value + stage)
    assert chained(entries, Raising())("run", "loader ", "train ") == "loader train train "


def test_a_chain_goes_on_with_what_a_tolerated_failure_left(clock):
    supervisor = Tolerant()
    entries = entries_of(lambda run, value: value + 1, spending(clock, 1, ValueError()), lambda run, value: value * 2)
    assert chained(entries, supervisor)("run", 1) == 4
    assert [arguments for _, _, arguments in supervisor.failures] == [("run", 2)]


def failing(name, error, seen):
    def fail(run):
        seen.append(name)
        if error is not None:
            raise error

    return fail


def test_the_one_error_of_an_ending_is_raised_as_it_is_when_everyone_was_called():
    seen, error = [], ValueError("full")
    entries = entries_of(failing(1, None, seen), failing(2, error, seen), failing(3, None, seen))
    with pytest.raises(ValueError, match="full") as caught:
        ending_of(entries, Raising())("run")
    assert caught.value is error
    assert seen == [1, 2, 3]


def test_several_errors_of_an_ending_are_raised_together():
    seen, errors = [], [ValueError("a"), OSError("b")]
    with pytest.raises(ExceptionGroup, match="2 plugins failed in on_run_end") as caught:
        ending("on_run_end", entries_of(*(failing(str(each), each, seen) for each in errors)), Raising())("run")
    assert list(caught.value.exceptions) == errors
    assert seen == ["a", "b"]


def test_ctrl_c_during_an_ending_keeps_nobody_from_closing():
    seen = []
    interrupt = failing("a", KeyboardInterrupt(), seen)
    with pytest.raises(KeyboardInterrupt):
        ending_of(entries_of(interrupt, failing("b", None, seen)), Raising())("run")
    with pytest.raises(BaseExceptionGroup) as caught:
        ending_of(entries_of(interrupt, failing("b", ValueError(), seen)), Raising())("run")
    assert [type(each) for each in caught.value.exceptions] == [KeyboardInterrupt, ValueError]
    assert seen == ["a", "b", "a", "b"]

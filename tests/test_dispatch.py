import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass

import pluggy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookloop import calling, wrapping
from hookloop.calling import Timing
from hookloop.dispatch import adapt, call_order, freeze
from hookloop.markers import HookInfo, hookimpl, hookspec

EXAMPLES = int(os.environ.get("HYPOTHESIS", "400"))
VALUES = {"run": "the run", "batch": "the batch", "loss": "the loss"}
NAMES = tuple(VALUES)


class Raising:
    """A supervisor that tolerates nothing; the plugins in *own* are the engine's."""

    def __init__(self, own=()):
        self.own = own
        self.timings = {}

    def timing(self, plugin, hook):
        return None if plugin in self.own else self.timings.setdefault(plugin, Timing(plugin, hook))

    def failed(self, timing, error, arguments):
        raise error


class Tolerant(Raising):
    """A supervisor that goes on without whoever failed, and remembers it."""

    def __init__(self):
        super().__init__()
        self.failures = []

    def failed(self, timing, error, arguments):
        self.failures.append((timing.plugin, error, arguments))


def manager_of(kind, parameters, plugins):
    """Return a pluggy manager with one hook, ``spec``, and *plugins* registered under the letters of the alphabet."""
    names = {}
    exec(f"def spec(self, {', '.join(parameters)}): pass", names)
    manager = pluggy.PluginManager("hookloop")
    manager.add_hookspecs(type("Hooks", (), {"spec": hookspec(kind)(names["spec"])}))
    for letter, plugin in zip("abcdefgh", plugins, strict=False):
        manager.register(plugin, name=letter)
    return manager


def frozen(kind, plugins, supervisor=None, parameters=("run",)):
    """Return the frozen hook of *plugins*, which are named after the alphabet in call order."""
    manager = pluggy.PluginManager("hookloop")
    manager.add_hookspecs(type("Hooks", (), {"spec": manager_of(kind, parameters, ()).hook.spec.spec.function}))
    for letter, plugin in reversed(list(zip("abcdefgh", plugins, strict=False))):
        manager.register(plugin, name=letter)
    calls = call_order(manager.hook.spec.get_hookimpls(), kind)
    return freeze("spec", HookInfo(kind, "all", "0.1"), parameters, calls, supervisor or Raising())


def plugin(function, **marks):
    """Return a plugin whose only hook is *function*, a function of the hook's parameters."""
    return type("Plugin", (), {"spec": staticmethod(hookimpl(specname="spec", **marks)(function))})()


def outcome_of(function, *given, **named):
    try:
        return "returned", function(*given, **named)
    except BaseException as error:
        return "raised", type(error), error.args, repr(error.__cause__)


# What pluggy does, over random plugin sets.

ERRORS = (ValueError, KeyError, RuntimeError, StopIteration, GeneratorExit, KeyboardInterrupt)


@dataclass(frozen=True)
class Does:
    """One implementation: its marks, its parameters in their order, and what it does where."""

    wrapper: bool
    mark: str
    parameters: tuple[str, ...]
    defaults: int
    before: object  # of a plain one: a value to return, or an exception class; of a wrapper: an exception class or None
    after: object


@st.composite
def implementations(draw):
    wrapper = draw(st.booleans())
    parameters = draw(st.permutations(NAMES).map(tuple)) + draw(st.sampled_from([(), ("unknown",)]))
    errors = st.sampled_from(ERRORS)
    if wrapper:
        before = draw(st.one_of(st.just("yield"), st.just("yield"), st.just("yield"), errors, st.just("return")))
    else:
        before = draw(st.one_of(st.none(), st.integers(0, 9), st.integers(0, 9), errors))
    after = draw(st.one_of(st.sampled_from(["pass on", "replace", "swallow", "raise again", "raise from"]), errors))
    mark = draw(st.sampled_from(["", "", "tryfirst", "trylast"]))
    return Does(wrapper, mark, parameters, draw(st.integers(0, 4)), before, after)


@st.composite
def plugin_sets(draw):
    count = draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["event", "collect", "around"]))
    sets = draw(st.lists(st.lists(implementations(), max_size=2), max_size=6))
    return kind, NAMES[:count], sets, draw(st.sets(st.sampled_from("abcdef")))


def build(does, offered, name, log):
    """Return a function that does what *does* says, and writes in *log* when and with which arguments."""
    known = [each for each in does.parameters if each in offered]
    extra = [each for each in does.parameters if each not in offered]
    start = len(known) - min(does.defaults, len(known))
    parameters = [each if i < start else f"{each}='default'" for i, each in enumerate(known)]
    parameters += [f"{each}='default'" for each in extra]
    body = "return (yield from act(locals()))" if does.wrapper else "return act(locals())"
    act = wrapping_act(does, name, log) if does.wrapper else plain_act(does, name, log)
    names = {"act": act}
    exec(f"def function({', '.join(parameters)}):\n    {body}", names)
    return names["function"]


def plain_act(does, name, log):
    def act(received):
        log.append((name, received))
        if isinstance(does.before, type):
            raise does.before(name)
        return does.before

    return act


def wrapping_act(does, name, log):
    def act(received):
        log.append((name, "before", received))
        if isinstance(does.before, type):
            raise does.before(name, "before")
        if does.before == "return":
            return None
        try:
            result = yield
        except BaseException as error:
            log.append((name, "caught", type(error), error.args))
            match does.after:
                case "replace" | "swallow":
                    return name
                case "raise from":
                    raise RuntimeError(name) from error
                case type():
                    raise does.after(name, "after") from None
            raise
        log.append((name, "after", result))
        match does.after:
            case "replace":
                return name
            case "raise from" | "raise again":
                raise LookupError(name)
            case type():
                raise does.after(name, "after")
        return result

    return act


def build_plugin(letter, actions, offered, log):
    methods = {}
    for index, does in enumerate(actions):
        marks = {"wrapper": does.wrapper} | ({does.mark: True} if does.mark else {})
        function = hookimpl(specname="spec", **marks)(build(does, offered, f"{letter}{index}", log))
        methods[f"method{index}"] = staticmethod(function)
    return type("Plugin", (), methods)()


@settings(max_examples=EXAMPLES, deadline=None)
@given(plugin_sets())
def test_a_frozen_hook_does_what_pluggy_does(plugin_set):
    kind, parameters, sets, own = plugin_set
    log = []
    plugins = [build_plugin(letter, does, parameters, log) for letter, does in zip("abcdef", sets, strict=False)]
    manager = manager_of(kind, parameters, plugins)
    values = {name: VALUES[name] for name in parameters}

    wanted = outcome_of(manager.hook.spec, **values)
    wanted_log = log.copy()
    log.clear()
    calls = list(reversed(manager.hook.spec.get_hookimpls()))
    call = freeze("spec", HookInfo(kind, "all", "0.1"), parameters, calls, Raising(own))

    if call is None:
        assert not calls
        return
    got = outcome_of(call, *values.values())
    assert log == wanted_log
    if kind == "event" and got[0] == "returned" and not any(each.wrapper for each in calls):
        assert wanted[0] == "returned"  # what it returned nobody looks at
    else:
        assert got == wanted


def test_a_wrapper_that_yields_twice_is_told_so_in_the_words_of_pluggy():
    def twice(run):
        yield
        yield

    manager = manager_of("event", ("run",), [plugin(twice, wrapper=True)])
    call = frozen("event", [plugin(twice, wrapper=True)])
    got = outcome_of(call, "run")
    assert got == outcome_of(manager.hook.spec, run="run")
    assert got[2][0].startswith("wrap_controller at 'twice'")
    assert got[2][0].endswith("has second yield")


def test_wrappers_around_one_that_yields_twice_are_unwound():
    seen = []

    def outer(run):
        try:
            yield
        finally:
            seen.append("outer")

    def twice(run):
        yield
        yield

    call = frozen("event", [plugin(outer, wrapper=True), plugin(twice, wrapper=True)])
    with pytest.raises(RuntimeError, match="has second yield"):
        call("run")
    assert seen == ["outer"]


def test_a_wrapper_that_does_not_yield_is_told_so_by_its_own_name():
    def idle():
        return
        yield

    manager = manager_of("event", ("run",), [plugin(idle, wrapper=True)])
    got = outcome_of(frozen("event", [plugin(idle, wrapper=True)]), "run")
    assert got == outcome_of(manager.hook.spec, run="run")
    assert "'idle'" in got[2][0]
    assert __file__ in got[2][0]
    assert got[2][0].endswith("did not yield")


def test_an_error_that_passes_through_wrappers_keeps_its_cause():
    def fail(run):
        raise ValueError("a") from KeyError("b")

    def outer(run):
        return (yield)

    with pytest.raises(ValueError, match="a") as caught:
        frozen("event", [plugin(outer, wrapper=True), plugin(fail)])("run")
    assert repr(caught.value.__cause__) == repr(KeyError("b"))


def test_an_error_that_passes_through_a_failing_tolerated_wrapper_stays_as_it_was():
    error = ValueError("a")
    error.__cause__ = cause = KeyError("b")

    def fail(run):
        raise error

    def clumsy(run):
        try:
            yield
        finally:
            raise LookupError("c")

    supervisor = Tolerant()
    supervisor.failed = lambda timing, raised, given: (_ for _ in ()).throw(raised) if raised is error else None
    with pytest.raises(ValueError, match="a") as caught:
        frozen("event", [plugin(clumsy, wrapper=True), plugin(fail)], supervisor)("run")
    assert caught.value is error
    assert error.__cause__ is cause


# Who is called at all.


@pytest.mark.parametrize("kind", ["event", "ending", "collect", "chain", "around"])
def test_a_hook_that_nobody_implements_is_none(kind):
    assert frozen(kind, []) is None


@pytest.mark.parametrize("kind", ["event", "around"])
def test_the_engines_own_alone_is_called_without_anything_between(kind):
    only = plugin(lambda run: None)
    assert frozen(kind, [only], Raising(own="a")) is only.spec


def test_an_event_returns_nothing():
    assert frozen("event", [plugin(lambda run: 1), plugin(lambda run: 2)])("run") is None
    two = frozen("event", [plugin(lambda run: 1), plugin(lambda batch: 2)], parameters=("run", "batch"))
    assert two("run", "batch") is None


def test_a_function_that_takes_every_parameter_in_order_is_called_itself():
    def whole(run, batch):
        pass

    manager = manager_of("event", ("run", "batch"), [plugin(whole)])
    assert adapt(manager.hook.spec.get_hookimpls()[0], ("run", "batch")) is whole


# Chains.


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(1, 5)), max_size=6), st.integers(0, 9))
def test_a_chain_folds_and_who_returns_none_leaves_the_value(factors, value):
    seen = []

    def link(factor):
        def spec(run, batch):
            seen.append(batch)
            return None if factor is None else batch * factor

        return plugin(spec)

    call = frozen("chain", [link(each) for each in factors], parameters=("run", "batch"))
    expected = [value]
    for factor in factors:
        expected.append(expected[-1] * (factor or 1))
    if call is None:
        assert not factors
    else:
        assert call("run", value) == expected[-1]
        assert seen == expected[:-1]


def test_a_link_may_replace_the_value_by_something_false():
    call = frozen("chain", [plugin(lambda batch: 0)], parameters=("run", "batch"))
    assert call("run", 3) == 0


def test_a_chain_hands_further_arguments_to_everyone():
    links = [plugin(lambda run, batch, loss: batch + loss), plugin(lambda loss, batch: batch * loss)]
    assert frozen("chain", links, parameters=NAMES)("run", 1, 10) == 110


def test_a_wrapper_of_a_chain_gets_what_the_chain_made():
    def outer(batch):
        result = yield
        return f"{batch} became {result}"

    links = [plugin(outer, wrapper=True), plugin(lambda batch: batch + 1)]
    assert frozen("chain", links, parameters=("run", "batch"))("run", 1) == "1 became 2"


# Endings.


def closing(name, log, error=None, **marks):
    def spec(run):
        log.append(name)
        if error is not None:
            raise error

    return plugin(spec, **marks)


def test_an_ending_calls_in_reverse_but_for_who_asked_to_be_first_or_last():
    log = []
    marks = [{}, {"trylast": True}, {"tryfirst": True}, {}, {"trylast": True}, {"tryfirst": True}]
    frozen("ending", [closing(i, log, **each) for i, each in enumerate(marks)])("run")
    assert log == [5, 2, 3, 0, 4, 1]


def test_an_ending_reaches_everyone_and_one_error_is_raised_as_it_is():
    log, error = [], ValueError("disk full")
    call = frozen("ending", [closing("a", log), closing("b", log, error), closing("c", log)])
    with pytest.raises(ValueError, match="disk full") as caught:
        call("run")
    assert caught.value is error
    assert log == ["c", "b", "a"]


def test_several_errors_of_an_ending_are_raised_together():
    log, errors = [], [ValueError("a"), OSError("b")]
    call = frozen("ending", [closing(str(each), log, each) for each in errors])
    with pytest.raises(ExceptionGroup, match="2 plugins failed in spec") as caught:
        call("run")
    assert list(caught.value.exceptions) == errors[::-1]
    assert log == ["b", "a"]


def test_ctrl_c_during_an_ending_does_not_keep_the_rest_from_closing():
    log = []
    with pytest.raises(KeyboardInterrupt):
        frozen("ending", [closing("a", log), closing("b", log, KeyboardInterrupt())])("run")
    assert log == ["b", "a"]
    with pytest.raises(BaseExceptionGroup) as caught:
        frozen("ending", [closing("a", log, ValueError()), closing("b", log, KeyboardInterrupt())])("run")
    assert [type(each) for each in caught.value.exceptions] == [KeyboardInterrupt, ValueError]


def test_an_ending_is_reached_although_a_wrapper_fails_before_it():
    log = []

    def outer(run):
        log.append("outer")
        raise OSError("no")
        yield

    with pytest.raises(OSError, match="no"):
        frozen("ending", [plugin(outer, wrapper=True), closing("a", log), closing("b", log)])("run")
    assert log == ["outer", "b", "a"]
    with pytest.raises(ExceptionGroup) as caught:
        frozen("ending", [plugin(outer, wrapper=True), closing("a", log, ValueError())])("run")
    assert [type(each) for each in caught.value.exceptions] == [OSError, ValueError]


def test_a_wrapper_of_an_ending_is_called_once_and_gets_its_error():
    log = []

    def outer(run):
        log.append("before")
        try:
            yield
        finally:
            log.append("after")

    with pytest.raises(ValueError, match="b"):
        frozen("ending", [plugin(outer, wrapper=True), closing("a", log, ValueError("b"))])("run")
    assert log == ["before", "a", "after"]


# Order.


@dataclass
class Mark:
    plugin_name: str
    wrapper: bool
    tryfirst: bool
    trylast: bool

    @property
    def rank(self):
        return self.trylast - self.tryfirst


marked = st.lists(st.tuples(st.booleans(), st.sampled_from([(False, False), (True, False), (False, True)])), max_size=7)


@settings(max_examples=100, deadline=None)
@given(marked, st.sets(st.sampled_from("abcdefg")), st.booleans())
def test_the_listed_order_is_the_call_order(marks, own, ends):
    def implement(wrapper, first, last):
        def wrapping():
            return (yield)

        return plugin(wrapping if wrapper else lambda: None, wrapper=wrapper, tryfirst=first, trylast=last)

    manager = pluggy.PluginManager("hookloop")
    kind = "ending" if ends else "event"
    manager.add_hookspecs(type("Hooks", (), {"spec": hookspec(kind)(lambda self, run: None)}))
    items = [Mark(letter, wrapper, *ask) for letter, (wrapper, ask) in zip("abcdefg", marks, strict=False)]
    for each in reversed(items):
        manager.register(implement(each.wrapper, each.tryfirst, each.trylast), name=each.plugin_name)

    def position(item):
        return item.rank, item.trylast and item.plugin_name in own, item.plugin_name

    wrappers = sorted((each for each in items if each.wrapper), key=position)
    plain = sorted((each for each in items if not each.wrapper), key=position)
    if ends:
        plain = sorted(plain[::-1], key=lambda each: each.rank)
    expected = [each.plugin_name for each in wrappers + plain]
    assert [each.plugin_name for each in call_order(manager.hook.spec.get_hookimpls(), kind, own)] == expected


# Time.


class Clock:
    """Stands for ``perf_counter``: a second passes only when somebody says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(calling, "perf_counter", clock)
    monkeypatch.setattr(wrapping, "perf_counter", clock)
    return clock


def spend(clock, seconds, error=None, result=None):
    def spec(run):
        clock.now += seconds
        if error is not None:
            raise error
        return result

    return plugin(spec)


def seconds_of(supervisor):
    return {name: (timing.calls, timing.seconds) for name, timing in supervisor.timings.items()}


@pytest.mark.parametrize("kind", ["event", "ending", "collect", "around"])
def test_calls_and_seconds_are_added_up_by_plugin(clock, kind):
    supervisor = Raising()
    call = frozen(kind, [spend(clock, 1), spend(clock, 20), spend(clock, 300)], supervisor)
    call("run")
    call("run")
    assert seconds_of(supervisor) == {"a": (2, 2), "b": (2, 40), "c": (2, 600)}


def test_seconds_are_added_up_for_hooks_with_more_arguments(clock):
    supervisor = Raising()
    call = frozen("event", [spend(clock, 1), spend(clock, 20)], supervisor, parameters=("run", "batch"))
    call("run", "batch")
    assert seconds_of(supervisor) == {"a": (1, 1), "b": (1, 20)}


@pytest.mark.parametrize("parameters", [("run",), ("run", "batch")])
@pytest.mark.parametrize("kind", ["event", "ending", "collect", "chain", "around"])
def test_a_call_that_raises_counts_and_who_comes_after_does_not(clock, kind, parameters):
    supervisor = Raising()
    if kind == "chain":
        parameters = ("run", "batch")
    plugins = [spend(clock, 1), spend(clock, 20, ValueError()), spend(clock, 300)]
    with pytest.raises(ValueError, match=""):
        frozen(kind, plugins, supervisor, parameters=parameters)(*parameters)
    reached = {"c": (1, 300)} if kind == "ending" else {"c": (0, 0)}
    assert seconds_of(supervisor) == {"a": (1, 1), "b": (1, 20)} | reached


def test_who_is_not_asked_after_the_first_result_is_not_counted(clock):
    supervisor = Raising()
    call = frozen("around", [spend(clock, 1), spend(clock, 20, result="it"), spend(clock, 300)], supervisor)
    assert call("run") == "it"
    assert Counter({name: timing.calls for name, timing in supervisor.timings.items()}) == Counter(a=1, b=1)


@pytest.mark.parametrize("kind", ["event", "ending", "around"])
@pytest.mark.parametrize("fails", [False, True])
def test_only_a_wrappers_own_part_is_its_time(clock, kind, fails):
    def outer(run):
        clock.now += 1
        try:
            return (yield)
        finally:
            clock.now += 2

    supervisor = Raising()
    inner = spend(clock, 500, ValueError() if fails else None)
    call = frozen(kind, [plugin(outer, wrapper=True), plugin(outer, wrapper=True), inner], supervisor)
    if fails:
        with pytest.raises(ValueError, match=""):
            call("run")
    else:
        call("run")
    assert seconds_of(supervisor) == {"a": (1, 3), "b": (1, 3), "c": (1, 500)}


def test_what_runs_inside_a_wrapper_that_failed_is_not_its_time(clock):
    def outer(run):
        clock.now += 1
        raise ValueError
        yield

    supervisor = Tolerant()
    frozen("event", [plugin(outer, wrapper=True), spend(clock, 500)], supervisor)("run")
    assert seconds_of(supervisor) == {"a": (1, 1), "b": (1, 500)}


# Going on without somebody.


def test_a_tolerated_failure_is_handed_on_with_the_arguments_and_the_rest_is_called():
    seen, error, supervisor = [], ValueError(), Tolerant()

    def fail(run):
        raise error

    for kind in ("event", "ending", "collect", "around"):
        seen.clear()
        frozen(kind, [plugin(seen.append), plugin(fail), plugin(lambda run: seen.append("last"))], supervisor)("run")
        assert sorted(seen) == ["last", "run"]
        assert supervisor.failures.pop() == ("b", error, ("run",))


def test_a_wrapper_that_is_tolerated_before_its_yield_leaves_the_rest_alone():
    def outer(run):
        raise LookupError("not my day")
        yield

    def fail(run):
        raise ValueError("inner")

    supervisor = Tolerant()
    assert frozen("around", [plugin(outer, wrapper=True), plugin(lambda run: "it")], supervisor)("run") == "it"
    with raising_from_inside(supervisor), pytest.raises(ValueError, match="inner") as caught:
        frozen("around", [plugin(outer, wrapper=True), plugin(fail)], supervisor)("run")
    assert caught.value.__context__ is None


@contextmanager
def raising_from_inside(supervisor):
    """Tolerate only wrappers' failures for a while."""
    usual = supervisor.failed
    supervisor.failed = lambda timing, error, given: usual(timing, error, given) if timing.plugin == "a" else raise_(error)
    yield
    supervisor.failed = usual


def raise_(error):
    raise error


def test_a_wrapper_that_is_tolerated_after_its_yield_keeps_the_inner_result():
    def outer(run):
        result = yield
        raise LookupError(result)

    supervisor = Tolerant()
    assert frozen("around", [plugin(outer, wrapper=True), plugin(lambda run: "it")], supervisor)("run") == "it"
    assert [(name, error.args) for name, error, _ in supervisor.failures] == [("a", ("it",))]


@pytest.mark.parametrize("error", [ValueError("theirs"), StopIteration("theirs"), KeyboardInterrupt("theirs")])
def test_what_only_passes_through_a_wrapper_is_not_its_failure(error):
    def fail(run):
        raise error

    def outer(run):
        try:
            yield
        finally:
            pass

    blamed = []
    supervisor = Raising()
    supervisor.failed = lambda timing, raised, given: blamed.append(timing.plugin) or raise_(raised)
    with pytest.raises(type(error)) as caught:
        frozen("event", [plugin(outer, wrapper=True), plugin(fail)], supervisor)("run")
    assert caught.value is error
    assert blamed == ["b"]


def test_an_error_that_passed_through_wrappers_is_freed_at_once():
    import gc
    import weakref

    class Batch:
        pass

    def fail(run):
        batch = Batch()
        alive.append(weakref.ref(batch))
        raise ValueError(batch)

    def outer(run):
        return (yield)

    alive = []
    call = frozen("event", [plugin(outer, wrapper=True), plugin(outer, wrapper=True), plugin(fail)])
    gc.disable()
    try:
        with pytest.raises(ValueError, match=""):
            call("run")
        with_pytest = alive.pop()  # pytest.raises keeps what it caught
        try:
            call("run")
        except ValueError:
            pass
        assert alive.pop()() is None
    finally:
        gc.enable()
    assert with_pytest is not None

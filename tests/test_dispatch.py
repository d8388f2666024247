import os
from dataclasses import dataclass

import pluggy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookloop.calling import Timing
from hookloop.dispatch import adapt, call_order, freeze
from hookloop.markers import HookInfo, hookimpl, hookspec

EXAMPLES = int(os.environ.get("HYPOTHESIS", "400"))
VALUES = {"run": "the run", "batch": "the batch", "loss": "the loss"}
NAMES = tuple(VALUES)
ERRORS = (ValueError, KeyError, RuntimeError, StopIteration, GeneratorExit, KeyboardInterrupt)


class Raising:
    """A supervisor that tolerates nothing; the plugins named in *own* are the engine's."""

    def __init__(self, own=()):
        self.own = own

    def timing(self, plugin, hook):
        return None if plugin in self.own else Timing(plugin, hook)

    def failed(self, timing, error, arguments):
        raise error


@dataclass(frozen=True)
class Does:
    """What one implementation asks for and does: *before* and *after* the yield if it is a wrapper."""

    wrapper: bool
    mark: str
    parameters: tuple[str, ...]
    defaults: int
    before: object
    after: object

    @property
    def marks(self):
        return {"wrapper": self.wrapper} | ({self.mark: True} if self.mark else {})


errors = st.sampled_from(ERRORS)


@st.composite
def implementations(draw):
    wrapper = draw(st.booleans())
    names = draw(st.permutations((*NAMES, "unknown")))
    if wrapper:
        before = draw(st.one_of(st.just("yield"), st.just("yield"), st.just("return"), errors))
    else:
        before = draw(st.one_of(st.sampled_from([None, 0, 1, 2]), errors))
    return Does(
        wrapper,
        draw(st.sampled_from(["", "", "tryfirst", "trylast"])),
        tuple(names[: draw(st.integers(0, 4))]),
        draw(st.integers(0, 3)),
        before,
        draw(st.one_of(st.sampled_from(["pass on", "replace", "raise", "raise from"]), errors)),
    )


@st.composite
def plugin_sets(draw):
    kind = draw(st.sampled_from(["event", "collect", "around"]))
    plugins = draw(st.lists(st.lists(implementations(), max_size=2), max_size=6))
    return kind, NAMES[: draw(st.integers(1, 3))], plugins, draw(st.sets(st.sampled_from("abcdef")))


def plain(does, name, log):
    def act(received):
        log.append((name, received))
        if isinstance(does.before, type):
            raise does.before(name)
        return does.before

    return act


def wrapping(does, name, log):
    def act(received):
        log.append((name, "before", received))
        if isinstance(does.before, type):
            raise does.before(name)
        if does.before == "return":
            return None
        try:
            result = yield
        except BaseException as error:
            log.append((name, "caught", type(error), error.args))
            if does.after == "pass on":
                raise
            if does.after == "raise from":
                raise RuntimeError(name) from error
        else:
            log.append((name, "after", result))
            if does.after == "pass on":
                return result
        if does.after == "replace":
            return name
        raise (does.after if isinstance(does.after, type) else LookupError)(name)

    return act


def signature(does, offered):
    """Return parameters of which the last have a default; one that the hook does not have must have one."""
    known = [each for each in does.parameters if each in offered]
    required = known[: max(0, len(known) - does.defaults)]
    return ", ".join(required + [f"{each}='default'" for each in does.parameters if each not in required])


def build(does, offered, name, log):
    body = "return (yield from act(locals()))" if does.wrapper else "return act(locals())"
    names = {"act": (wrapping if does.wrapper else plain)(does, name, log)}
    exec(f"def function({signature(does, offered)}):\n    {body}", names)
    return hookimpl(specname="hook", **does.marks)(names["function"])


def plugin_of(*functions):
    """Return a plugin with *functions*, which are marked already."""
    return type("Plugin", (), {f"method{i}": staticmethod(each) for i, each in enumerate(functions)})()


def pluggy_with(kind, parameters, plugins):
    """Return pluggy's caller of one hook, with *plugins* named after the alphabet and called in their order."""
    names = {"hookspec": hookspec}
    exec(f"class Hooks:\n    @hookspec({kind!r})\n    def hook(self, {', '.join(parameters)}): pass", names)
    manager = pluggy.PluginManager("hookloop")
    manager.add_hookspecs(names["Hooks"])
    for letter, plugin in reversed(list(zip("abcdefg", plugins, strict=False))):
        manager.register(plugin, name=letter)
    return manager.hook.hook


def frozen(caller, kind, supervisor=None):
    calls = list(reversed(caller.get_hookimpls()))
    return freeze("hook", HookInfo(kind, "all", "0.1"), caller.spec.argnames, calls, supervisor or Raising())


def outcome_of(function, *given, **named):
    try:
        return "returned", function(*given, **named)
    except BaseException as error:
        return "raised", type(error), error.args, repr(error.__cause__)


@settings(max_examples=EXAMPLES, deadline=None)
@given(plugin_sets())
def test_a_frozen_hook_does_what_pluggy_does(plugin_set):
    kind, parameters, sets, own = plugin_set
    log = []
    plugins = [
        plugin_of(*(build(does, parameters, f"{letter}{i}", log) for i, does in enumerate(each)))
        for letter, each in zip("abcdef", sets, strict=False)
    ]
    caller = pluggy_with(kind, parameters, plugins)
    values = {name: VALUES[name] for name in parameters}

    wanted = outcome_of(caller, **values)
    wanted_log = log.copy()
    log.clear()
    call = frozen(caller, kind, Raising(own))

    if call is None:
        assert not caller.get_hookimpls()
        return
    got = outcome_of(call, *values.values())
    assert log == wanted_log
    if kind == "event" and not any(each.wrapper for each in caller.get_hookimpls()) and wanted[0] == "returned":
        assert got[0] == "returned"  # what an event returns nobody looks at
    else:
        assert got == wanted


@pytest.mark.parametrize("kind", ["event", "deferred", "ending", "collect", "chain", "around"])
def test_a_hook_that_nobody_implements_is_none(kind):
    assert frozen(pluggy_with(kind, ("run",), []), kind) is None


@pytest.mark.parametrize("kind", ["event", "around"])
def test_the_engines_own_alone_is_called_without_anything_between(kind):
    def alone(run):
        pass

    caller = pluggy_with(kind, ("run",), [plugin_of(hookimpl(specname="hook")(alone))])
    assert frozen(caller, kind, Raising(own="a")) is alone
    assert frozen(caller, kind) is not alone


@pytest.mark.parametrize("parameters", [("run",), ("run", "batch")])
def test_an_event_returns_nothing(parameters):
    def give(run):
        return 1

    plugin = plugin_of(hookimpl(specname="hook")(give))
    caller = pluggy_with("event", parameters, [plugin, plugin_of(hookimpl(specname="hook")(give))])
    assert frozen(caller, "event")(*parameters) is None


def test_a_chain_and_an_ending_are_what_pluggy_has_no_word_for():
    def double(batch):
        return batch * 2

    def fail(run, batch):
        raise ValueError(batch)

    def wrap(batch):
        return f"{batch} became {(yield)}"

    doubling = plugin_of(hookimpl(specname="hook")(double))
    wrapper = plugin_of(hookimpl(specname="hook", wrapper=True)(wrap))
    caller = pluggy_with("chain", ("run", "batch"), [doubling, wrapper])
    assert frozen(caller, "chain")("run", 3) == "3 became 6"
    failing = [plugin_of(hookimpl(specname="hook")(fail)) for _ in range(2)]
    with pytest.raises(ExceptionGroup, match="2 plugins failed in hook"):
        frozen(pluggy_with("ending", ("run", "batch"), failing), "ending")("run", 3)


def test_a_function_that_takes_every_parameter_in_order_is_called_itself():
    def whole(run, batch=None, unknown=None):
        pass

    (implementation,) = pluggy_with(
        "event", ("run", "batch"), [plugin_of(hookimpl(specname="hook")(whole))]
    ).get_hookimpls()
    assert adapt(implementation, ("run", "batch")) is whole


@dataclass(frozen=True)
class Item:
    """What stands in the expected order: the plugin and what its implementation asks for."""

    name: str
    wrapper: bool
    mark: str

    @property
    def rank(self):
        return {"tryfirst": 0, "": 1, "trylast": 2}[self.mark]


def expected_order(items, kind, own):
    """Return the names in call order: wrappers, then the rest, by mark and then as listed."""

    def place(item):
        return item.rank, item.mark == "trylast" and item.name in own, item.name

    wrappers = sorted((each for each in items if each.wrapper), key=place)
    rest = sorted((each for each in items if not each.wrapper), key=place)
    if kind == "ending":
        backwards = list(reversed(rest))
        rest = sorted(backwards, key=lambda each: each.rank)
    return [each.name for each in wrappers + rest]


marks = st.lists(st.tuples(st.booleans(), st.sampled_from(["", "tryfirst", "trylast"])), max_size=7)


@settings(max_examples=min(EXAMPLES, 200), deadline=None)
@given(marks, st.sets(st.sampled_from("abcdefg")), st.sampled_from(["event", "ending"]))
def test_the_listed_order_is_the_call_order_and_an_ending_turns_it_round(marks, own, kind):
    def implement(item):
        def wrap(run):
            return (yield)

        options = {"wrapper": item.wrapper} | ({item.mark: True} if item.mark else {})
        return plugin_of(hookimpl(specname="hook", **options)(wrap if item.wrapper else lambda run: None))

    items = [Item(letter, *each) for letter, each in zip("abcdefg", marks, strict=False)]
    caller = pluggy_with(kind, ("run",), [implement(each) for each in items])
    calls = call_order(caller.get_hookimpls(), kind, own)
    assert [each.plugin_name for each in calls] == expected_order(items, kind, own)


def test_of_several_that_ask_to_be_last_the_engines_default_is():
    items = [hookimpl(specname="hook", trylast=True)(lambda run: None) for _ in range(3)]
    caller = pluggy_with("around", ("run",), [plugin_of(each) for each in items])
    assert [each.plugin_name for each in call_order(caller.get_hookimpls(), "around", own="a")] == ["b", "c", "a"]

import gc
import logging
import weakref
from types import SimpleNamespace

import pytest

from hookloop.blame import culprit
from hookloop.control import Skip, SkipBatch
from hookloop.errors import ConfigError, PluginConfigError, PluginHookError
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.loading import LoadedPlugin
from hookloop.manager import PluginManager
from hookloop.markers import hookimpl

RUN = SimpleNamespace(step=7)


class Listener:
    """Notes in *seen* when its hooks are called."""

    def __init__(self, name, seen):
        self.name, self.seen = name, seen

    @hookimpl
    def on_step_end(self, run):
        self.seen.append(self.name)

    @hookimpl
    def on_run_end(self):
        self.seen.append(self.name)


class Does:
    """Calls *action* with the run at the end of each step."""

    def __init__(self, action):
        self.action = action

    @hookimpl
    def on_step_end(self, run):
        self.action(run)


class Fails(Does):
    """Raises *error* at the end of each step."""

    def __init__(self, error):
        super().__init__(self.fail)
        self.error = error

    def fail(self, run):
        raise self.error


class Around:
    """Wraps the forward pass: calls *before* and *after* around it."""

    def __init__(self, before=None, after=None):
        self.before, self.after = before, after

    @hookimpl(wrapper=True)
    def run_forward(self, run):
        if self.before:
            self.before()
        try:
            return (yield)
        finally:
            if self.after:
                self.after()


class Forward:
    """The engine's part, of which the plugins are around."""

    def __init__(self, error=None):
        self.error = error

    @hookimpl(trylast=True)
    def run_forward(self, run, batch):
        if self.error:
            raise self.error
        return f"output of {batch}"


class Stateful:
    """Keeps a number, and does what it is told to when it is asked for it."""

    def __init__(self, number=0, error=None):
        self.number, self.error = number, error

    @hookimpl
    def on_step_end(self, run):
        self.number += 1

    def state_dict(self):
        if self.error:
            raise self.error
        return {"number": self.number}

    def load_state_dict(self, state):
        if self.error:
            raise self.error
        self.number = state["number"]


def loaded(name, plugin, **facts):
    return LoadedPlugin(name, plugin, **({"distribution": "zz-tools", "version": "1.2"} | facts))


def manager_of(*plugins, **options):
    manager = PluginManager(SPECIFICATIONS, **options)
    manager.register(*plugins)
    return manager


def listeners(*names, **facts):
    seen = []
    return [loaded(name, Listener(name, seen), **facts) for name in names], seen


def fail():
    raise ValueError("full")


# Order.


def test_the_engines_own_come_first_then_what_is_listed_then_the_rest_by_name():
    plugins, seen = listeners("d", "a", "c", "b")
    engine = loaded("engine:loop", Listener("engine:loop", seen), builtin=True)
    manager = manager_of(*plugins, engine, order=["c", "d"])
    manager.hooks.on_step_end(RUN)
    assert seen == ["engine:loop", "c", "d", "a", "b"]
    assert manager.chain("on_step_end") == seen
    assert [each.instance for each in manager] == seen


def test_the_order_does_not_depend_on_when_somebody_came():
    plugins, seen = listeners("c", "a", "b")
    manager = manager_of()
    for each in plugins:
        manager.register(each)
    manager.hooks.on_step_end(RUN)
    assert seen == ["a", "b", "c"]


def test_a_plugin_may_ask_for_its_place():
    (a, b), seen = listeners("a", "b")
    manager_of(loaded("a", a.plugin, after=("b",)), b).hooks.on_step_end(RUN)
    assert seen == ["b", "a"]


def test_what_ends_something_is_called_in_reverse():
    plugins, seen = listeners("a", "b", "c")
    manager = manager_of(*plugins)
    manager.hooks.on_run_end(RUN, "completed")
    assert seen == ["c", "b", "a"]
    assert manager.chain("on_run_end") == seen


class Last:
    def __init__(self, name, seen, result=None):
        self.name, self.seen, self.result = name, seen, result

    @hookimpl(trylast=True)
    def run_backward(self):
        self.seen.append(self.name)
        return self.result


def test_of_several_that_want_to_be_last_the_listed_order_holds_and_the_engine_comes_after_them():
    seen = []
    manager = manager_of(
        loaded("b", Last("b", seen)),
        loaded("a", Last("a", seen)),
        loaded("engine:loss-scaling", Last("engine:loss-scaling", seen, True), builtin=True),
        loaded("engine:loop", Last("engine:loop", seen, True), builtin=True),
    )
    assert manager.hooks.run_backward(RUN, None) is True
    assert seen == ["a", "b", "engine:loss-scaling"]
    assert manager.chain("run_backward") == ["a", "b", "engine:loss-scaling", "engine:loop"]


def test_a_hook_that_nobody_implements_is_none_and_one_that_does_not_exist_is_an_error():
    manager = manager_of(*listeners("a")[0])
    assert manager.hooks.on_epoch_end is None
    manager.unregister("a")
    assert manager.hooks.on_step_end is None
    with pytest.raises(AttributeError):
        manager.hooks.on_stepend  # noqa: B018


class Reporter:
    @hookimpl
    def report(self):
        return None

    @hookimpl
    def persist(self):
        return None


def test_what_only_rank_0_hears_is_none_on_the_others():
    others, first = manager_of(loaded("r", Reporter()), rank=1), manager_of(loaded("r", Reporter()))
    assert first.hooks.report is not None
    assert others.hooks.report is None
    assert others.hooks.persist is not None


# Coming and going.


def test_who_comes_or_goes_in_the_middle_of_a_call_does_so_from_the_next_call_on():
    (late,), seen = listeners("z")
    (early,), _ = listeners("b")
    early.plugin.seen = seen

    def swap(run):
        if "z" not in manager:
            manager.unregister("b")
            manager.register(late)

    manager = manager_of(loaded("a", Does(swap)), early)
    call = manager.hooks.on_step_end
    call(RUN)
    assert seen == ["b"]
    manager.hooks.on_step_end(RUN)
    assert seen == ["b", "z"]


def test_a_plugin_that_masks_a_hook_of_its_own_or_puts_it_back_is_looked_at_anew():
    (a, b), seen = listeners("a", "b")
    manager = manager_of(a, b)
    a.plugin.on_step_end = None
    manager.hooks.on_step_end(RUN)
    manager.refresh()
    manager.hooks.on_step_end(RUN)
    assert seen == ["a", "b", "b"]
    del a.plugin.on_step_end
    manager.refresh()
    manager.hooks.on_step_end(RUN)
    assert seen == ["a", "b", "b", "a", "b"]


def test_a_hook_that_was_masked_from_the_start_can_be_put_back_in_its_place():
    (a, b, c), seen = listeners("a", "b", "c")
    b.plugin.on_step_end = None
    manager = manager_of(a, b, c)
    manager.hooks.on_step_end(RUN)
    assert (seen, manager.chain("on_step_end")) == (["a", "c"], ["a", "c"])
    del b.plugin.on_step_end
    a.plugin.on_step_end = None
    manager.refresh()
    manager.hooks.on_step_end(RUN)
    assert (seen, manager.chain("on_step_end")) == (["a", "c", "b", "c"], ["b", "c"])


def test_an_attribute_that_is_none_and_no_hook_masks_nothing():
    (a,), seen = listeners("a")
    a.plugin.listener = a.plugin.name = None
    manager = manager_of(a)
    a.plugin.name = "b"
    manager.refresh()
    manager.hooks.on_step_end(RUN)
    assert seen == ["b"]


def test_unregistering_returns_the_plugin():
    (a,), _ = listeners("a")
    manager = manager_of(a)
    assert manager["a"] is a.plugin
    assert manager.unregister("a") is a.plugin
    assert "a" not in manager
    with pytest.raises(KeyError):
        manager.unregister("a")


def test_a_name_that_is_taken_is_an_error_and_nobody_is_registered():
    (a, b), seen = listeners("a", "b")
    manager = manager_of(a)
    with pytest.raises(PluginConfigError, match=r"plugin 'a' \(zz-tools 1.2\): this name is taken by another plugin"):
        manager.register(b, loaded("a", b.plugin))
    manager.hooks.on_step_end(RUN)
    assert seen == ["a"]


def test_one_object_under_two_names_is_an_error():
    (a,), _ = listeners("a")
    with pytest.raises(PluginConfigError, match="the very object that is registered as 'a'"):
        manager_of(a, loaded("b", a.plugin))


def test_wishes_that_contradict_each_other_leave_the_set_as_it_was():
    (a, b), seen = listeners("a", "b")
    manager = manager_of(loaded("a", a.plugin, after=("b",)))
    with pytest.raises(ConfigError, match="cannot be put in order"):
        manager.register(loaded("b", b.plugin, after=("a",)))
    manager.hooks.on_step_end(RUN)
    assert seen == ["a"]


@pytest.mark.parametrize("on_error", ["raise", "disable"])
def test_a_plugin_that_left_is_freed(on_error, caplog):
    # A record that pytest keeps has the traceback, and that the plugin.
    caplog.set_level(logging.CRITICAL, logger="hookloop.plugins")
    plugin = Fails(ValueError("full"))
    alive = weakref.ref(plugin)
    manager = manager_of(loaded("a", plugin, on_error=on_error))
    try:
        manager.hooks.on_step_end(RUN)
        assert "a" not in manager
    except ValueError:
        manager.unregister("a")
    del plugin
    gc.collect()
    assert alive() is None


# Time.


def test_time_is_kept_by_plugin_and_hook_the_slowest_first_and_not_of_the_engine():
    plugins, seen = listeners("a", "b")
    engine = loaded("engine:loop", Listener("engine:loop", seen), builtin=True)
    manager = manager_of(*plugins, engine)
    manager.hooks.on_step_end(RUN)
    manager.unregister("b")
    manager.hooks.on_step_end(RUN)
    timings = manager.timings()
    assert {(each.plugin, each.hook): each.calls for each in timings} == {
        ("a", "on_step_end"): 2,
        ("b", "on_step_end"): 1,
    }
    assert [each.seconds for each in timings] == sorted((each.seconds for each in timings), reverse=True)


# State.


def test_state_is_kept_by_instance_with_its_version_and_put_back():
    _, seen = listeners()
    best, last = Stateful(3), Stateful(5)
    manager = manager_of(loaded("best", best), loaded("last", last, version="2.0"), loaded("a", Listener("a", seen)))
    states = manager.state_dict()
    assert states == {
        "best": {"version": "1.2", "state": {"number": 3}},
        "last": {"version": "2.0", "state": {"number": 5}},
    }
    fresh = manager_of(loaded("best", Stateful()), loaded("last", Stateful()))
    fresh.load_state_dict(states)
    assert (fresh["best"].number, fresh["last"].number) == (3, 5)


def test_missing_and_extra_states_are_warnings_that_name_them(caplog):
    _, seen = listeners()
    manager = manager_of(loaded("best", Stateful(1)), loaded("a", Listener("a", seen)))
    state = {"version": "1.2", "state": {"number": 9}}
    manager.load_state_dict({"a": state, "gone": state})
    assert manager["best"].number == 1
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", "plugin 'best' has no state in this checkpoint and starts afresh"),
        ("WARNING", "the checkpoint holds a state of plugin 'a', which takes no state: it is dropped"),
        ("WARNING", "the checkpoint holds a state of plugin 'gone', which is not active: it is dropped"),
    ]


@pytest.mark.parametrize("method", ["state_dict", "load_state_dict"])
def test_a_state_that_cannot_be_saved_or_put_back_names_the_plugin(method):
    manager = manager_of(loaded("best", Stateful(error=ValueError("full"))))
    arguments = [] if method == "state_dict" else [{"best": {"version": "1.2", "state": {}}}]
    with pytest.raises(ValueError, match="full") as caught:
        getattr(manager, method)(*arguments, step=7)
    assert str(culprit(caught.value)).startswith(
        f"plugin 'best' (zz-tools 1.2): {method} failed at step 7: ValueError: full."
    )


def test_the_state_of_a_tolerated_plugin_that_cannot_be_saved_is_left_out():
    manager = manager_of(loaded("a", Stateful(3)), loaded("b", Stateful(error=ValueError()), on_error="warn"))
    assert list(manager.state_dict()) == ["a"]
    assert [(each.plugin, each.hook) for each in manager.failures] == [("b", "state_dict")]


# Failing.


def test_a_failure_names_plugin_distribution_hook_step_cause_and_the_way_out():
    error = ValueError("full")
    manager = manager_of(loaded("monitor", Fails(error)))
    with pytest.raises(ValueError, match="full") as caught:
        manager.hooks.on_step_end(RUN)
    verdict = culprit(caught.value)
    assert caught.value is error
    assert isinstance(verdict, PluginHookError)
    assert (verdict.plugin, verdict.hook, verdict.step) == ("monitor", "on_step_end", 7)
    assert str(verdict) == (
        "plugin 'monitor' (zz-tools 1.2): on_step_end failed at step 7: ValueError: full. "
        "Switch it off with: -p no:monitor"
    )
    assert error.__notes__ == [str(verdict)]


def test_a_failure_is_blamed_once_on_who_raised_it():
    inner = manager_of(loaded("inner", Fails(ValueError("full"))))
    outer = manager_of(loaded("outer", Does(inner.hooks.on_step_end)))
    with pytest.raises(ValueError, match="full") as caught:
        outer.hooks.on_step_end(RUN)
    assert culprit(caught.value).plugin == "inner"
    assert len(caught.value.__notes__) == 1


def test_the_users_own_error_is_not_blamed_on_the_plugins_it_passes_through(caplog):
    error = ValueError("shape mismatch")
    engine = loaded("engine:loop", Forward(error), builtin=True)
    for on_error in ("raise", "warn"):
        manager = manager_of(engine, loaded("a", Around(), on_error=on_error), loaded("b", Around()))
        with pytest.raises(ValueError, match="shape mismatch") as caught:
            manager.hooks.run_forward(RUN, "x")
        assert caught.value is error
        assert culprit(error) is None
        assert not hasattr(error, "__notes__")
        assert manager.failures == []
    assert caplog.records == []


@pytest.mark.parametrize("on_error", ["raise", "warn", "disable"])
@pytest.mark.parametrize("error", [SkipBatch(), Skip(), KeyboardInterrupt(), SystemExit(3)])
def test_skips_and_ctrl_c_are_never_tolerated_and_nobodys_fault(on_error, error):
    manager = manager_of(loaded("a", Fails(error), on_error=on_error))
    with pytest.raises(type(error)) as caught:
        manager.hooks.on_step_end(RUN)
    assert caught.value is error
    assert culprit(error) is None
    assert not hasattr(error, "__notes__")
    assert "a" in manager
    assert manager.failures == []


def test_a_failure_under_warn_is_logged_once_with_its_traceback_and_then_counted(caplog):
    error = ValueError("full")
    plugins, seen = listeners("z")
    manager = manager_of(loaded("a", Fails(error), on_error="warn"), *plugins)
    for step in (7, 8, 9):
        manager.hooks.on_step_end(SimpleNamespace(step=step))
    assert seen == ["z"] * 3
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("hookloop.plugins", "ERROR")
    assert record.exc_info[1] is error
    assert record.getMessage() == (
        "plugin 'a' (zz-tools 1.2) failed in on_step_end at step 7; further failures there are only counted, "
        'training goes on (on_error = "warn")'
    )
    (failure,) = manager.failures
    assert vars(failure) == {
        "plugin": "a",
        "hook": "on_step_end",
        "step": 7,
        "error": "ValueError: full",
        "count": 3,
        "disabled": False,
    }


def test_each_hook_that_fails_is_logged(caplog):
    plugin = Stateful(error=OSError("full"))
    plugin.on_step_end = None
    manager = manager_of(loaded("a", plugin, on_error="warn"), loaded("b", Fails(ValueError()), on_error="warn"))
    manager.hooks.on_step_end(RUN)
    manager.state_dict()
    assert [(each.plugin, each.hook) for each in manager.failures] == [("b", "on_step_end"), ("a", "state_dict")]
    assert len(caplog.records) == 2


def test_a_failure_under_disable_switches_the_plugin_off_and_training_goes_on(caplog):
    plugins, seen = listeners("z")
    manager = manager_of(loaded("a", Fails(ValueError("full")), on_error="disable"), *plugins)
    for _ in range(3):
        manager.hooks.on_step_end(RUN)
    assert seen == ["z"] * 3
    assert "a" not in manager
    assert [(each.plugin, each.count, each.disabled) for each in manager.failures] == [("a", 1, True)]
    assert "it is switched off, training goes on" in caplog.records[0].getMessage()
    assert caplog.records[0].levelno == logging.ERROR


def test_a_plugin_that_comes_back_is_switched_off_again():
    manager = manager_of(loaded("a", Fails(ValueError("full")), on_error="disable"))
    manager.hooks.on_step_end(RUN)
    manager.register(loaded("a", Fails(ValueError("full")), on_error="disable"))
    manager.hooks.on_step_end(RUN)
    assert "a" not in manager
    assert [each.count for each in manager.failures] == [2]


@pytest.mark.parametrize("on_error", ["warn", "disable"])
@pytest.mark.parametrize("where", ["before", "after"])
def test_a_wrapper_that_fails_and_is_tolerated_costs_nothing_but_itself(on_error, where):
    engine = loaded("engine:loop", Forward(), builtin=True)
    manager = manager_of(engine, loaded("a", Around(**{where: fail}), on_error=on_error), loaded("b", Around()))
    assert manager.hooks.run_forward(RUN, "x") == "output of x"
    assert [(each.plugin, each.hook) for each in manager.failures] == [("a", "run_forward")]
    assert ("a" in manager) == (on_error == "warn")


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_wrapper_that_fails_is_blamed(where):
    engine = loaded("engine:loop", Forward(), builtin=True)
    manager = manager_of(engine, loaded("a", Around(**{where: fail})), loaded("b", Around()))
    with pytest.raises(ValueError, match="full") as caught:
        manager.hooks.run_forward(RUN, "x")
    assert culprit(caught.value).plugin == "a"


@pytest.mark.parametrize("on_error", ["raise", "disable"])
def test_a_plugin_that_left_while_it_was_around_something_is_still_answerable(on_error):
    def leave():
        if "a" in manager:
            manager.unregister("a")

    engine = loaded("engine:loop", Forward(), builtin=True)
    manager = manager_of(engine, loaded("a", Around(before=leave, after=fail), on_error=on_error))
    if on_error == "raise":
        with pytest.raises(ValueError, match="full") as caught:
            manager.hooks.run_forward(RUN, "x")
        assert culprit(caught.value).plugin == "a"
    else:
        assert manager.hooks.run_forward(RUN, "x") == "output of x"
        assert [each.plugin for each in manager.failures] == ["a"]


def test_an_ending_reaches_everyone_and_names_each_who_failed():
    class Closes:
        def __init__(self, seen):
            self.seen = seen

        @hookimpl
        def on_run_end(self, outcome):
            self.seen.append(outcome)
            raise ValueError("full")

    seen = []
    manager = manager_of(
        loaded("a", Closes(seen)), loaded("b", Closes(seen), on_error="warn"), loaded("c", Closes(seen))
    )
    with pytest.raises(ExceptionGroup, match="2 plugins failed in on_run_end") as caught:
        manager.hooks.on_run_end(RUN, "completed")
    assert seen == ["completed"] * 3
    assert [culprit(each).plugin for each in caught.value.exceptions] == ["c", "a"]
    assert [each.plugin for each in manager.failures] == ["b"]

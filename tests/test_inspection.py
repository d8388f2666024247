import functools
from dataclasses import dataclass
from types import ModuleType

import pytest

from hookloop.errors import PluginConfigError
from hookloop.inspection import check_policy, has_hooks, inspect_plugin, role_of, wishes_of
from hookloop.markers import hookimpl

HOOKS = {
    "on_fit_start": ("run",),
    "on_step_end": ("run",),
    "on_metrics": ("run", "metrics"),
    "transform_loss": ("run", "loss"),
}


def hooks_of(plugin):
    return inspect_plugin(plugin, HOOKS, "mine", "hookloop-mine 1.0")


def refusal(plugin):
    with pytest.raises(PluginConfigError) as caught:
        hooks_of(plugin)
    text = str(caught.value)
    assert text.startswith("plugin 'mine' (hookloop-mine 1.0): ")
    assert text.endswith("Switch it off with: -p no:mine")
    return text


def test_the_hooks_come_in_the_order_of_the_specifications():
    class Plugin:
        @hookimpl
        def on_metrics(self, metrics):
            pass

        @hookimpl(tryfirst=True)
        def on_fit_start(self, run):
            pass

        def helper(self, anything, *more):
            pass

    assert hooks_of(Plugin()) == ("on_fit_start", "on_metrics")


def test_an_implementation_may_leave_out_arguments_and_change_their_order():
    class Plugin:
        @hookimpl
        def on_metrics(self, metrics, run):
            pass

        @hookimpl
        def on_step_end(self):
            pass

    assert hooks_of(Plugin()) == ("on_step_end", "on_metrics")


def test_a_hook_of_another_name_and_an_inherited_hook_count():
    class Base:
        @hookimpl
        def on_step_end(self, run):
            pass

    class Plugin(Base):
        @hookimpl(specname="on_fit_start")
        def begin(self, run):
            pass

    assert hooks_of(Plugin()) == ("on_fit_start", "on_step_end")


def test_static_and_class_methods_are_hooks():
    class Plugin:
        @staticmethod
        @hookimpl
        def on_step_end(run):
            pass

        @hookimpl
        @staticmethod
        def on_fit_start(run):
            pass

        @classmethod
        @hookimpl
        def on_metrics(cls, run):
            pass

    assert hooks_of(Plugin()) == ("on_fit_start", "on_step_end", "on_metrics")


def test_a_module_and_a_function_on_the_object_are_hooks():
    @hookimpl
    def on_step_end(run):
        pass

    class Plugin:
        def __init__(self):
            self.on_step_end = on_step_end

    module = ModuleType("module")
    module.on_step_end = on_step_end
    assert hooks_of(Plugin()) == hooks_of(module) == ("on_step_end",)


def test_a_decorated_hook_keeps_its_parameters():
    def decorated(function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapped

    class Plugin:
        @hookimpl
        @decorated
        def on_step_end(self, run):
            pass

    assert hooks_of(Plugin()) == ("on_step_end",)


def test_no_property_is_evaluated():
    class Plugin:
        @property
        def broken(self):
            raise RuntimeError("evaluated")

        @functools.cached_property
        def slow(self):
            raise RuntimeError("evaluated")

        @property
        def on_fit_start(self):
            raise RuntimeError("evaluated")

        @hookimpl
        def on_step_end(self, run):
            pass

    assert hooks_of(Plugin()) == ("on_step_end",)


@pytest.mark.parametrize("kind", [property, functools.cached_property])
def test_a_marked_property_is_refused(kind):
    class Plugin:
        @kind
        @hookimpl
        def on_step_end(self):
            raise RuntimeError("evaluated")

    assert "on_step_end is a property, and a hook is a method" in refusal(Plugin())


def test_a_misspelt_hook_is_refused_with_a_suggestion():
    class Plugin:
        @hookimpl
        def on_stepend(self, run):
            pass

    assert "there is no hook on_stepend. Did you mean 'on_step_end'?" in refusal(Plugin())


def test_a_misspelt_name_for_the_specification_is_refused():
    class Plugin:
        @hookimpl(specname="on_fitstart")
        def begin(self, run):
            pass

    assert "there is no hook on_fitstart. Did you mean 'on_fit_start'?" in refusal(Plugin())


def test_a_hook_of_a_newer_engine_is_allowed_when_marked_optional():
    class Plugin:
        @hookimpl(optionalhook=True)
        def on_something_new(self, run, news):
            pass

    assert hooks_of(Plugin()) == ()


def test_an_optional_hook_that_exists_is_checked_like_any_other():
    class Plugin:
        @hookimpl(optionalhook=True)
        def on_metrics(self, metrisc):
            pass

    assert "Did you mean 'metrics'?" in refusal(Plugin())


def test_a_misspelt_parameter_is_refused_with_a_suggestion():
    class Plugin:
        @hookimpl
        def on_metrics(self, run, metric):
            pass

    message = "on_metrics asks for metric, which the hook on_metrics does not have. Did you mean 'metrics'?"
    assert message in refusal(Plugin())


def test_an_unlike_parameter_is_refused_with_those_there_are():
    class Plugin:
        @hookimpl
        def transform_loss(self, batch):
            pass

    assert "which the hook transform_loss does not have. It has: run, loss." in refusal(Plugin())


def test_a_parameter_with_a_default_may_be_one_of_another_engine():
    class Plugin:
        @hookimpl
        def on_step_end(self, run, duration_seconds=None, *, own=3):
            pass

    assert hooks_of(Plugin()) == ("on_step_end",)


class KeywordOnly:
    @hookimpl
    def on_metrics(self, *, metrics):
        pass


class KeywordOnlyWithDefault:
    @hookimpl
    def on_metrics(self, *, metrics=None):
        pass


class StarArguments:
    @hookimpl
    def on_metrics(self, *args):
        pass


class StarKeywords:
    @hookimpl
    def on_metrics(self, run, **kwargs):
        pass


class OldWrapper:
    @hookimpl(hookwrapper=True)
    def on_metrics(self, run):
        yield


class WrapperWithoutYield:
    @hookimpl(wrapper=True)
    def on_metrics(self, run):
        return None


class YieldWithoutWrapper:
    @hookimpl
    def on_metrics(self, run):
        yield


class FirstAndLast:
    @hookimpl(tryfirst=True, trylast=True)
    def on_metrics(self, run):
        pass


class Async:
    @hookimpl
    async def on_metrics(self, run):
        pass


class AsyncGenerator:
    @hookimpl(wrapper=True)
    async def on_metrics(self, run):
        yield


class Unmarked:
    def on_metrics(self, run):
        pass


class UnmarkedStatic:
    @staticmethod
    def on_metrics(run):
        pass


class OverriddenWithoutMark(FirstAndLast):
    def on_metrics(self, run):
        pass


class WithoutHooks:
    def helper(self):
        pass


@dataclass
class Equal:
    value: int = 3

    @hookimpl
    def on_metrics(self, run):
        pass


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (KeywordOnly, "on_metrics has the keyword-only parameter metrics, which is never passed"),
        (KeywordOnlyWithDefault, "on_metrics has the keyword-only parameter metrics, which is never passed"),
        (StarArguments, "on_metrics takes *args; a hook names each parameter it wants."),
        (StarKeywords, "on_metrics takes **kwargs; a hook names each parameter it wants."),
        (OldWrapper, "on_metrics is an old-style wrapper: use wrapper=True instead of hookwrapper=True."),
        (WrapperWithoutYield, "on_metrics is a wrapper, so it must yield once: return (yield)"),
        (YieldWithoutWrapper, "on_metrics yields, so its body would never run"),
        (FirstAndLast, "on_metrics asks for tryfirst and trylast at once."),
        (Async, "on_metrics is async; hooks are called and never awaited, so write a plain def."),
        (AsyncGenerator, "on_metrics is async;"),
        (Unmarked, "on_metrics has a hook's name but no @hookimpl; mark it, or rename it."),
        (UnmarkedStatic, "on_metrics has a hook's name but no @hookimpl"),
        (OverriddenWithoutMark, "on_metrics has a hook's name but no @hookimpl"),
        (WithoutHooks, "it has no @hookimpl method, so it would never be called."),
        (Equal, "Equal defines __eq__, but plugins are told apart by identity: @dataclass(eq=False)."),
    ],
)
def test_what_would_not_work_as_written_is_refused(plugin, message):
    assert message in refusal(plugin())


def test_a_wrapper_is_a_hook():
    class Plugin:
        @hookimpl(wrapper=True)
        def transform_loss(self, run):
            return (yield)

    assert hooks_of(Plugin()) == ("transform_loss",)


def test_a_class_with_hooks_is_told_from_others():
    assert has_hooks(Async)
    assert not has_hooks(Unmarked)


def test_the_role_is_a_class_attribute_and_an_actor_without():
    class Observer:
        role = "observer"

    assert role_of(Observer(), "mine", "") == "observer"
    assert role_of(object(), "mine", "") == "actor"


@pytest.mark.parametrize("value", ["watcher", None, ["observer"], property(lambda self: "observer")])
def test_any_other_role_is_refused(value):
    plugin = type("Plugin", (), {"role": value})()
    with pytest.raises(
        PluginConfigError, match="it must be the class attribute role = 'observer', 'actor' or 'provider'"
    ):
        role_of(plugin, "mine", "hookloop-mine 1.0")


def test_a_class_says_what_it_wants_to_stand_before_and_after():
    class Plugin:
        after = ("checkpoint",)

        def before(self):
            raise RuntimeError("a method of its own")

    assert wishes_of(Plugin(), "after", "mine", "") == ("checkpoint",)
    assert wishes_of(Plugin(), "before", "mine", "") == ()


def test_a_wish_that_is_no_tuple_of_names_is_refused():
    plugin = type("Plugin", (), {"after": "checkpoint"})()
    with pytest.raises(PluginConfigError, match="its after is 'checkpoint'; it must be a tuple of plugin names"):
        wishes_of(plugin, "after", "mine", "hookloop-mine 1.0")


@pytest.mark.parametrize("role", ["observer", "provider"])
def test_an_observer_and_a_provider_may_be_on_by_being_installed(role):
    check_policy(role, True, "raise", "mine", "")


def test_an_actor_may_not_be_on_by_being_installed():
    with pytest.raises(PluginConfigError, match=r"an actor changes the training, .* hookloop\.autoload\."):
        check_policy("actor", True, "raise", "mine", "hookloop-mine 1.0")


@pytest.mark.parametrize("role", ["actor", "provider"])
@pytest.mark.parametrize("on_error", ["warn", "disable"])
def test_only_an_observer_may_fail_without_consequence(role, on_error):
    check_policy("observer", False, on_error, "mine", "")
    with pytest.raises(PluginConfigError, match=f'on_error = "{on_error}" is for observers: .* without this {role}'):
        check_policy(role, False, on_error, "mine", "hookloop-mine 1.0")

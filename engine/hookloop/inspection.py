"""Checks a built plugin against the hook specifications, so that nothing it does wrong shows only during training.

pluggy would notice less, later, and without the name of the plugin: a misspelt hook is never called, a keyword-only
parameter fails in the middle of a run, an ``async def`` is called and never awaited.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any, Literal, cast, get_args

from hookloop.errors import PluginConfigError, suggest
from hookloop.markers import PROJECT
from hookloop.requests import OnError

Role = Literal["observer", "actor", "provider"]

_MARK = f"{PROJECT}_impl"
_KINDS = inspect.Parameter


@dataclass(frozen=True)
class _Method:
    """A function of a plugin: the name it stands under, the bound function, and the options of its @hookimpl."""

    name: str
    function: Callable[..., object]
    marks: Mapping[str, Any] | None

    @property
    def hook(self) -> str:
        return (self.marks and self.marks.get("specname")) or self.name

    def marked(self, option: str) -> bool:
        return bool(self.marks and self.marks.get(option))


def role_of(plugin: object, instance: str, distribution: str) -> Role:
    """Return the plugin's ``role``, which is actor when it names none. Raises PluginConfigError for any other word."""
    role = inspect.getattr_static(_kind(plugin), "role", "actor")
    if role not in get_args(Role):
        message = f"its role is {role!r}; it must be the class attribute role = 'observer', 'actor' or 'provider'."
        raise PluginConfigError(instance, distribution, message)
    return cast("Role", role)


def wishes_of(plugin: object, key: Literal["before", "after"], instance: str, distribution: str) -> tuple[str, ...]:
    """Return the names in the class attribute *key*. Raises PluginConfigError when it is not a tuple of names."""
    names = inspect.getattr_static(_kind(plugin), key, ())
    if isinstance(names, (tuple, list)) and all(isinstance(name, str) for name in names):
        return tuple(names)
    # An author may have a method of that name: it is no wish.
    if isinstance(names, (FunctionType, staticmethod, classmethod, property)):
        return ()
    message = f"its {key} is {names!r}; it must be a tuple of plugin names: {key} = ('checkpoint',)."
    raise PluginConfigError(instance, distribution, message)


def check_policy(role: Role, autoload: bool, on_error: OnError, instance: str, distribution: str) -> None:
    """Raise PluginConfigError for what *role* forbids.

    Only observers and providers may be on by being installed, and training goes on without an observer only.
    """
    if autoload and role == "actor":
        message = "an actor changes the training, so it may not be in the group hookloop.autoload."
        raise PluginConfigError(instance, distribution, message)
    if on_error != "raise" and role != "observer":
        message = f'on_error = "{on_error}" is for observers: training cannot go on without this {role}.'
        raise PluginConfigError(instance, distribution, message)


def has_hooks(plugin: object) -> bool:
    """Whether *plugin*, an object or a class, has any method that is marked with @hookimpl."""
    return any(each.marks is not None for each in _methods(plugin))


def inspect_plugin(
    plugin: object,
    spec_names: Mapping[str, tuple[str, ...]],
    instance: str,
    distribution: str,
) -> tuple[str, ...]:
    """Return the hooks that *plugin* implements, in the order of *spec_names*, which maps each hook to its parameters.

    No property is evaluated. Raises PluginConfigError, in the name of *instance*, for what would not work as written.
    """
    for fault in find_faults(plugin, spec_names):
        raise PluginConfigError(instance, distribution, fault)
    hooks = {method.hook for method in _methods(plugin) if method.marks is not None}
    return tuple(name for name in spec_names if name in hooks)


def find_faults(plugin: object, spec_names: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Yield everything about the hooks of *plugin* that would not work as written."""
    kind = type(plugin)
    if kind.__eq__ is not object.__eq__:
        yield f"{kind.__name__} defines __eq__, but plugins are told apart by identity: @dataclass(eq=False)."
    for method in _methods(plugin):
        if method.marks is not None and (problem := _problem_of_hook(method, spec_names)):
            yield problem
        if method.marks is None and method.name in spec_names:
            yield f"{method.name} has a hook's name but no @hookimpl; mark it, or rename it."
    properties = list(_marked_properties(plugin))
    for name in properties:
        yield f"{name} is a property, and a hook is a method: it would never be called."
    if not properties and not has_hooks(plugin):
        yield "it has no @hookimpl method, so it would never be called."


def _problem_of_hook(method: _Method, spec_names: Mapping[str, tuple[str, ...]]) -> str | None:
    return (
        _problem_of_name(method, spec_names)
        or _problem_of_marks(method)
        or _problem_of_parameters(method, spec_names.get(method.hook))
    )


def _problem_of_name(method: _Method, spec_names: Mapping[str, tuple[str, ...]]) -> str | None:
    if method.hook in spec_names or method.marked("optionalhook"):
        return None
    hint = suggest(method.hook, spec_names) or " All hooks: hookloop hooks"
    return f"there is no hook {method.hook}.{hint}"


def _problem_of_marks(method: _Method) -> str | None:
    function = inspect.unwrap(method.function)
    yields = inspect.isgeneratorfunction(function)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return f"{method.name} is async; hooks are called and never awaited, so write a plain def."
    if method.marked("hookwrapper"):
        return f"{method.name} is an old-style wrapper: use wrapper=True instead of hookwrapper=True."
    if method.marked("wrapper") and not yields:
        return f"{method.name} is a wrapper, so it must yield once: return (yield)"
    if yields and not method.marked("wrapper"):
        return f"{method.name} yields, so its body would never run; a wrapper is marked @hookimpl(wrapper=True)."
    if method.marked("tryfirst") and method.marked("trylast"):
        return f"{method.name} asks for tryfirst and trylast at once."
    return None


def _problem_of_parameters(method: _Method, allowed: tuple[str, ...] | None) -> str | None:
    """*allowed* is None for an optional hook of another version of the engine, whose parameters are not known."""
    for parameter in inspect.signature(method.function).parameters.values():
        name, required = parameter.name, parameter.default is _KINDS.empty
        if parameter.kind in (_KINDS.VAR_POSITIONAL, _KINDS.VAR_KEYWORD):
            return f"{method.name} takes {parameter}; a hook names each parameter it wants."
        if parameter.kind is _KINDS.KEYWORD_ONLY and (required or name in (allowed or ())):
            return f"{method.name} has the keyword-only parameter {name}, which is never passed; move it before the *."
        # One with a default may be a parameter that another version of the engine has.
        if required and allowed is not None and name not in allowed:
            hint = suggest(name, allowed) or f" It has: {', '.join(allowed)}."
            return f"{method.name} asks for {name}, which the hook {method.hook} does not have.{hint}"
    return None


def _methods(plugin: object) -> Iterator[_Method]:
    """Yield the functions that pluggy would look at, and evaluate nothing else."""
    for name in dir(plugin):
        static = inspect.getattr_static(plugin, name, None)
        if isinstance(static, (staticmethod, classmethod, FunctionType, MethodType)):
            function = getattr(plugin, name)
            marks = getattr(static, _MARK, None) or getattr(function, _MARK, None)
            yield _Method(name, function, marks if isinstance(marks, dict) else None)


def _marked_properties(plugin: object) -> Iterator[str]:
    for name in dir(plugin):
        static = inspect.getattr_static(plugin, name, None)
        if isinstance(static, property) and hasattr(static.fget, _MARK):
            yield name
        if isinstance(static, functools.cached_property) and hasattr(static.func, _MARK):
            yield name


def _kind(plugin: object) -> object:
    return plugin if inspect.ismodule(plugin) else type(plugin)

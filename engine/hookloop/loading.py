"""Turns a decision into a plugin: imports its class, builds it with its options, and has what came out inspected."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from hookloop.errors import HookloopError, PluginIncompatibleError, PluginLoadError
from hookloop.inspection import Role, check_policy, has_hooks, inspect_plugin, role_of, wishes_of
from hookloop.locations import import_file, import_location, parse_location
from hookloop.plugin_options import config_model, is_buildable, validate_options
from hookloop.requests import OnError, Request
from hookloop.selection import Decision

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = [
    "LoadedPlugin",
    "assemble",
    "build",
    "check_policy",
    "config_model",
    "inspect_plugin",
    "load",
    "validate_options",
]


@dataclass(frozen=True, eq=False)
class LoadedPlugin:
    """A plugin that is ready to be registered.

    ``instance`` is its unique name and ``name`` that of the plugin it is an instance of. ``options`` is its validated
    ``Config``, None when it has none; ``raw_options`` is the table it came from, for display. ``hooks`` are the hooks
    that it implements.
    """

    instance: str
    plugin: Any
    name: str = ""
    role: Role = "actor"
    distribution: str = ""
    version: str = ""
    builtin: bool = False
    on_error: OnError = "raise"
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    options: BaseModel | None = None
    raw_options: Mapping[str, object] = field(default_factory=dict)
    hooks: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """The distribution with its version, as errors name it."""
        return f"{self.distribution} {self.version}".strip()


def load(decision: Decision) -> object:
    """Return the class or factory that *decision* stands for, imported now, or the ready object given in Python.

    Raises PluginIncompatibleError or PluginLoadError when it is wanted and cannot be had.
    """
    instance, origin, candidate = decision.instance, decision.origin, decision.candidate
    if decision.state == "incompatible":
        message = f"{decision.reason}, so it was not imported. Upgrade one of the two."
        raise PluginIncompatibleError(instance, origin, message)
    if decision.state == "failed":
        raise PluginLoadError(instance, origin, f"{decision.reason}.")
    if decision.state != "active" or candidate is None:
        raise PluginLoadError(instance, origin, f"it is {decision.state} {decision.reason}".rstrip() + ".")
    if decision.request and decision.request.target is not None:
        return decision.request.target
    try:
        target = _import(decision)
    except PluginLoadError:
        raise
    # SystemExit too: a module that ends the interpreter while it is imported is broken, not in charge.
    except (Exception, SystemExit) as error:
        raise PluginLoadError(instance, origin, f"{candidate.value} cannot be imported: {_tell(error)}.") from error
    if not is_buildable(target):
        message = f"{candidate.value} is {target!r}; it must be a class, or a function that returns the plugin."
        raise PluginLoadError(instance, origin, message)
    return target


def build(target: object, options: BaseModel | None, decision: Decision) -> object:
    """Call the class or factory *target* with *options*, or with nothing when it has none; a ready object is returned.

    Raises PluginLoadError when it cannot be called like that, raises, or returns what is no object to register.
    """
    if not is_buildable(target):
        return target
    instance, origin = decision.instance, decision.origin
    arguments = () if options is None else (options,)
    factory = cast("Callable[..., object]", target)
    name = getattr(factory, "__name__", repr(factory))
    if not _accepts(factory, arguments):
        way = f"{name}(config), since it has a Config" if arguments else f"{name}(), since it has no Config"
        raise PluginLoadError(instance, origin, f"it must be callable as {way}, and has {inspect.signature(factory)}.")
    try:
        plugin = factory(*arguments)
    except HookloopError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginLoadError(instance, origin, f"{name} cannot be built: {_tell(error)}.") from error
    if plugin is None or inspect.isclass(plugin):
        message = f"the factory {name} returned {plugin!r}; it must return the plugin, an object."
        raise PluginLoadError(instance, origin, message)
    return plugin


def assemble(
    decision: Decision, target: object, options: BaseModel | None, spec_names: Mapping[str, tuple[str, ...]]
) -> LoadedPlugin:
    """Build *target* and return it with all that is known of it. Raises PluginLoadError and PluginConfigError."""
    candidate = decision.candidate
    assert candidate is not None, "load() has refused a decision without a candidate"
    request = decision.request or Request(decision.instance, use=decision.instance)
    instance, origin = decision.instance, decision.origin
    plugin = build(target, options, decision)
    hooks = inspect_plugin(plugin, spec_names, instance, origin)
    role = role_of(plugin, instance, origin)
    check_policy(role, candidate.autoload, request.on_error, instance, origin)
    return LoadedPlugin(
        instance=instance,
        plugin=plugin,
        name=candidate.name,
        role=role,
        distribution=candidate.distribution,
        version=candidate.version,
        builtin=candidate.source == "built-in",
        on_error=request.on_error,
        before=request.before + wishes_of(plugin, "before", instance, origin),
        after=request.after + wishes_of(plugin, "after", instance, origin),
        options=options,
        raw_options=request.table,
        hooks=hooks,
    )


def _import(decision: Decision) -> object:
    candidate = decision.candidate
    assert candidate is not None
    if candidate.entry_point is not None:
        return candidate.entry_point.load()
    location = parse_location(candidate.value)
    if location.is_file and not location.attribute:
        return _only_plugin(import_file(Path(location.container)), decision)
    return import_location(location)


def _only_plugin(module: ModuleType, decision: Decision) -> object:
    """Return the one public class of a file that has hooks; those that the file imports do not count."""
    own = [each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == module.__name__]
    plugins = {each.__name__: each for each in own if has_hooks(each) and not each.__name__.startswith("_")}
    if len(plugins) == 1:
        return next(iter(plugins.values()))
    path = decision.candidate.value if decision.candidate else module.__file__
    if plugins:
        message = f"{path} has more than one plugin class; name the one you mean: {_list_of(path, plugins)}."
    else:
        classes = {each.__name__: each for each in own}
        message = f"{path} has no class with an @hookimpl method; name what makes the plugin: {path}:NAME."
        message += f" Its classes: {', '.join(classes)}." if classes else ""
    raise PluginLoadError(decision.instance, decision.origin, message)


def _list_of(path: str | None, names: Mapping[str, object]) -> str:
    return " or ".join(f"{path}:{name}" for name in names)


def _accepts(factory: Callable[..., object], arguments: tuple[object, ...]) -> bool:
    try:
        inspect.signature(factory).bind(*arguments)
    except TypeError:
        return False
    # Some callables that are written in C have no signature to ask.
    except ValueError:
        return True
    return True


def _tell(error: BaseException) -> str:
    return ". ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])

"""Holds the plugins of one run: registration through pluggy, one order for all hooks, errors with a name on them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pluggy

from hookloop.blame import blame, is_of_another
from hookloop.calling import Timing
from hookloop.control import Skip
from hookloop.dispatch import Implementation, call_order, freeze
from hookloop.errors import PluginConfigError, PluginHookError
from hookloop.loading import LoadedPlugin
from hookloop.markers import PROJECT, HookInfo, hook_info
from hookloop.masks import is_masked, masks_of
from hookloop.ordering import sort_plugins
from hookloop.postponed import Postponed

log = logging.getLogger("hookloop.plugins")


class Hooks:
    """One attribute a hook: None when nobody implements it, else the function that calls everyone who does."""

    __slots__: tuple[str, ...] = ()

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def make_hooks(specifications: Sequence[type]) -> Hooks:
    """Return the hooks of *specifications*, all None.

    They are slots: a step looks at some thirty of them, and the slots of one group lie side by side in memory, where a
    dictionary of this size is spread over three times as much.
    """
    names = tuple(hook_infos(specifications))
    hooks: Hooks = type("Hooks", (Hooks,), {"__slots__": names})()
    for name in names:
        setattr(hooks, name, None)
    return hooks


def hook_infos(specifications: Sequence[type]) -> dict[str, HookInfo]:
    """Return what is known of each hook of *specifications*, by name."""
    members = [member for each in specifications for member in vars(each).items()]
    return {name: hook_info(function) for name, function in members if hasattr(function, "__hookloop__")}


@dataclass
class Failure:
    """What a tolerated plugin did wrong, for the end summary."""

    plugin: str
    hook: str
    step: int
    error: str
    count: int = 1
    disabled: bool = False


class PluginManager:
    """The plugin set of a run. Every change of the set freezes ``hooks`` anew, also in the middle of a run."""

    def __init__(self, specifications: Sequence[type], *, order: Sequence[str] = (), rank: int = 0) -> None:
        self.hooks = make_hooks(specifications)
        self.failures: list[Failure] = []
        self.postponed = Postponed(self)
        self._specifications = tuple(specifications)
        self._infos = hook_infos(specifications)
        self._order = tuple(order)
        self._rank = rank
        self._loaded: list[LoadedPlugin] = []
        # Who may be blamed, without the plugin itself: one that is gone may still have a wrapper to finish.
        self._known: dict[str, LoadedPlugin] = {}
        self._timings: dict[tuple[str, str], Timing] = {}
        self._pluggy = pluggy.PluginManager(PROJECT)
        self._masks: frozenset[tuple[str, str]] = frozenset()  # what pluggy does not know of

    def __iter__(self) -> Iterator[LoadedPlugin]:
        """Iterate over the plugins in call order."""
        return iter(tuple(self._loaded))

    def __contains__(self, instance: str) -> bool:
        return any(each.instance == instance for each in self._loaded)

    def __getitem__(self, instance: str) -> Any:
        """Return the plugin object that is registered as *instance*; KeyError when there is none."""
        return self._find(instance).plugin

    def name_of(self, plugin: object) -> str:
        """Return the name of the instance that *plugin* is: what its table is called. KeyError for one not there."""
        for each in self._loaded:
            if each.plugin is plugin:
                return each.instance
        raise KeyError(f"{plugin!r} is not registered")

    def register(self, *plugins: LoadedPlugin) -> None:
        """Add *plugins*; a name that is taken, and a plugin that is there already, is a `PluginConfigError`."""
        present = list(self._loaded)
        for each in plugins:
            for other in present:
                if each.instance == other.instance:
                    raise PluginConfigError(each.instance, each.origin, "this name is taken by another plugin.")
                if each.plugin is other.plugin:
                    message = f"it is the very object that is registered as '{other.instance}'; build another."
                    raise PluginConfigError(each.instance, each.origin, message)
            present.append(each)
        self._rebuild(present)

    def unregister(self, instance: str) -> Any:
        """Take a plugin out and return it; its hooks are not called again. KeyError when it is not there."""
        removed = self._find(instance)
        self._rebuild([each for each in self._loaded if each is not removed])
        return removed.plugin

    def refresh(self) -> None:
        """Look anew at which hooks each plugin implements.

        For one that has masked hooks of its own with None, or put them back, since it knows what there is to do now.
        It takes a millisecond, and for hooks that are put back some more: once a run, and not in each step.
        """
        if self._masks <= masks_of(self._loaded):
            self._freeze()  # which looks for masks; pluggy knows of all there is
        else:
            self._rebuild(self._loaded)

    def chain(self, hook: str) -> list[str]:
        """Return the names of the plugins that implement *hook*, in the order in which they are called."""
        return [each.plugin_name for each in self.implementations(hook)]

    def implementations(self, hook: str) -> list[Implementation]:
        """Return who implements *hook*, in call order."""
        own = {each.instance for each in self._loaded if each.builtin}
        found = [each for each in getattr(self._pluggy.hook, hook).get_hookimpls() if not is_masked(each)]
        return call_order(found, self._infos[hook].kind, own)

    def timings(self) -> list[Timing]:
        """Return the time per plugin and hook, the slowest first."""
        used = (each for each in self._timings.values() if each.calls)
        return sorted(used, key=lambda each: each.seconds, reverse=True)

    def state_dict(self, *, step: int = 0, plain: bool = False) -> dict[str, dict[str, Any]]:
        """Return ``{instance: {"version": ..., "state": ...}}`` of each plugin with a state; *step* is for errors.

        Call `run.flush_rows` first: what a plugin says of rows holds for those that it was given.
        Where it is to be saved (*plain*), a state that could not be loaded again is an error now, when something can be
        done about it.
        """
        states = {}
        for each in filter(has_state, self._loaded):
            with self._attributed(each, "state_dict", step):
                state = each.plugin.state_dict()
                if plain:
                    from hookloop.plain_state import check_plain  # here, since it needs torch

                    check_plain(state, "state")
                states[each.instance] = {"version": each.version, "state": state}
        return states

    def load_state_dict(self, states: Mapping[str, Mapping[str, Any]], *, step: int = 0) -> None:
        """Give each plugin its state back; one without a saved state, or a state without a plugin, is a warning."""
        stateful = {each.instance: each for each in filter(has_state, self._loaded)}
        for name in sorted(stateful.keys() - states.keys()):
            log.warning("plugin '%s' has no state in this checkpoint and starts afresh", name)
        for name in sorted(states.keys() - stateful.keys()):
            why = "takes no state" if name in self else "is not active"
            log.warning("the checkpoint holds a state of plugin '%s', which %s: it is dropped", name, why)
        for name, each in stateful.items():
            if name in states:
                with self._attributed(each, "load_state_dict", step):
                    each.plugin.load_state_dict(states[name]["state"])

    # What dispatch asks of its supervisor.

    def timing(self, plugin: str, hook: str) -> Timing | None:
        """Return the counter of a plugin's hook; the engine's own plugins have none."""
        if self._known[plugin].builtin:
            return None
        return self._timings.setdefault((plugin, hook), Timing(plugin, hook))

    def failed(self, timing: Timing, error: BaseException, arguments: tuple[Any, ...]) -> None:
        """Put the plugin's name on *error* and raise it, unless the plugin's policy is to go on without it."""
        plugin = self._known.get(timing.plugin)  # None for the engine's own
        if plugin is None or not isinstance(error, Exception) or isinstance(error, Skip) or is_of_another(error):
            raise error
        step = getattr(arguments[0], "step", 0) if arguments else 0
        self._judge(plugin, timing.hook, step, error)

    @contextmanager
    def _attributed(self, plugin: LoadedPlugin, method: str, step: int) -> Iterator[None]:
        """Treat what *method*, which is no hook, raises like the error of a hook."""
        try:
            yield
        except Exception as error:
            if is_of_another(error):
                raise
            self._judge(plugin, method, step, error)

    def _judge(self, plugin: LoadedPlugin, hook: str, step: int, error: Exception) -> None:
        if plugin.on_error == "raise":
            blame(error, PluginHookError(plugin.instance, plugin.origin, hook, step, error))
            raise error
        disable = plugin.on_error == "disable"
        if disable and plugin.instance in self:
            self.unregister(plugin.instance)
        for known in self.failures:
            if (known.plugin, known.hook) == (plugin.instance, hook):
                known.count += 1
                return
        self.failures.append(Failure(plugin.instance, hook, step, f"{type(error).__name__}: {error}", disabled=disable))
        log.error(
            "plugin '%s' (%s) failed in %s at step %d; %s, training goes on (on_error = \"%s\")",
            plugin.instance,
            plugin.origin,
            hook,
            step,
            "it is switched off" if disable else "further failures there are only counted",
            plugin.on_error,
            exc_info=error,
        )

    def _find(self, instance: str) -> LoadedPlugin:
        for each in self._loaded:
            if each.instance == instance:
                return each
        raise KeyError(instance)

    def _rebuild(self, plugins: Sequence[LoadedPlugin]) -> None:
        """Register all anew: pluggy calls in reverse order of registration, so only a fresh manager keeps our order."""
        ordered = sort_plugins(plugins, self._order)
        fresh = pluggy.PluginManager(PROJECT)
        for specification in self._specifications:
            fresh.add_hookspecs(specification)
        for each in reversed(ordered):
            fresh.register(each.plugin, name=each.instance)
        self._pluggy, self._loaded, self._masks = fresh, ordered, masks_of(ordered)
        self._known.update({each.instance: replace(each, plugin=None, options=None) for each in ordered})
        self._freeze()

    def _freeze(self) -> None:
        for name, info in self._infos.items():
            specification = getattr(self._pluggy.hook, name).spec
            here = info.scope == "all" or self._rank == 0
            implementations = self.implementations(name) if here else []
            parameters = specification.argnames + specification.kwargnames
            supervisor = self.postponed if info.kind == "deferred" else self
            setattr(self.hooks, name, freeze(name, info, parameters, implementations, supervisor))


def has_state(loaded: LoadedPlugin) -> bool:
    """Return whether a plugin takes part in checkpoints: it can both give its state and take it back."""
    return hasattr(loaded.plugin, "state_dict") and hasattr(loaded.plugin, "load_state_dict")

"""Commands that plugins add: known by name from their metadata, imported when one of them is called.

The entry-point group ``hookloop.commands`` maps a command to the same class that the group ``hookloop`` has for the
plugin. A plugin that is switched on by ``-p`` before the command adds its commands without that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from cyclopts import CommandCollisionError, Group

from hookloop._version import __version__
from hookloop.blame import culprit
from hookloop.cli.app import OWN_COMMANDS
from hookloop.config import ConfigTree
from hookloop.discovery import find_candidates
from hookloop.draft import select
from hookloop.errors import ConfigError, PluginConfigError, PluginLoadError, Problem
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.loading import LoadedPlugin, assemble, load
from hookloop.manager import PluginManager
from hookloop.names import canonical
from hookloop.plan import spec_parameters
from hookloop.plugin_options import validate_options
from hookloop.policy import Policy, with_switches
from hookloop.requests import Request
from hookloop.selection import Decision, decide

if TYPE_CHECKING:
    from cyclopts import App

GROUP = "hookloop.commands"


@dataclass(frozen=True)
class Announced:
    """A command that a distribution says one of its plugins adds."""

    name: str
    value: str
    distribution: str
    version: str

    @property
    def origin(self) -> str:
        """The distribution with its version."""
        return f"{self.distribution} {self.version}".strip()


def add_plugin_commands(app: App, words: Sequence[str], switches: Sequence[str]) -> None:
    """Add to *app* the commands of the plugins in *switches*, and that of *words*; name all others for the help.

    Raises ConfigError or PluginError for a plugin whose command is wanted and cannot be had.
    """
    for decision in switched_on(switches):
        add_commands(app, load_with_defaults(decision))
    announced = announced_commands()
    for each in announced:
        if each.name in OWN_COMMANDS:
            message = f"{each.origin} adds a command '{each.name}', which is the engine's: left out"
            print(f"warning: {message}", file=sys.stderr)
    wanted = [each for each in announced if words and each.name == words[0] and each.name not in app]
    if len(wanted) > 1:
        origins = " and ".join(each.origin for each in wanted)
        raise ConfigError(f"the command '{words[0]}' is added by {origins}: uninstall one.")
    for each in wanted:
        add_announced(app, each, switches)
    group = Group("Of plugins", sort_key=5)
    for each in announced:
        if each.name not in app:
            app.command(placeholder(each), name=each.name, help=f"Added by {each.origin}.", group=group)


def announced_commands() -> list[Announced]:
    """Return the commands in the metadata of all distributions, sorted; nothing is imported."""
    entries = metadata.entry_points(group=GROUP)
    found = {Announced(each.name, each.value, each.dist.name, each.dist.version) for each in entries if each.dist}
    return sorted(found, key=lambda each: (each.name, each.origin))


def switched_on(switches: Sequence[str]) -> list[Decision]:
    """Return the plugins that ``-p`` switches on. Raises ConfigError for a name of nothing."""
    if not switches:
        return []
    problems: list[Problem] = []
    decisions, _ = select(ConfigTree(), (), switches, os.environ, problems, thorough=False)
    if problems:
        raise ConfigError(problems)
    return [each for each in decisions if each.wanted and each.request and each.request.where.startswith("-p")]


def add_announced(app: App, announced: Announced, switches: Sequence[str]) -> None:
    """Import the plugin that *announced* comes from and let it add its commands."""
    candidates = find_candidates()
    own = [
        each
        for each in candidates
        if each.value == announced.value and canonical(each.distribution) == canonical(announced.distribution)
    ]
    if not own:
        message = f"its group {GROUP} names {announced.value}, which is no plugin of its group hookloop."
        raise PluginLoadError(announced.name, announced.origin, message)
    request = Request(own[0].name, use=own[0].name, where=f"the command {announced.name}")
    decisions = decide(candidates, [request], with_switches(Policy(), switches, os.environ), __version__)
    loaded = load_with_defaults(next(each for each in decisions if each.request is request))
    add_commands(app, loaded)
    if announced.name not in app:
        message = f"its group {GROUP} names the command '{announced.name}', and its add_commands did not add it."
        raise PluginConfigError(loaded.instance, loaded.origin, message)


def load_with_defaults(decision: Decision) -> LoadedPlugin:
    """Import and build the plugin of *decision* with default options."""
    target = load(decision)
    try:
        options = validate_options(target, {}, decision)
    except ValueError as error:
        message = f"a plugin that adds commands must be built without options, and its Config is not: {error}"
        raise PluginConfigError(decision.instance, decision.origin, message) from error
    return assemble(decision, target, options, spec_parameters())


def add_commands(app: App, loaded: LoadedPlugin) -> None:
    """Call the plugin's hook ``add_commands``, if it has one."""
    if "add_commands" not in loaded.hooks:
        return
    manager = PluginManager(SPECIFICATIONS)
    manager.register(loaded)
    try:
        manager.hooks.add_commands(app)
    except CommandCollisionError as error:
        message = f"its add_commands adds a command that is there already: {error}."
        raise PluginConfigError(loaded.instance, loaded.origin, message) from error
    except Exception as error:
        raise culprit(error) or error from error


def placeholder(announced: Announced) -> Callable[[], None]:
    """Return what stands for a command in the help; the command itself is never called by this name unloaded."""

    def command() -> None:
        raise ConfigError(f"the command '{announced.name}' of {announced.origin} stands at the beginning of the line.")

    return command

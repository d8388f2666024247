"""Looks at plugins for `hookloop plugins`: what becomes of each, and what one of them is and takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hookloop._version import __version__
from hookloop.config import ConfigTree
from hookloop.discovery import Candidate, find_candidates
from hookloop.draft import check_plugins, select
from hookloop.errors import ConfigError, PluginError, Problem
from hookloop.inspection import inspect_plugin, role_of
from hookloop.loading import LoadedPlugin, assemble, build, load
from hookloop.locations import is_location, location_name
from hookloop.plan import spec_parameters
from hookloop.plugin_options import validate_options
from hookloop.selection import Decision, Policy, Request, decide

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class Row:
    """One plugin in the list. ``role`` and ``hooks`` are known of those that were imported, the active ones."""

    name: str
    plugin: str
    version: str
    distribution: str
    state: str
    reason: str
    role: str = ""
    hooks: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """The state, with what it is due to unless the plugin is simply there."""
        return f"{self.state} ({self.reason})" if self.reason and self.state != "active" else self.state


def survey(tree: ConfigTree, switches: Sequence[str], environ: Mapping[str, str]) -> tuple[list[Row], list[Problem]]:
    """Return a row for each plugin, and what is wrong with the configuration and stands in no row.

    Those that are switched on are imported and built; one that cannot be is a row as well.
    """
    problems: list[Problem] = []
    decisions, _ = select(tree, (), switches, environ, problems, thorough=True)
    rows = [row_of(tree, each, environ) for each in decisions]
    told = {each.reason for each in decisions}
    return rows, [each for each in problems if each.message not in told]


def row_of(tree: ConfigTree, decision: Decision, environ: Mapping[str, str]) -> Row:
    """Return what became of one plugin."""
    candidate = decision.candidate
    state: str = decision.state
    reason, loaded = decision.reason, None
    if state == "active" and candidate is not None:
        loaded, failure = try_to_load(tree, decision, environ)
        if failure:
            state, reason = "failed", failure
    return Row(
        name=decision.instance,
        plugin=candidate.name if candidate else "",
        version=candidate.version if candidate else "",
        distribution=candidate.distribution if candidate else "",
        state=state,
        reason=reason,
        role=loaded.role if loaded else "",
        hooks=loaded.hooks if loaded else (),
    )


def try_to_load(tree: ConfigTree, decision: Decision, environ: Mapping[str, str]) -> tuple[LoadedPlugin | None, str]:
    """Return the plugin of *decision*, or why it cannot be had."""
    problems: list[Problem] = []
    checked, failures = check_plugins(tree, [decision], environ, problems)
    if problems or failures:
        return None, "; ".join([*map(str, problems), *(bare_message(error) for _, error in failures)])
    try:
        return assemble(decision, checked[0].target, checked[0].options, spec_parameters()), ""
    except PluginError as error:
        return None, bare_message(error)


def bare_message(error: PluginError) -> str:
    """Return the message of *error* without the name and the switch, for a place that is about that plugin anyway."""
    text = str(error).removeprefix(f"plugin '{error.plugin}' ({error.distribution}): ")
    return text.removesuffix(f" Switch it off with: -p no:{error.plugin}")


def find_decision(name: str) -> Decision:
    """Return the decision to switch on the plugin *name*, an installed one or a location, whatever else is on or off.

    Raises ConfigError, with a suggestion, when there is none.
    """
    instance = location_name(name) if is_location(name) else name
    request = Request(instance, use=name, where="the command line")
    decisions = decide(find_candidates(), [request], Policy(), __version__)
    decision = next(each for each in decisions if each.request is request)
    if decision.candidate is None:
        raise ConfigError(decision.reason)
    return decision


@dataclass(frozen=True)
class Portrait:
    """One plugin, imported. ``model`` is its ``Config``; ``sample`` an object to look at, None when none can be had."""

    decision: Decision
    candidate: Candidate
    target: object
    model: type[BaseModel] | None
    sample: object | None

    @property
    def origin(self) -> str:
        """The distribution with its version."""
        return self.candidate.origin


def portray(decision: Decision) -> Portrait:
    """Import the plugin of *decision* alone. Raises PluginError when it cannot be imported or has no valid Config."""
    from hookloop.plugin_options import config_model

    target = load(decision)
    assert decision.candidate is not None, "load() has refused a decision without a candidate"
    return Portrait(decision, decision.candidate, target, config_model(target, decision), sample_of(target, decision))


def sample_of(target: object, decision: Decision) -> Any:
    """Return an object of the plugin to look at.

    A class is not called, as its options may be required and what it does with them is not wanted here. A factory is
    called with default options; None when it cannot be.
    """
    if inspect.isclass(target):
        try:
            return object.__new__(target)
        except TypeError:
            return None
    try:
        return build(target, validate_options(target, {}, decision), decision)
    except (PluginError, ValueError):
        return None


def role_and_hooks(portrait: Portrait) -> tuple[str, tuple[str, ...]]:
    """Return both, empty when no object could be had. Raises PluginConfigError for what would not work as written."""
    if portrait.sample is None:
        return "", ()
    instance, origin = portrait.decision.instance, portrait.origin
    hooks = inspect_plugin(portrait.sample, spec_parameters(), instance, origin)
    return role_of(portrait.sample, instance, origin), hooks


def entry_point_of(candidate: Candidate) -> str:
    """Return where the plugin's code is, as its distribution says."""
    return f"{candidate.name} = {candidate.value}" if candidate.source == "entry point" else candidate.value

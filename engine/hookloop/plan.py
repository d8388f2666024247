"""From a configuration to a plan: everything checked that can be before data, model or device are touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hookloop.components import Component
from hookloop.config import ConfigTree
from hookloop.draft import read_draft
from hookloop.errors import Problem
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.loading import LoadedPlugin, assemble
from hookloop.options import RunOptions
from hookloop.selection import Decision, Policy, Request

NO_TASK = Problem("", "task", 'there is no task: write [task] and use = "file.py:attr" below it.')


@dataclass(frozen=True)
class Plan:
    """A configuration that passed its checks, with the active plugins loaded and their options validated."""

    tree: ConfigTree
    options: RunOptions
    task: Component
    loss: Component | None
    optimizer: Component | None
    schedule: Component | None
    metrics: Mapping[str, Component]
    plugins: Sequence[LoadedPlugin]
    decisions: Sequence[Decision]
    policy: Policy


def make_plan(
    tree: ConfigTree,
    *,
    given: Sequence[Request] = (),
    switches: Sequence[str] = (),
    environ: Mapping[str, str],
) -> Plan:
    """Check *tree* and load the plugins that it, *switches* (``-p``) and *environ* switch on, and those *given*.

    Raises ConfigError with all problems at once, or the PluginError of a plugin that cannot be loaded.
    """
    draft = read_draft(tree, given=given, switches=switches, environ=environ, thorough=False)
    error = draft.error(*([] if "task" in tree.data else [NO_TASK]))
    if error is not None:
        raise error
    plugins = [assemble(each.decision, each.target, each.options, spec_parameters()) for each in draft.checked]
    parts = {**dict.fromkeys(("loss", "optimizer", "schedule")), **draft.parts}
    return Plan(tree, draft.options, plugins=plugins, decisions=draft.decisions, policy=draft.policy, **parts)


def spec_parameters() -> dict[str, tuple[str, ...]]:
    """Return the parameters of every hook."""
    return {
        name: tuple(each for each in function.__code__.co_varnames[: function.__code__.co_argcount] if each != "self")
        for specification in SPECIFICATIONS
        for name, function in vars(specification).items()
        if hasattr(function, "__hookloop__")
    }

"""Reads a configuration to its end whatever is wrong with it: every mistake is found at once, and nothing is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookloop._version import __version__
from hookloop.components import read_component
from hookloop.config import (
    TOP_LEVEL_TABLES,
    ConfigTree,
    check_tables,
    dotted,
    render_validation_error,
    resolve_secrets,
    split_key,
    where,
)
from hookloop.discovery import find_candidates
from hookloop.errors import ConfigError, HookloopError, PluginError, Problem
from hookloop.loading import load, validate_options
from hookloop.options import RunOptions, read_run_options
from hookloop.requests import RESERVED_KEYS
from hookloop.selection import Decision, Policy, Request, decide, find_problems, read_requests, with_switches

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class Checked:
    """A plugin that is switched on and was imported, with its class or factory and its valid options."""

    decision: Decision
    target: object
    options: BaseModel | None


@dataclass(frozen=True)
class Draft:
    """What can be read of a configuration, right or wrong, and everything that is wrong with it.

    ``parts`` are the components by table name, and the metrics by their own. ``failures`` are the plugins that could
    not be imported or take no such options, each with the problem that tells of it.
    """

    tree: ConfigTree
    options: RunOptions
    parts: Mapping[str, Any]
    decisions: Sequence[Decision]
    policy: Policy
    checked: Sequence[Checked]
    problems: Sequence[Problem]
    failures: Sequence[tuple[Problem, PluginError]]

    def error(self, *more: Problem) -> HookloopError | None:
        """Return everything that is wrong as one error; that of a plugin as it is, when nothing else is wrong."""
        problems = [*self.problems, *more]
        if not problems and len(self.failures) < 2:
            return self.failures[0][1] if self.failures else None
        error = ConfigError(in_order_of_place([*problems, *(problem for problem, _ in self.failures)]))
        if self.failures:
            error.__cause__ = ExceptionGroup("plugins that cannot be used", [each for _, each in self.failures])
        return error


def in_order_of_place(problems: Sequence[Problem]) -> list[Problem]:
    """Return *problems* as a reader of the files meets them, those that stand in no file at last."""

    def place(problem: Problem) -> tuple[bool, str, int]:
        file, _, line = problem.where.rpartition(":")
        return (False, file, int(line)) if line.isdecimal() else (True, "", 0)

    return sorted(problems, key=place)


def read_draft(
    tree: ConfigTree,
    *,
    given: Sequence[Request] = (),
    switches: Sequence[str] = (),
    environ: Mapping[str, str],
    thorough: bool = True,
) -> Draft:
    """Read *tree* and import the plugins as for a plan, to the end whatever is wrong; no plugin is built.

    *thorough* also judges the plugins that are not on, for those who list them.
    """
    known = {table: RunOptions.__annotations__ if table == "run" else () for table in TOP_LEVEL_TABLES}
    problems = check_tables(tree, known)
    options, run_problems = read_run_options(table_of(tree, "run"))
    problems += [at(tree, ("run", key), message) for key, message in run_problems.items()]
    parts = read_parts(tree, problems)
    decisions, policy = select(tree, given, switches, environ, problems, thorough=thorough)
    checked, failures = check_plugins(tree, decisions, environ, problems)
    return Draft(tree, options, parts, decisions, policy, checked, problems, failures)


def table_of(tree: ConfigTree, name: str) -> Mapping[str, Any]:
    """Return the top-level table *name*, empty when it is missing or no table at all."""
    table = tree.data.get(name)
    return table if isinstance(table, dict) else {}


def at(tree: ConfigTree, path: tuple[str, ...], message: str) -> Problem:
    """Return *message* as a problem with the value at *path*."""
    return Problem(where(tree, path), dotted(path), message)


def read_parts(tree: ConfigTree, problems: list[Problem]) -> dict[str, Any]:
    """Return the components by table name, and the metrics by their own; what is wrong goes to *problems*."""
    parts: dict[str, Any] = {"metrics": {}}

    def read(into: dict[str, Any], path: tuple[str, ...], default_use: str | None = None) -> None:
        try:
            component = read_component(tree, path, default_use)
        except ConfigError as error:
            problems.extend(error.problems)
            return
        if component is not None:
            into[path[-1]] = component

    for table in ("task", "loss", "optimizer", "schedule"):
        read(parts, (table,))
    for name in table_of(tree, "metrics"):
        read(parts["metrics"], ("metrics", name), default_use=name)
    return parts


def select(
    tree: ConfigTree,
    given: Sequence[Request],
    switches: Sequence[str],
    environ: Mapping[str, str],
    problems: list[Problem],
    *,
    thorough: bool,
) -> tuple[tuple[Decision, ...], Policy]:
    """Decide about every installed and every requested plugin."""

    def place(key: str) -> str:
        return where(tree, split_key(key))

    def base(key: str) -> Path:
        return tree.base(split_key(key))

    requests, policy, wrong = read_requests(table_of(tree, "plugins"), place, base)
    policy = with_switches(policy, switches, environ)
    decisions = decide(find_candidates(), [*requests, *given], policy, __version__, thorough=thorough)
    problems += [*wrong, *find_problems(decisions, policy)]
    return decisions, policy


def check_plugins(
    tree: ConfigTree, decisions: Sequence[Decision], environ: Mapping[str, str], problems: list[Problem]
) -> tuple[list[Checked], list[tuple[Problem, PluginError]]]:
    """Import the plugins that are switched on and check their options; return those that can be built, and the others.

    What is wrong with options goes to *problems*, with its place in the file.
    """
    checked: list[Checked] = []
    failures: list[tuple[Problem, PluginError]] = []
    for decision in decisions:
        if not decision.wanted or decision.candidate is None:  # one of no name is told by find_problems, with its place
            continue
        before = len(problems)
        try:
            target = load(decision)
            options = read_options(tree, decision, target, environ, problems)
        except PluginError as error:
            failures.append((Problem(decision.request.where if decision.request else "", "", str(error)), error))
            continue
        if len(problems) == before:
            checked.append(Checked(decision, target, options))
    return checked, failures


def read_options(
    tree: ConfigTree, decision: Decision, target: object, environ: Mapping[str, str], problems: list[Problem]
) -> BaseModel | None:
    """Return the validated options of one plugin; what is wrong with them goes to *problems*."""
    table = decision.request.table if decision.request else {}
    prefix = ("plugins", decision.instance)
    resolved, missing = resolve_secrets(table, environ, tree, prefix)
    problems += missing
    try:
        return validate_options(target, resolved, decision)
    except ValueError as error:
        if not hasattr(error, "errors"):
            raise
        model = getattr(target, "Config")  # noqa: B009 - target is an object of any kind
        problems += render_validation_error(error, model, tree, prefix, also_known=RESERVED_KEYS)  # type: ignore[arg-type]
        return None

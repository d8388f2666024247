"""Decides what becomes of each plugin that is installed or asked for, and why, before any of them is imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hookloop.discovery import (
    Candidate,
    duplicates,
    from_argument,
    incompatibility,
    known_distributions,
    owner_of,
    unknown_plugin,
)
from hookloop.errors import ConfigError, Problem
from hookloop.locations import is_location, location_name
from hookloop.names import canonical, kebab
from hookloop.policy import ALLOW_VARIABLE, DENY_VARIABLE, Policy, with_switches
from hookloop.requests import Request, read_python, read_requests
from hookloop.verdict import judge

__all__ = [
    "Decision",
    "Policy",
    "Request",
    "State",
    "decide",
    "find_problems",
    "read_python",
    "read_requests",
    "with_switches",
]

State = Literal["active", "available", "disabled", "incompatible", "shadowed", "failed"]


@dataclass(frozen=True)
class Decision:
    """What becomes of one instance, or of one installed plugin that nobody wrote down (``request`` is then None).

    ``wanted`` says that it is switched on: such a plugin is loaded, and when its state is not active that is an error.
    ``candidate`` is None when nothing of that name is installed.
    """

    instance: str
    state: State
    reason: str
    wanted: bool
    candidate: Candidate | None
    request: Request | None

    @property
    def origin(self) -> str:
        """The distribution with its version, as errors name it."""
        return self.candidate.origin if self.candidate else "not installed"


def decide(
    candidates: Sequence[Candidate],
    requests: Sequence[Request],
    policy: Policy,
    engine_version: str,
    *,
    thorough: bool = True,
) -> tuple[Decision, ...]:
    """Return one decision for each requested instance and each other candidate, sorted by name; nothing is imported.

    Unless *thorough*, what is not switched on is not asked whether it goes with this engine: a run need not know.

    It never raises: what is wrong is a state, and `find_problems` tells what of it is a mistake in the configuration.
    """
    asked = _with_switched_on(requests, policy, candidates)
    used = {canonical(each.use) for each in asked if each.target is None}
    taken = {canonical(each.instance): each for each in asked}
    doubles = duplicates(candidates)
    decisions = []
    for request in asked:
        candidate, failure = _find(request, candidates, doubles, [each.instance for each in asked])
        decisions.append(_decide(request.instance, candidate, request, failure, policy, engine_version, thorough))
    for candidate in candidates:
        name = canonical(candidate.name)
        if name in taken and name not in used:
            reason = f"by {taken[name].place}"
            decisions.append(Decision(candidate.name, "shadowed", reason, False, candidate, None))
        elif name not in used:
            failure = _name_providers(doubles[name]) if name in doubles else ""
            decisions.append(_decide(candidate.name, candidate, None, failure, policy, engine_version, thorough))
    return tuple(sorted(decisions, key=lambda each: (canonical(each.instance), each.origin)))


def find_problems(decisions: Sequence[Decision], policy: Policy) -> list[Problem]:
    """Return what a user has to correct: names of nothing, one name for two instances, the engine's parts as plugins.

    A name in ``order`` or switched off may also be that of a first-party plugin that is not installed: then it is no
    slip of the pen, and there is nothing to put in order or to switch off.
    """
    written = [(each.request, each) for each in decisions if each.request]
    problems = [
        Problem(request.where, request.key, each.reason)
        for request, each in written
        if each.candidate is None and each.state == "failed"
    ]
    counts = Counter(canonical(request.instance) for request, _ in written)
    for request, each in written:
        if counts[canonical(request.instance)] > 1:
            message = f"more than one plugin is named '{request.instance}': each instance needs a name of its own."
            problems.append(Problem(request.where, request.key, message))
        if _is_builtin(each):
            message = f"'{request.use}' is a part of the engine: it has no options and is always on."
            problems.append(Problem(request.where, request.key, message))
    return problems + list(_misnamed(decisions, policy))


def _with_switched_on(requests: Sequence[Request], policy: Policy, candidates: Sequence[Candidate]) -> list[Request]:
    """Add a request with default options for each name that -p or the environment switches on and no request has."""
    asked = list(requests)
    spelled = {canonical(each.name): each.name for each in candidates}
    names = [(f"-p {name}", name) for name in policy.enable]
    names += [(ALLOW_VARIABLE, name) for name in policy.env_only or ()]
    for where, name in names:
        if any(canonical(name) in each.names for each in asked):
            continue
        instance = location_name(name) if is_location(name) else spelled.get(canonical(name), name)
        # `-p tools/stopper.py` beside [plugins.stopper]: the table has the options, the argument says whose they are.
        tables = [i for i, each in enumerate(asked) if each.names == {canonical(instance)} and each.target is None]
        if tables:
            asked[tables[0]] = replace(asked[tables[0]], use=name, base=None)
        else:
            asked.append(Request(instance, use=name, where=where))
    return asked


def _find(
    request: Request,
    candidates: Sequence[Candidate],
    doubles: dict[str, tuple[Candidate, ...]],
    instances: Iterable[str],
) -> tuple[Candidate | None, str]:
    """Return what *request* names, and why it cannot be used."""
    if request.target is not None:
        return _given(request), ""
    if is_location(request.use):
        try:
            return from_argument(request.use, request.base, request.where), ""
        except ConfigError as error:
            return None, error.problems[0].message
    name = canonical(request.use)
    if name in doubles:
        return doubles[name][0], _name_providers(doubles[name])
    found = next((each for each in candidates if canonical(each.name) == name), None)
    others = [each for each in instances if canonical(each) != name]
    return found, "" if found else unknown_plugin(request.use, candidates, others)


def _given(request: Request) -> Candidate:
    """Describe a class or an object that was given in Python."""
    kind = request.target if hasattr(request.target, "__qualname__") else type(request.target)
    module = str(getattr(kind, "__module__", "") or "__main__")
    distribution, version = owner_of(module)
    value = f"{module}:{getattr(kind, '__qualname__', kind)}"
    name = kebab(str(getattr(kind, "__name__", request.instance)))
    return Candidate(name, value, distribution, version, source="module")


def _name_providers(claimants: Sequence[Candidate]) -> str:
    origins = " and ".join(each.origin for each in claimants)
    ways = " or ".join(f'use = "{each.value}"' for each in claimants)
    return f"it is provided by {origins}: uninstall one, or say which with {ways}"


def _decide(
    instance: str,
    candidate: Candidate | None,
    request: Request | None,
    failure: str,
    policy: Policy,
    engine_version: str,
    thorough: bool,
) -> Decision:
    if candidate is not None and candidate.source == "built-in":
        return Decision(instance, "active", "part of the engine", True, candidate, request)
    verdict = judge(instance, candidate, request, policy)
    wanted = verdict is not None and verdict.on
    state: State = "active" if wanted else "available"
    reason = verdict.reason if verdict else ""
    if verdict and not verdict.on:
        state = "disabled"
    elif failure:
        state, reason = "failed", failure
    elif candidate and (wanted or thorough) and (conflict := incompatibility(candidate, engine_version)):
        state, reason = "incompatible", conflict
    return Decision(instance, state, reason, wanted, candidate, request)


def _is_builtin(decision: Decision) -> bool:
    return decision.candidate is not None and decision.candidate.source == "built-in"


def _misnamed(decisions: Sequence[Decision], policy: Policy) -> Iterator[Problem]:
    candidates = [each.candidate for each in decisions if each.candidate]
    instances = [each.instance for each in decisions]
    builtins = {canonical(each.instance) for each in decisions if _is_builtin(each)}
    known = {canonical(name) for name in (*instances, *(each.name for each in candidates), *known_distributions())}
    off = [(f"-p no:{name}", "", name) for name in policy.disable]
    off += [(DENY_VARIABLE, "", name) for name in policy.env_disable]
    off += [(policy.disable_where, "plugins.disable", name) for name in policy.file_disable]
    for where, key, name in off:
        if canonical(name) in builtins:
            yield Problem(where, key, f"'{name}' is a part of the engine and cannot be switched off.")
    for where, key, name in [*off, *((policy.order_where, "plugins.order", name) for name in policy.order)]:
        if canonical(name) not in known:
            yield Problem(where, key, unknown_plugin(name, candidates, instances))

"""Judges whether a plugin is on or off: the command line, then the environment, then the file, then being installed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hookloop.discovery import Candidate
from hookloop.names import canonical
from hookloop.policy import ALLOW_VARIABLE, DENY_VARIABLE, Policy
from hookloop.requests import Request


class Verdict(NamedTuple):
    """On or off, and who said so."""

    on: bool
    reason: str


def judge(instance: str, candidate: Candidate | None, request: Request | None, policy: Policy) -> Verdict | None:
    """Return the verdict of the highest that says anything of this plugin, or None; on a tie off wins."""
    names = request.names if request else frozenset({canonical(instance)})
    return (
        _by_command_line(names, policy)
        or _by_environment(names, policy)
        or _by_file(names, request, policy)
        or _by_installation(candidate, request, policy)
    )


def _by_command_line(names: frozenset[str], policy: Policy) -> Verdict | None:
    if name := _match(names, policy.disable):
        return Verdict(False, f"by -p no:{name}")
    if name := _match(names, policy.enable):
        return Verdict(True, f"by -p {name}")
    return None


def _by_environment(names: frozenset[str], policy: Policy) -> Verdict | None:
    if _match(names, policy.env_disable):
        return Verdict(False, f"by {DENY_VARIABLE}")
    if policy.env_only is not None:
        return Verdict(bool(_match(names, policy.env_only)), f"by {ALLOW_VARIABLE}")
    return None


def _by_file(names: frozenset[str], request: Request | None, policy: Policy) -> Verdict | None:
    if _match(names, policy.file_disable):
        return Verdict(False, f"by {policy.disable_where or '[plugins]'} disable")
    if request is None:
        return None
    if request.enabled is False:
        return Verdict(False, f"by {request.enabled_where or request.place} enabled = false")
    return Verdict(True, f"by {request.place}")


def _by_installation(candidate: Candidate | None, request: Request | None, policy: Policy) -> Verdict | None:
    if request is not None or candidate is None or not candidate.autoload:
        return None
    if policy.autoload:
        return Verdict(True, "by being installed")
    return Verdict(False, f"by {policy.autoload_where or '[plugins]'} autoload = false")


def _match(names: frozenset[str], listed: Iterable[str]) -> str:
    return next((name for name in listed if canonical(name) in names), "")

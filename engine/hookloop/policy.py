"""Who switches plugins on and off: the command line, then the environment, then the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

ALLOW_VARIABLE = "HOOKLOOP_PLUGINS"
DENY_VARIABLE = "HOOKLOOP_DISABLE_PLUGINS"


@dataclass(frozen=True)
class Policy:
    """Who switched what on and off: ``-p``, then the environment, then the file. ``env_only`` None is no allowlist."""

    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    env_only: tuple[str, ...] | None = None
    env_disable: tuple[str, ...] = ()
    file_disable: tuple[str, ...] = ()
    autoload: bool = True
    order: tuple[str, ...] = ()
    disable_where: str = ""
    autoload_where: str = ""
    order_where: str = ""


def with_switches(policy: Policy, flags: Sequence[str], environment: Mapping[str, str]) -> Policy:
    """Add to the *policy* of a file the values of ``-p`` and the two environment variables."""
    only = environment.get(ALLOW_VARIABLE)
    return replace(
        policy,
        enable=tuple(flag for flag in flags if not flag.startswith("no:")),
        disable=tuple(flag.removeprefix("no:") for flag in flags if flag.startswith("no:")),
        env_only=None if only is None else _split(only),
        env_disable=_split(environment.get(DENY_VARIABLE, "")),
    )


def _split(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())

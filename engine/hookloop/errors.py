"""Every error that hookloop raises on purpose: its text is written for the person who can fix the cause."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def suggest(word: str, candidates: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the candidate nearest to *word*, or an empty string when none is near."""
    near = difflib.get_close_matches(word, list(candidates), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


class HookloopError(Exception):
    """Base of all errors of hookloop; the command line prints the message without a traceback."""

    exit_code = 1


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a configuration: where it stands, which key it is about, and what to do."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.message) if part)


class ConfigError(HookloopError):
    """A configuration that cannot be run, with all of its problems at once."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems = (Problem("", "", problems),) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class DataError(HookloopError):
    """A loader that cannot be trained on: empty, or ended before the length it announced."""


class LogError(HookloopError):
    """The run's log, which everything else goes by, cannot be written. It is no plugin's fault, whoever flushes it."""


class SnapshotError(HookloopError):
    """A snapshot that cannot be written, found, read or exported; the message names the path and the way out."""


class SnapshotDamaged(SnapshotError):  # noqa: N818 - the state of a thing on disk, as FileExistsError is not
    """A snapshot that is incomplete, or not what was written."""


class PluginError(HookloopError):
    """Something is wrong with a plugin; the message names it, its distribution, the cause and how to switch it off."""

    exit_code = 2

    def __init__(self, plugin: str, distribution: str, message: str) -> None:
        self.plugin = plugin
        self.distribution = distribution
        super().__init__(f"plugin '{plugin}' ({distribution}): {message} Switch it off with: -p no:{plugin}")


class PluginLoadError(PluginError):
    """The plugin could not be found, imported or built."""


class PluginIncompatibleError(PluginError):
    """The plugin's distribution asks for another version of hookloop; it was not imported."""


class PluginConfigError(PluginError):
    """The plugin declares something that the engine cannot accept: its role, its hooks, its order, or its options."""


class PluginHookError(PluginError):
    """A hook of the plugin raised; ``__cause__`` is what it raised. A mistake in the configuration stays one."""

    exit_code = 1

    def __init__(self, plugin: str, distribution: str, hook: str, step: int, cause: BaseException) -> None:
        self.hook = hook
        self.step = step
        if isinstance(cause, ConfigError):
            self.exit_code = cause.exit_code
        reason = f"{type(cause).__name__}: {cause}".removesuffix(".")
        super().__init__(plugin, distribution, f"{hook} failed at step {step}: {reason}.")

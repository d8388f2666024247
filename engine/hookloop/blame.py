"""Whose an error is: it carries the name of the plugin that raised it, through whatever it passes."""

from __future__ import annotations

from hookloop.errors import LogError, PluginHookError


def blame(error: BaseException, verdict: PluginHookError) -> None:
    """Remember on *error* whose it is: it travels unchanged, so that wrappers and skips work as in pluggy."""
    error.__hookloop__ = verdict  # type: ignore[attr-defined]
    error.add_note(str(verdict))


def is_of_another(error: BaseException) -> bool:
    """Return whether *error* is known not to be of the plugin that it was raised in."""
    return isinstance(error, LogError) or culprit(error) is not None


def culprit(error: BaseException) -> PluginHookError | None:
    """Return the error that names the plugin which raised *error*, or None when it was not a plugin."""
    return getattr(error, "__hookloop__", None)

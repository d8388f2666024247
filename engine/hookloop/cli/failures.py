"""Tells a person, and a script, what went wrong; the exit code says whose it is to put right.

A mistake in a configuration or a command is a message, also where a plugin finds it. Only what nobody had a message for
comes with a traceback, without the engine's own frames: they lie between the user's lines and say nothing about them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from traceback import TracebackException, format_exception
from types import ModuleType

import cyclopts
import pluggy

import hookloop
from hookloop.cli.logs import process_rank
from hookloop.cli.output import emit_json
from hookloop.errors import ConfigError, HookloopError, PluginHookError

VARIABLE = "HOOKLOOP_TRACEBACK"
INTERRUPTED = 130


def report(error: BaseException, *, as_json: bool) -> int:
    """Tell of *error* on stderr, and on the first rank's stdout when it was asked *as_json*; return the exit code."""
    code = exit_code(error)
    print(describe(error), file=sys.stderr, flush=True)
    if as_json and process_rank() == 0:
        emit_json(as_document(error, code))
    return code


def exit_code(error: BaseException) -> int:
    """Return 130 for an interruption, 2 for a wrong configuration or plugin, 1 for a failure."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return error.exit_code if isinstance(error, HookloopError) else 1


def as_document(error: BaseException, code: int) -> dict[str, object]:
    """Return what a script wants to know of *error*."""
    problems = error.problems if isinstance(error, ConfigError) else ()
    return {
        "outcome": "interrupted" if code == INTERRUPTED else "failed",
        "error": message_of(error),
        "type": type(error).__name__,
        "problems": [vars(problem) for problem in problems],
        "exit_code": code,
    }


def message_of(error: BaseException) -> str:
    """Return the sentence that *error* is about."""
    return str(error) or type(error).__name__


def describe(error: BaseException) -> str:
    """Return what to tell a person about *error*; everything there is when HOOKLOOP_TRACEBACK is set to 1."""
    if os.environ.get(VARIABLE, "") not in ("", "0"):
        return "".join(format_exception(error)).rstrip()
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    cause = error.__cause__
    if isinstance(error, PluginHookError) and isinstance(cause, HookloopError):
        return "\n".join([*(note for note in getattr(cause, "__notes__", ()) if note != str(error)), str(error)])
    if isinstance(error, PluginHookError) and cause is not None:
        return f"{own_traceback(cause, told=str(error))}\n{error}"
    if isinstance(error, HookloopError):
        return "\n".join([str(error), *getattr(error, "__notes__", ())])
    return own_traceback(error)


def own_traceback(error: BaseException, *, told: str = "") -> str:
    """Return the traceback of *error* without the engine's frames, and without the note that is *told* anyway."""
    whole = TracebackException.from_exception(error)
    hidden = sum(hide_engine(part, told) for part in related(whole))
    hint = f"\n({hidden} frames of the engine are left out; {VARIABLE}=1 shows them)" if hidden else ""
    return "".join(whole.format()).rstrip() + hint


def related(part: TracebackException) -> Iterator[TracebackException]:
    """Yield *part*, its causes, and the members of a group, each with its own."""
    yield part
    for other in (part.__cause__, part.__context__, *(part.exceptions or ())):
        if other is not None:
            yield from related(other)


def hide_engine(part: TracebackException, told: str) -> int:
    """Take the frames of the engine out of *part* and return how many; an error of the engine itself keeps them."""
    own = [frame for frame in part.stack if not is_engine(frame.filename)]
    hidden = len(part.stack) - len(own)
    notes = getattr(part, "__notes__", None)
    if notes and told:
        part.__notes__ = [note for note in notes if note != told]
    if not own:
        return 0
    part.stack[:] = own
    return hidden


def is_engine(filename: str) -> bool:
    """Return whether *filename* belongs to the engine, or to what it calls hooks and commands with."""
    if filename.startswith("<frozen"):
        return True
    return any(Path(filename).is_relative_to(folder) for folder in map(folder_of, (hookloop, cyclopts, pluggy)))


def folder_of(module: ModuleType) -> Path:
    """Return the directory of a package."""
    return Path(module.__file__ or "").parent

"""Makes a message of what is true of the run now."""

from __future__ import annotations

import re
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hookloop_notify.channel import Message
from hookloop_notify.conditions import matching
from hookloop_notify.options import BODY
from hookloop_notify.templates import render

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_notify.options import NotifyConfig

MOST_OF_A_LINE = 500
MOST_OF_AN_ERROR = 2000
MOST_OF_A_SUBJECT = 200


@dataclass(frozen=True)
class Failure:
    """What a run failed with, as text: the error itself would keep alive whatever its frames hold."""

    error: str = ""
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException, lines: int, scrub: Callable[[str], str]) -> Failure:
        """Return the text of *error*, with the last *lines* of its traceback, without secrets.

        What is cut comes after that: half a secret would not be found any more.
        """
        told = traceback.TracebackException.from_exception(error)
        written = scrub("".join(told.format())).splitlines()
        last = [each[:MOST_OF_A_LINE] for each in written[max(0, len(written) - lines) :]]
        return cls(scrub(first_line(error))[:MOST_OF_AN_ERROR], "\n".join(last))


def first_line(error: BaseException) -> str:
    """Return the class of *error* and how its message begins."""
    try:
        text = str(error).strip().partition("\n")[0]
    except Exception:
        text = ""  # an error whose message fails is told by its class
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def compose(
    config: NotifyConfig,
    run: Run,
    scrub: Callable[[str], str],
    *,
    outcome: str,
    command: str,
    reason: str,
    summary: str,
    failure: Failure = Failure(),
    note: str = "",
    ends: bool = False,
) -> Message:
    """Return the message, without secrets; *note* stands below its body, whatever the template."""
    values = {name: f"{value:g}" for name, value in run.metrics.items()}
    chosen = [name for name in values if any(matching(pattern, [name]) for pattern in config.metrics)]
    fields = {
        "name": run.config.name,
        "summary": " ".join(scrub(summary).split())[:MOST_OF_A_SUBJECT],
        "outcome": outcome,
        "command": command,
        "reason": reason,
        "step": str(run.step),
        "epoch": str(run.epoch),
        "elapsed": clock_of(run.elapsed_seconds),
        "metrics": "\n".join(f"{name} = {values[name]}" for name in chosen),
        "error": failure.error,
        "traceback": failure.traceback,
        "directory": str(run.directory),
        "host": socket.gethostname(),
    }
    fields = {name: scrub(clean(text)) for name, text in fields.items()}
    subject = " ".join(render(config.subject, fields, values).split())[:MOST_OF_A_SUBJECT]
    body = closed_up(render(BODY if config.body is None else config.body, fields, values))
    return Message(fields, values, subject, "\n\n".join(filter(None, (body, scrub(note)))) + "\n", ends)


def clean(text: str) -> str:
    """Return *text* without what neither an e-mail nor an environment can hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def closed_up(text: str) -> str:
    """Return *text* with no more than one empty line at a place, and none at its ends."""
    return re.sub(r"\n\s*\n\s*\n", "\n\n", re.sub(r"\n[ \t]+(?=\n)", "\n", text)).strip("\n")


def clock_of(seconds: float) -> str:
    """Return *seconds* as hours, minutes and seconds."""
    minutes, left = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{left:02}"

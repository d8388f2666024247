"""How commands write: text in 80 columns, or one JSON document, to a standard output that may be closed at any time."""

from __future__ import annotations

import json
import os
import select
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

from hookloop.json_rows import to_json

WIDTH = 80
GAP = "  "


def emit(text: str) -> None:
    """Print *text*. When nobody reads any more, as after ``| head``, that is no error, and nothing more is written."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        silence()


def emit_json(value: Any) -> None:
    """Print *value* as one JSON document; JSON has no NaN and no infinity, they are strings that ``float()`` reads."""
    emit(json.dumps(to_json(value), indent=2))


def silence() -> None:
    """Let whatever is still written to standard output, at the interpreter's end as well, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def stdout_is_open() -> bool:
    """Return whether somebody still reads standard output, as far as can be told: a pipe may have broken elsewhere."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)  # errors are always told
    except (OSError, ValueError):
        return True  # an object in memory took its place
    return not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


@contextmanager
def reserved_stdout(reserved: bool) -> Iterator[None]:
    """Keep standard output for the one JSON document: what a task or a plugin prints meanwhile goes to stderr."""
    if not reserved:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return *rows* in aligned columns under *header*; the last column is wrapped, a line break in it is kept."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(header) - 1)]
    return "\n".join(_row(line, widths) for line in lines)


def _row(line: Sequence[str], widths: Sequence[int]) -> str:
    start = "".join(f"{cell:<{width}}{GAP}" for cell, width in zip(line, widths, strict=False))
    rest = max(WIDTH - len(start), 12)
    pieces = [piece for part in line[-1].split("\n") for piece in wrap(part, rest)] or [""]
    return f"\n{' ' * len(start)}".join([start + pieces[0], *pieces[1:]]).rstrip()


def wrap(text: str, width: int = WIDTH) -> list[str]:
    """Return *text* in lines of *width*; a word that is longer, such as a path, is left whole."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return names and values, one a line, the values aligned; an empty value leaves its line out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join(_row((name, value), [width]) for name, value in shown)

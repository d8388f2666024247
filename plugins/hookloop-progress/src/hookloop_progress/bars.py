"""Bars on a terminal, drawn by a thread of their own: drawing takes longer than a small training step."""

from __future__ import annotations

import logging
import math
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TextIO

from hookloop_progress import layout
from hookloop_progress.above import Above
from hookloop_progress.lines import writable
from hookloop_progress.view import View

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

log = logging.getLogger("hookloop.progress")


class Bars:
    """Redraws at most *refresh_hz* times a second, and only what has changed.

    Above the bars stands *opening*, and below them in the end *closing*, a function of the width; each may be empty.
    A display is never worth a run: when drawing fails, it ends with a warning and training goes on.
    """

    due = math.inf  # the thread knows itself when to draw

    def __init__(
        self,
        look: Callable[[], View],
        stream: TextIO,
        opening: str,
        closing: Callable[[int], str],
        refresh_hz: float,
    ) -> None:
        self._look = look
        self._stream = stream
        self._opening = opening
        self._closing = closing
        self._columns = 80
        self._period_seconds = 1 / refresh_hz
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._live: Live | None = None
        self._frame: list[Text] = []
        self._stand_ins: dict[str, Above] = {}

    def open(self) -> None:
        """Take the lower end of the terminal and start to draw."""
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream, force_terminal=True, highlight=False, markup=False, emoji=False)
        self._columns = console.width
        self._write(self._opening[: self._columns])
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._live.start()
        # Nothing runs after a SIGKILL, so the cursor that rich has just hidden is shown again now and not at the end.
        console.show_cursor(True)
        self._stand_in(console)
        thread = threading.Thread(target=self._draw_until_ended, name="hookloop-progress", daemon=True)
        thread.start()
        self._thread = thread  # not before, since one that a Ctrl-C kept from starting cannot be joined

    def draw(self, now: float) -> None:
        """Do nothing: the thread draws."""

    def end_epoch(self, now: float) -> None:
        """Do nothing: the thread draws."""

    def close(self) -> None:
        """End the thread, draw the last state, leave it standing, and write what the run came to below it."""
        self._ended.set()
        # In reverse, each of them even when an impatient Ctrl-C strikes in the one before.
        with ExitStack() as closing:
            closing.callback(self._attempt, self._write_closing)
            closing.callback(self._attempt, self._leave)
            closing.callback(self._attempt, self._redraw)
            if self._thread is not None:
                self._thread.join()

    def _draw_until_ended(self) -> None:
        while not self._ended.wait(self._period_seconds):
            self._attempt(self._redraw)

    def _attempt(self, draw: Callable[[], None]) -> None:
        """Draw; on failure, whatever it is, leave the terminal to others."""
        try:
            draw()
        except Exception as error:
            self._ended.set()
            live = self._live
            self._live = None
            self._restore_streams()
            if live is not None:
                log.warning("the progress bars failed and are switched off; training goes on", exc_info=error)
                silently(live.stop)

    def _redraw(self) -> None:
        if self._live is None:
            return
        frame = render(self._look(), self._live.console)
        if frame != self._frame:
            self._frame = frame
            # Leaving draws once more in any case.
            self._live.update(joined(frame), refresh=not self._ended.is_set())

    def _leave(self) -> None:
        """Leave the last frame where it is and the terminal as it was."""
        if self._live is not None:
            self._live.stop()
        self._restore_streams()

    def _write_closing(self) -> None:
        self._write(self._closing(self._columns))

    def _write(self, lines: str) -> None:
        if lines:
            self._stream.write(writable(lines, self._stream) + "\n")
            self._stream.flush()

    def _stand_in(self, console: Console) -> None:
        """Put stand-ins where others print to this terminal; what goes into a file is left alone."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and stream.isatty():
                stand_in = Above(stream, lambda lines: print_above(console, lines))
                self._stand_ins[name] = stand_in
                setattr(sys, name, stand_in)

    def _restore_streams(self) -> None:
        while self._stand_ins:
            name, stand_in = self._stand_ins.popitem()
            # Somebody may have redirected the stream in the meantime, and will put back what was there before.
            if getattr(sys, name) is stand_in:
                setattr(sys, name, stand_in._stream)
            silently(stand_in.release)


def render(view: View, console: Console) -> list[Text]:
    """Return the frame that shows *view* on *console*."""
    from rich.text import Text

    ascii_only = console.options.ascii_only
    rows = layout.rows(view, console.width, ascii_only=ascii_only)
    return [Text.assemble(*row, no_wrap=True, overflow="crop") for row in rows]


def joined(frame: list[Text]) -> Any:
    """Return the rows of *frame* one below the other."""
    from rich.console import Group

    return Group(*frame)


def print_above(console: Console, lines: str) -> None:
    """Print what somebody else wrote, colours included, above the bars."""
    from rich.text import Text

    console.print(Text.from_ansi(lines), soft_wrap=True)


def silently(function: Callable[[], object]) -> None:
    """Call what cleans up after a failure and may fail for the same reason."""
    try:
        function()
    except Exception:
        log.debug("while the progress bars were switched off", exc_info=True)

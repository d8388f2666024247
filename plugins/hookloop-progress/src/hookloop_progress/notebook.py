"""The display in a notebook: one output of the cell, which is written over as the run goes on."""

from __future__ import annotations

import contextvars
import logging
import math
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

from hookloop_progress import layout
from hookloop_progress.view import View

log = logging.getLogger("hookloop.progress")

COLUMNS = 80
MAX_HZ = 4.0


class Notebook:
    """Draws *opening* and the bars at most *refresh_hz* times a second, and *closing* below them in the end.

    What is drawn is plain text, which every front end shows as it is, and every viewer of a saved notebook. A display
    is never worth a run: when drawing fails, it ends with a warning and training goes on.
    """

    due = math.inf  # the thread knows itself when to draw

    def __init__(
        self, look: Callable[[], View], opening: str, closing: Callable[[int], str], refresh_hz: float
    ) -> None:
        self._look = look
        self._opening = opening
        self._closing = closing
        self._period_seconds = 1 / min(refresh_hz, MAX_HZ)
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._handle: Any = None
        self._shown = ""

    def open(self) -> None:
        """Begin the output, and start to draw."""
        display = import_module("IPython.display").display  # not a dependency: who runs a notebook has it
        self._shown = self._frame()
        self._handle = display({"text/plain": self._shown}, raw=True, display_id=True)
        # The kernel keeps in the context which cell an output belongs to.
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._draw_until_ended,), name="hookloop-progress", daemon=True
        )
        thread.start()
        self._thread = thread  # not before, since one that a Ctrl-C kept from starting cannot be joined

    def draw(self, now: float) -> None:
        """Do nothing: the thread draws."""

    def end_epoch(self, now: float) -> None:
        """Do nothing: the thread draws."""

    def close(self) -> None:
        """End the thread, and draw the last state with what the run came to."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._attempt(lambda: "\n\n".join(part for part in (self._frame(), self._closing(COLUMNS)) if part))

    def _draw_until_ended(self) -> None:
        while not self._ended.wait(self._period_seconds):
            self._attempt(self._frame)

    def _frame(self) -> str:
        rows = layout.rows(self._look(), COLUMNS)
        lines = ["".join(part.text for part in row) for row in rows]
        return "\n".join([self._opening, *lines] if self._opening else lines)

    def _attempt(self, make: Callable[[], str]) -> None:
        if self._handle is None:
            return
        try:
            text = make()
            if text != self._shown:
                self._shown = text
                self._handle.update({"text/plain": text}, raw=True)
        except Exception as error:
            self._ended.set()
            self._handle = None
            log.warning("the progress display failed and is switched off; training goes on", exc_info=error)


def in_notebook() -> bool:
    """Return whether a Jupyter kernel runs this; a terminal's IPython does not draw outputs."""
    # Nobody can be in a notebook without the module, and importing it takes long.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return shell is not None and hasattr(shell, "kernel")

"""An event file that a thread of its own writes, so that training waits for neither checksums nor the disk.

The thread looks every few seconds for what has come. To wake it for each event would cost training more than the event:
whichever of the two threads has the interpreter's lock, the other one waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from io import BufferedWriter
from pathlib import Path

from hookloop_tensorboard.records import record

log = logging.getLogger("hookloop.tensorboard")

Make = Callable[[], bytes]  # returns a serialized event, and is called in the thread that writes


class EventFile:
    """A file of events, in the order in which they came.

    ``error`` is what ended the writing: what comes after it is dropped, and nothing is raised.
    """

    def __init__(self, path: Path, flush_seconds: float) -> None:
        self.path = path
        self.flush_seconds = flush_seconds
        self.error: OSError | None = None
        self.items: deque[Make | threading.Event | None] = deque()
        self.awake = threading.Event()
        self.thread = threading.Thread(target=self.work, name=f"tensorboard {path.parent.name}", daemon=True)
        self.file: BufferedWriter

    def open(self) -> None:
        """Create the file, which must not exist, and begin to write what comes. Raises OSError."""
        self.file = self.path.open("xb")
        self.thread.start()

    def write(self, make: Make) -> None:
        """Write what *make* returns, within ``flush_seconds``."""
        self.items.append(make)

    def flush(self) -> None:
        """Return when all that was written is with the operating system, or cannot be."""
        done = threading.Event()
        self.items.append(done)
        self.awake.set()
        done.wait()

    def close(self) -> None:
        """Write what is left and end the thread."""
        self.items.append(None)
        self.awake.set()
        self.thread.join()

    def work(self) -> None:
        """Write what has come, again and again until the file is closed; the thread's own function."""
        open_still = True
        while open_still:
            self.awake.wait(self.flush_seconds)
            self.awake.clear()
            if self.items:
                open_still = self.write_all()
        try:
            self.file.close()
        except OSError as error:
            self.error = self.error or error

    def write_all(self) -> bool:
        """Write what has come; False when nothing more is to."""
        while self.items:
            item = self.items.popleft()
            if item is None:
                self.attempt(self.file.flush)
                return False
            if isinstance(item, threading.Event):
                self.attempt(self.file.flush)
                item.set()
            else:
                self.append(item)
        self.attempt(self.file.flush)
        return True

    def append(self, make: Make) -> None:
        """Append one event; one that cannot be made is left out."""
        if self.error is not None:
            return
        try:
            data = record(make())
        except Exception:
            log.warning("tensorboard: an event could not be made and is left out", exc_info=True)
            return
        self.attempt(lambda: self.file.write(data))

    def attempt(self, do: Callable[[], object]) -> None:
        """Do it, or remember why it could not be done."""
        if self.error is not None:
            return
        try:
            do()
        except OSError as error:
            self.error = error

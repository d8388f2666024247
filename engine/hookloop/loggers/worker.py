"""A thread that talks to whoever takes the rows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Worker:
    """A daemon thread that does jobs in order. What one raises goes to *failed*, and the next one has its turn."""

    def __init__(self, name: str, failed: Callable[[Exception], None]) -> None:
        self.failed = failed
        self.jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.thread = threading.Thread(target=self.work, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self.thread.start()

    def do(self, job: Callable[[], None]) -> None:
        """Have *job* done after those before it; returns at once."""
        self.jobs.put(job)

    def close(self, patience_seconds: float) -> bool:
        """End the thread once all is done, and return whether it came to that in time."""
        self.jobs.put(None)
        self.thread.join(patience_seconds)
        return not self.thread.is_alive()

    def work(self) -> None:
        """Do what there is to do, until there is to be no more of it."""
        while (job := self.jobs.get()) is not None:
            try:
                job()
            except Exception as error:
                self.failed(error)

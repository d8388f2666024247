"""A thread that calls a function at a steady rate, and always ends."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

JOIN_SECONDS = 5.0


class Sampler:
    """Calls *sample* every *interval_seconds* on a thread of its own, the first time at once.

    Deadlines are absolute, so the rate does not drift, and those that were missed are not made up for. When it is
    stopped it calls *sample* once more if there is something to add, and *close* in any case, on the same thread. What
    *sample* raises goes to *failed*, and the next one is taken all the same.
    """

    def __init__(
        self,
        interval_seconds: float,
        sample: Callable[[], None],
        *,
        close: Callable[[], None] = lambda: None,
        failed: Callable[[Exception], None] = lambda error: None,
        name: str = "hookloop-monitor",
    ) -> None:
        self.interval_seconds = interval_seconds
        self._sample = sample
        self._close = close
        self._failed = failed
        self._stopped = threading.Event()
        # A daemon: should a driver never return from a call, the process can still end.
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self, timeout_seconds: float = JOIN_SECONDS) -> bool:
        """End the thread and wait for it; False when it hangs in a call and was left behind."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        try:
            due = time.monotonic()
            while True:
                self._take()
                taken = time.monotonic()
                due = next_deadline(due, taken, self.interval_seconds)
                if self._stopped.wait(due - taken):
                    break
            # Rates over an instant are noise; what is left is worth a sample from a tenth of the interval on.
            if time.monotonic() - taken > self.interval_seconds / 10:
                self._take()
        finally:
            self._call(self._close)

    def _take(self) -> None:
        self._call(self._sample)

    def _call(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as error:
            self._failed(error)


def next_deadline(due: float, now: float, interval_seconds: float) -> float:
    """Return the first deadline after *now* of those that follow *due* at equal distances."""
    missed = max(0, math.floor((now - due) / interval_seconds))
    return due + (missed + 1) * interval_seconds

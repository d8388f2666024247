"""Takes one sample of everything, on the sampler's thread, and hands it to whoever wants it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from hookloop_monitor.notices import Notices

log = logging.getLogger("hookloop.monitor")

SLOW_EVERY = 10  # samples

Sample = Mapping[str, float]


class Reader(Protocol):
    """A source of readings, which is used on one thread."""

    def read(self, now: float, *, slow: bool) -> Sample:
        """Return name → value of what can be read at *now*, the slow ones only when asked for."""

    def close(self) -> None:
        """Let go of what is held."""


class Collector:
    """Reads from *openers*, each opened with the first sample, and calls *consumers* with all of it.

    An opener returns None when it has nothing to read. One that fails is told of once, and the others go on.
    """

    def __init__(
        self,
        openers: Mapping[str, Callable[[], Reader | None]],
        consumers: Sequence[Callable[[Sample], None]],
        notices: Notices,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._openers = openers
        self._consumers = consumers
        self._notices = notices
        self._clock = clock
        self._readers: dict[str, Reader] | None = None
        self._taken = 0

    def sample(self) -> None:
        """Take a sample."""
        if self._readers is None:
            self._readers = self._open()
        values: dict[str, float] = {}
        slow = self._taken % SLOW_EVERY == 0
        self._taken += 1
        for name, reader in self._readers.items():
            try:
                reading = reader.read(self._clock(), slow=slow)
            except Exception as error:
                self.fail(name, error)
            else:
                values.update({f"system/{metric}": float(value) for metric, value in reading.items()})
        for consume in self._consumers:
            consume(values)

    def close(self) -> None:
        """Close the readers."""
        readers, self._readers = self._readers or {}, {}
        for name, reader in readers.items():
            try:
                reader.close()
            except Exception as error:
                self.fail(name, error)

    def fail(self, name: str, error: Exception) -> None:
        """Say once that *name* cannot be read."""
        log.debug("%s", name, exc_info=error)
        self._notices.say(f"{name} cannot be read: {type(error).__name__}: {error}", key=(name, type(error).__name__))

    def _open(self) -> dict[str, Reader]:
        readers: dict[str, Reader] = {}
        for name, opener in self._openers.items():
            try:
                reader = opener()
            except Exception as error:
                self.fail(name, error)
                continue
            if reader is not None:
                readers[name] = reader
        return readers

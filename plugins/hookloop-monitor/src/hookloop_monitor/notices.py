"""Says a thing once: a sampler meets the same trouble with every sample."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable

log = logging.getLogger("hookloop.monitor")


class Notices:
    """Logs each message once; *also* is called with it as well, such as to write it into the timeline."""

    def __init__(self, also: Callable[[str], None] = lambda message: None) -> None:
        self._also = also
        self._said: set[Hashable] = set()

    def say(self, message: str, *, key: Hashable = None, level: int = logging.WARNING) -> None:
        """Log *message*, unless it, or another of the same *key*, was logged before."""
        key = message if key is None else key
        if key in self._said:
            return
        self._said.add(key)
        log.log(level, "monitor: %s", message)
        self._also(message)

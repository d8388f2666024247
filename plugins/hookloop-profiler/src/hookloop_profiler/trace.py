"""Spans of the host in the format of Chrome's tracing, which Perfetto opens as well."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter


class Trace:
    """Takes down spans in the order in which they end; times are in microseconds since the trace began."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self.clock = clock
        self.began = clock()
        self.events: list[dict[str, object]] = []

    @contextmanager
    def span(self, name: str, category: str) -> Iterator[None]:
        """Take down how long the body takes."""
        started = self.clock()
        try:
            yield
        finally:
            ended = self.clock()
            times = {"ts": (started - self.began) * 1e6, "dur": (ended - started) * 1e6}
            self.events.append({"name": name, "cat": category, "ph": "X", "pid": 0, "tid": 0, **times})

    def write(self, path: Path) -> None:
        """Write what was taken down."""
        path.write_text(json.dumps({"displayTimeUnit": "ms", "traceEvents": self.events}), encoding="utf-8")

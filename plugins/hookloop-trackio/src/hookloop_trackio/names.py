"""The names that a metric cannot have in trackio."""

from __future__ import annotations

from hookloop.loggers import COUNTERS

OWN = (*COUNTERS, "project", "run", "timestamp", "metrics")


class Reserved:
    """The names that trackio has a use of its own for: it would rename them, and warn."""

    def __contains__(self, name: object) -> bool:
        return name in OWN or str(name).startswith("__")


RESERVED = Reserved()

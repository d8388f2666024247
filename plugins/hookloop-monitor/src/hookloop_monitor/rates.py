"""Turns counters that only grow into rates; what has no rate yet is left out."""

from __future__ import annotations


class Rates:
    """Remembers the last reading of each counter."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, float]] = {}

    def per(self, name: str, counted: float, whole: float, scale: float = 1.0) -> dict[str, float]:
        """Return ``{name: scale * growth of counted / growth of whole}`` since the last call.

        The mapping is empty the first time, when *whole* did not grow, and when the counter was set back.
        """
        before = self._last.get(name)
        self._last[name] = (counted, whole)
        if before is None or whole <= before[1] or counted < before[0]:
            return {}
        return {name: scale * (counted - before[0]) / (whole - before[1])}

    def forget(self, name: str) -> None:
        """Begin anew with a counter."""
        self._last.pop(name, None)

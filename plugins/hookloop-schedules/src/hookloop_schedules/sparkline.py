"""A line of text that shows how a value goes up and down."""

from __future__ import annotations

from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int) -> str:
    """Return *values* as bars, from 0 to the highest, in *width* characters at most; each is the first of its share."""
    top = max(values, default=0.0)
    shown = [values[index * len(values) // width] for index in range(width)] if len(values) > width else values
    if top <= 0:
        return BARS[0] * len(shown)
    return "".join(BARS[min(int(value / top * len(BARS)), len(BARS) - 1)] for value in shown)

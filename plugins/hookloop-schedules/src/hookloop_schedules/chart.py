"""Draws lines as an SVG picture, with nothing but text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 76, 20, 44, 52
COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2")
MOST_POINTS = 2000  # of a line: more of them cannot be seen


@dataclass(frozen=True)
class Line:
    """Points to be joined, with a name."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    faint: bool = False


@dataclass(frozen=True)
class Axis:
    """A range of values laid over a range of pixels, evenly or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """Return the pixel of *value*."""
        low, high, here = (math.log10(each) if self.log else each for each in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (here - low) / (high - low)

    def ticks(self) -> list[float]:
        """Return values to be written beside the axis: powers of ten, or some five round ones."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            return [10.0**power for power in range(first, last + 1)]
        size = round_step((self.high - self.low) / 5.0)
        first = math.ceil(self.low / size - 1e-9)
        return [index * size for index in range(first, math.floor(self.high / size + 1e-9) + 1)]


def round_step(width: float) -> float:
    """Return the next of 1, 2 and 5 times a power of ten that is no less than *width*."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= width * (1 - 1e-9))


def axis_of(values: Sequence[float], start: float, end: float, *, log: bool = False) -> Axis:
    """Return an axis on which all *values* lie; equal ones lie in its middle."""
    low, high = min(values), max(values)
    if low == high:
        space = abs(low) or 1.0
        low, high = (low / 2.0, high * 2.0) if log else (low - space / 2.0, high + space / 2.0)
    return Axis(low, high, start, end, log)


def draw(
    lines: Sequence[Line], title: str, x_label: str, y_label: str, *, log_x: bool = False, mark: float | None = None
) -> str:
    """Return the SVG of *lines*, with a vertical line at *mark*. Lines may be empty; their values must be finite."""
    xs = [value for line in lines for value in line.x] or [1.0]
    ys = [value for line in lines for value in line.y] or [0.0]
    across = axis_of(xs, LEFT, WIDTH - RIGHT, log=log_x)
    up = axis_of(ys, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        label(title, LEFT, 18, size=14),
        *grid(across, up),
        label(x_label, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, anchor="middle"),
        label(y_label, LEFT - 60, TOP - 10),
        *(joined(line, COLOURS[index % len(COLOURS)], across, up) for index, line in enumerate(lines)),
        *legend(lines),
        *([] if mark is None else [marker(across.place(mark))]),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def grid(across: Axis, up: Axis) -> list[str]:
    """Return the lines and numbers of both axes."""
    parts = []
    for value in across.ticks():
        x = across.place(value)
        parts.append(rule(x, TOP, x, HEIGHT - BOTTOM))
        parts.append(label(f"{value:g}", x, HEIGHT - BOTTOM + 18, anchor="middle"))
    for value in up.ticks():
        y = up.place(value)
        parts.append(rule(LEFT, y, WIDTH - RIGHT, y))
        parts.append(label(f"{value:g}", LEFT - 8, y + 4, anchor="end"))
    return parts


def rule(x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a thin line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e5e7eb"/>'


def marker(x: float) -> str:
    """Return a vertical line that stands out."""
    return (
        f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#111827" stroke-dasharray="4 4"/>'
    )


def label(text: str, x: float, y: float, *, anchor: str = "start", size: int = 12) -> str:
    """Return a text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'


def joined(line: Line, colour: str, across: Axis, up: Axis) -> str:
    """Return the points of *line*, joined; of very many, some."""
    stride = max(1, len(line.x) // MOST_POINTS)
    kept = sorted({*range(0, len(line.x), stride), len(line.x) - 1} - {-1})
    points = " ".join(f"{across.place(line.x[index]):.1f},{up.place(line.y[index]):.1f}" for index in kept)
    look = 'stroke-opacity="0.3"' if line.faint else 'stroke-width="2"'
    return f'<polyline points="{points}" fill="none" stroke="{colour}" {look}/>'


def legend(lines: Sequence[Line]) -> list[str]:
    """Return the names of the lines in their colours, right of the title."""
    return [
        f'<text x="{WIDTH - RIGHT}" y="{18 + 14 * index}" text-anchor="end" fill="{COLOURS[index % len(COLOURS)]}">'
        f"{escape(line.name)}</text>"
        for index, line in enumerate(lines)
    ]

"""``hookloop schedule plot``: what the learning rate is going to be, from the very code that trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from hookloop.commands import SOURCE, SWITCHES, ConfigFile, Source, Switches, named_files

if TYPE_CHECKING:
    from hookloop.schedules import Preview

WIDTH = 60

SVG = "Draw them into this file as well."
STEPS = "Walk so many steps or epochs, as the schedule counts, in place of the run's length."
JSON = "Answer with one JSON document on standard output."


def add_commands(app: App) -> None:
    """Add ``schedule`` with ``plot`` below it."""
    own = App(name="schedule", help="Look at learning rates before training.")
    own.command(plot)
    app.command(own)


def plot(
    config: ConfigFile = None,
    /,
    *,
    source: Source = SOURCE,
    switches: Switches = SWITCHES,
    svg: Annotated[Path | None, Parameter(metavar="FILE", show_default=False, help=SVG)] = None,
    steps: Annotated[int | None, Parameter(metavar="N", show_default=False, help=STEPS)] = None,
    json_: Annotated[bool, Parameter(name="--json", negative=(), show_default=False, help=JSON)] = False,
) -> int:
    """Draw the learning rates of a whole run, and train nothing.

    Everything is built as training would build it, and the schedule is walked from the start to the end.
    """
    from hookloop.schedules import preview_schedule

    files = named_files("schedule plot", config, source)
    preview = preview_schedule(files, source.overrides, switches.plugins, steps)
    if svg is not None:
        svg.write_text(picture(preview), encoding="utf-8")
    print(json.dumps(document(preview), indent=1) if json_ else text(preview))
    return 0


def curves(preview: Preview) -> list[tuple[str, list[float]]]:
    """Return the name and the rates of each group; groups with the same rates share a row."""
    from hookloop.loggers import named_groups

    names = [name for name, _ in named_groups(preview.optimizers)]
    shared: dict[tuple[float, ...], list[str]] = {}
    for name, curve in zip(names, preview.curves, strict=True):
        shared.setdefault(tuple(curve.rates), []).append(name)
    return [(", ".join(members), list(rates)) for rates, members in shared.items()]


def text(preview: Preview) -> str:
    """Return a line of bars for each curve, with its first, highest and last rate."""
    lines = [f"{preview.use} by {preview.unit}, {preview.progress[-1]} {preview.unit}s"]
    if preview.monitor is not None:
        lines.append(f"It follows {preview.monitor}, which nobody knows before training: shown without it.")
    from hookloop_schedules.sparkline import sparkline

    for name, rates in curves(preview):
        lines += [name, f"  {sparkline(rates, WIDTH)}", f"  {rates[0]:.6g} → {max(rates):.6g} → {rates[-1]:.6g}"]
    return "\n".join(lines)


def picture(preview: Preview) -> str:
    """Return the SVG of all curves."""
    from hookloop_schedules.chart import Line, draw

    lines = [Line(name, preview.progress, rates) for name, rates in curves(preview)]
    return draw(lines, f"{preview.use} by {preview.unit}", f"{preview.unit}s", "learning rate")


def document(preview: Preview) -> dict[str, Any]:
    """Return everything as plain values."""
    from hookloop.loggers import named_groups

    names = [name for name, _ in named_groups(preview.optimizers)]
    rates = {name: list(curve.rates) for name, curve in zip(names, preview.curves, strict=True)}
    return {
        "schedule": preview.use,
        "unit": preview.unit,
        "monitor": preview.monitor,
        "progress": list(preview.progress),
        "rates": rates,
    }

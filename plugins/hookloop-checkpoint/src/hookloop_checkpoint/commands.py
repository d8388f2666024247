"""`hookloop checkpoint`: list the snapshots of a run, verify them, take the weights out of one."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from hookloop import ConfigError, SnapshotError, snapshots
from hookloop_checkpoint.listing import Entry, entries_of

Place = Annotated[Path, Parameter(help="A run directory, such as runs/digits/latest, or one of its snapshots.")]
AsJson = Annotated[bool, Parameter(negative=(), show_default=False, help="Answer with one JSON document.")]
Thorough = Annotated[bool, Parameter(name="--verify", negative=(), show_default=False, help="Compare every byte.")]
Best = Annotated[bool, Parameter(name="--best", negative=(), show_default=False, help="Of a run, the best snapshot.")]
Target = Annotated[Path, Parameter(help="The file to write: *.safetensors, or *.pt as torch.save writes it.")]
Overwrite = Annotated[bool, Parameter(negative=(), show_default=False, help="Replace a file that is there.")]

app = App(name="checkpoint", help="List, verify and export snapshots.")


@app.command(name="ls")
def list_snapshots(run: Place, /, *, thorough: Thorough = False, json: AsJson = False) -> int:
    """List the snapshots, the newest first. The exit code is 1 when one is damaged."""
    entries = entries_of(run, full=thorough)
    if json:
        show_json([as_document(each) for each in entries])
    else:
        show_table(entries)
    return exit_code(entries)


@app.command
def verify(run: Place, /, *, json: AsJson = False) -> int:
    """Compare every byte of the snapshots with its checksum. The exit code is 1 when one is damaged."""
    entries = entries_of(run, full=True)
    if json:
        show_json([as_document(each) for each in entries])
    else:
        for each in entries:
            print(f"{each.state}  {each.path}")
            for fault in each.faults:
                print(f"  {fault}")
    return exit_code(entries)


@app.command
def export(
    run: Place, target: Target, /, *, best: Best = False, overwrite: Overwrite = False, json: AsJson = False
) -> None:
    """Write the weights of a snapshot as a file; of a run, those of its newest snapshot that is whole."""
    if target.exists() and not overwrite:
        raise ConfigError(f"{target} exists. Replace it with --overwrite, or choose another name.")
    exported = export_first(run, candidates(run, best=best), target)
    if json:
        show_json({"snapshot": str(exported), "target": str(target), "size_bytes": target.stat().st_size})
    else:
        print(f"wrote {target} from {exported}")


def candidates(run: Path, *, best: bool) -> list[Path]:
    """Return the snapshots that may be exported, the first choice first. Raises SnapshotError when there are none."""
    entries = [each for each in entries_of(run, full=False) if each.snapshot]
    if len(entries) == 1 and entries[0].path == run:
        return [run]
    usable = [each for each in entries if each.snapshot and each.snapshot.kind != "exception"]
    if best:
        usable = [each for each in usable if each.is_best]
    if not usable:
        wanted = "snapshot that is the best by a monitor" if best else "snapshot"
        raise SnapshotError(f"{run} has no {wanted}. See: hookloop checkpoint ls {run}")
    if best and len(usable) > 1:
        which = "\n".join(f"  {each.path} ({each.monitor})" for each in usable)
        raise ConfigError(f"several instances have a best snapshot, name the one you mean:\n{which}")
    return [each.path for each in usable]


def export_first(run: Path, paths: Sequence[Path], target: Path) -> Path:
    """Export the first of *paths* that is whole, and return it. Where *run* is a snapshot, there is no other."""
    for path in paths[:-1]:
        try:
            snapshots.export_weights(path, target)
            return path
        except snapshots.SnapshotDamaged as error:
            print(f"warning: {error} Trying the one before.", file=sys.stderr)
    snapshots.export_weights(paths[-1], target)
    return paths[-1]


def exit_code(entries: Sequence[Entry]) -> int:
    """Return 1 when something is damaged."""
    return int(any(each.state == "damaged" for each in entries))


def show_json(value: Any) -> None:
    """Print *value* as one JSON document."""
    print(json.dumps(value, indent=2, allow_nan=False), flush=True)


def as_document(entry: Entry) -> dict[str, Any]:
    """Return all that is known of *entry*, for a script."""
    names = ("kind", "step", "epoch", "batch_index", "samples", "attempt", "saved_at", "size_bytes")
    facts = {name: getattr(entry.snapshot, name, None) for name in names}
    metrics = {name: finite(value) for name, value in entry.snapshot.metrics.items()} if entry.snapshot else {}
    return {
        "path": str(entry.path),
        "instance": entry.instance,
        **facts,
        "metrics": metrics,
        "monitor": entry.monitor,
        "best": entry.is_best,
        "state": entry.state,
        "faults": list(entry.faults),
    }


def finite(value: float) -> float | str:
    """Return *value*; as a string that ``float()`` reads when JSON has no word for it."""
    return value if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")


def show_table(entries: Sequence[Entry]) -> None:
    """Print a line for each of *entries*, in aligned columns."""
    if not entries:
        print("no snapshots")
        return
    header = ("step", "epoch", "kind", "size", "saved at", "state", "metric", "snapshot")
    lines = [header, *map(cells, entries)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    for each in entries:
        for fault in each.faults:
            print(f"{each.path}: {fault}", file=sys.stderr)


def cells(entry: Entry) -> tuple[str, ...]:
    """Return the cells of *entry*."""
    name = f"{entry.instance}/{entry.path.name}"
    each = entry.snapshot
    if each is None:
        return ("", "", "", "", "", entry.state, "", name)
    saved_at = each.saved_at[:19].replace("T", " ")
    size = megabytes(each.size_bytes)
    return (str(each.step), str(each.epoch), each.kind, size, saved_at, entry.state, metric(entry), name)


def metric(entry: Entry) -> str:
    """Return the value that the snapshot is ranked by, and whether it is the best."""
    if entry.snapshot is None or entry.monitor is None or entry.monitor not in entry.snapshot.metrics:
        return ""
    return f"{entry.monitor}={entry.snapshot.metrics[entry.monitor]:.6g}{' (best)' if entry.is_best else ''}"


def megabytes(size_bytes: int) -> str:
    """Return *size_bytes* in words."""
    return f"{size_bytes / 1e6:.3g} MB" if size_bytes < 1e9 else f"{size_bytes / 1e9:.3g} GB"

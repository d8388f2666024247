"""What is on disk of the snapshots of a run, read without torch and without changing anything."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hookloop import ConfigError, SnapshotError, snapshots
from hookloop_checkpoint.monitor import mode_of
from hookloop_checkpoint.ranking import Candidate, Ranking
from hookloop_checkpoint.saving import FOLDER

State = Literal["complete", "valid", "damaged"]


@dataclass(frozen=True)
class Entry:
    """A directory that is a snapshot, or should be one: then ``snapshot`` is None.

    ``monitor`` is the metric by which its instance looks for the best, if it does, and ``is_best`` whether this is the
    best of those that are here. ``state`` is ``"complete"`` where only sizes were compared.
    """

    path: Path
    snapshot: snapshots.Snapshot | None
    state: State
    faults: tuple[str, ...]
    monitor: str | None = None
    is_best: bool = False

    @property
    def instance(self) -> str:
        """The plugin instance that saved it."""
        return self.snapshot.instance if self.snapshot else self.path.absolute().parent.name


def entries_of(place: Path, *, full: bool) -> list[Entry]:
    """Return the snapshots of the run directory *place*, the newest first, or the one that *place* is.

    With *full*, every byte is compared with its checksum. Raises ConfigError for what is neither.
    """
    if (place / FOLDER).is_dir():
        return ranked(place, [read_entry(path, full=full) for path in published(place)])
    if (place / "MANIFEST.json").exists() or (place.is_dir() and place.absolute().parents[1].name == FOLDER):
        return [read_entry(place, full=full)]
    raise ConfigError(
        f"{place} is no snapshot, and has no {FOLDER}: name a run directory, such as runs/digits/latest, or one of its "
        f"snapshots, such as runs/digits/latest/{FOLDER}/checkpoint/step-00000120."
    )


def published(run_dir: Path) -> Iterator[Path]:
    """Yield the directories that should be snapshots; hidden ones are being written, being removed, or put aside."""
    for instance in sorted(run_dir.joinpath(FOLDER).iterdir()):
        if instance.is_dir() and not instance.name.startswith("."):
            yield from sorted(each for each in instance.iterdir() if each.is_dir() and not each.name.startswith("."))


def read_entry(path: Path, *, full: bool) -> Entry:
    """Return what there is to know of the directory *path* by itself."""
    try:
        snapshot = snapshots.read_manifest(path)
        faults = snapshots.verify(path, depth="full" if full else "size")
    except SnapshotError as error:
        return Entry(path, None, "damaged", (str(error),))
    return Entry(path, snapshot, "damaged" if faults else "valid" if full else "complete", tuple(faults))


def ranked(run_dir: Path, entries: Sequence[Entry]) -> list[Entry]:
    """Return *entries* in order, the newest first and what is no snapshot last, the best of each instance marked."""
    monitors = monitors_of(run_dir)
    best = {name: best_of(ranking, monitor, name, entries) for name, (monitor, ranking) in monitors.items()}
    marked = [
        Entry(
            each.path,
            each.snapshot,
            each.state,
            each.faults,
            monitor=monitors[each.instance][0] if each.instance in monitors else None,
            is_best=each.instance in best and each.path.name == best[each.instance],
        )
        for each in entries
    ]
    return sorted(marked, key=age, reverse=True)


def age(entry: Entry) -> tuple[int, int, int, str]:
    """Return what the newer of two has more of."""
    each = entry.snapshot
    return (each.attempt, each.step, each.epoch, each.saved_at) if each else (-1, -1, -1, entry.path.name)


def best_of(ranking: Ranking, monitor: str, instance: str, entries: Sequence[Entry]) -> str:
    """Return the name of the best whole snapshot of *instance*, or an empty string."""
    best = ranking.with_candidates(
        Candidate(each.path.name, each.snapshot.metrics[monitor], each.snapshot.step)
        for each in entries
        if each.snapshot
        and each.state != "damaged"
        and each.snapshot.kind != "exception"
        and (each.instance, monitor in each.snapshot.metrics) == (instance, True)
    ).best
    return best.name if best else ""


def monitors_of(run_dir: Path) -> dict[str, tuple[str, Ranking]]:
    """Return for each instance that looks for the best the metric it goes by, as the run's ``config.toml`` has it."""
    try:
        text = (run_dir / "config.toml").read_text(encoding="utf-8")
        plugins = tomllib.loads(text).get("plugins", {})
    except (OSError, ValueError):
        return {}
    tables = {name: each for name, each in plugins.items() if isinstance(each, dict)}
    return {name: (each["monitor"], ranking_of(each)) for name, each in tables.items() if "monitor" in each}


def ranking_of(table: Mapping[str, Any]) -> Ranking:
    """Return the empty ranking that the options in *table* mean."""
    mode = table.get("mode") or mode_of(table["monitor"]) or "min"
    return Ranking(mode, better_than=table.get("better_than"))

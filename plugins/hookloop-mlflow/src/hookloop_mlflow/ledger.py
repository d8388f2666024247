"""``mlflow.json`` in the run directory: which run of MLflow this is, for a resumed run to go on with it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """A run of MLflow.

    ``key`` is written before the run is made, and is a tag of it: where a kill, or an answer that was lost, leaves
    ``run_id`` unknown, the run is found by it. ``settings`` tells the configuration from others.
    """

    tracking_uri: str
    experiment: str
    key: str
    settings: str
    run_id: str | None = None


def read(path: Path) -> Entry | None:
    """Return what *path* says, or None where it says nothing that is understood."""
    try:
        return Entry(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write(path: Path, entry: Entry) -> None:
    """Replace *path* as a whole, so that nobody ever reads half of it."""
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(json.dumps(asdict(entry), indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)

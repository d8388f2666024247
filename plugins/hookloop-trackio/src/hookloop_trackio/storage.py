"""What trackio's database has of a run: read, and taken back to the checkpoint that the run goes on from.

trackio keeps a SQLite database for each project. It writes rows in the order in which it was given them, half a second
later or so: those that it was not given time to write when the process was killed are the last ones.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

BUSY_SECONDS = 30.0


@dataclass
class Kept:
    """What stays of earlier attempts: the ``steps`` that have their row of metrics, and the ``count`` of all rows."""

    steps: set[int] = field(default_factory=set)
    count: int = 0


def go_back(database: Path, run_id: str, rows: int) -> Kept:
    """Delete what the run was given after its first *rows* rows, and return what stays."""
    kept = Kept()
    if not database.exists():
        return kept
    with closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as connection, connection:
        found = connection.execute("SELECT id, step, metrics FROM metrics WHERE run_id = ? ORDER BY id", (run_id,))
        for number, (row, step, values) in enumerate(found.fetchall()):
            if number >= rows:
                connection.execute("DELETE FROM metrics WHERE id = ?", (row,))
                continue
            kept.count = number + 1
            if "epoch" in json.loads(values):  # as metrics have, and all else has not
                kept.steps.add(step)
    return kept

"""The rows that a run logs: kept in memory, and handed over by bursts, to ``metrics.jsonl`` and to plugins.

One handing over serves all: what each would do with a row between two steps of training, it does with many at once.
"""

from __future__ import annotations

import time
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

from hookloop.bursts import Bursts
from hookloop.errors import LogError

if TYPE_CHECKING:
    from hookloop.manager import PluginManager
    from hookloop.records import Records
    from hookloop.run import Run

COUNTERS = ("step", "epoch", "time")  # what a row has beside metrics


class RowLog:
    """Takes a row at each logging boundary. On a rank that writes no files, it is kept in ``run.history`` alone.

    What goes wrong with a row may go wrong on a thread of its own, where nobody would hear of it. So it is raised for
    whoever adds the next row, or flushes; of the log itself once, which is not written any more then.
    """

    def __init__(self, records: Records, plugins: PluginManager) -> None:
        self.records = records
        self.plugins = plugins
        self._run: Run | None = None
        self._bursts = Bursts(self._hand_over)
        self._logs = True
        self._error: LogError | None = None

    def add(self, run: Run, metrics: Mapping[str, float]) -> None:
        """Take what was logged up to this boundary: it is handed over now, or with the next tenth of a second's.

        A metric that is called like a counter is ``logged/step`` and so on. Raises LogError where
        ``metrics.jsonl`` cannot be written, and what plugins raise.
        """
        row = {"step": run.step, "epoch": run.epoch, "time": time.time(), **metrics}
        if len(row) != len(metrics) + len(COUNTERS):
            row = {"step": run.step, "epoch": run.epoch, "time": time.time()}
            row |= {column(name): value for name, value in metrics.items()}
        run.history.append(row)
        if self.records.writes:
            self._run = run
            self._bursts.add(row)
            if self._error is not None or self.plugins.postponed.failures:
                self._settle()

    def flush(self) -> None:
        """Hand over the rows that wait; raises what `add` raises."""
        self._bursts.flush()
        self._settle()

    def close(self) -> None:
        """Close the log, with every row in it; raises what `add` raises."""
        try:
            self.flush()
        finally:
            self._bursts.close()
            self.records.close()

    def _hand_over(self, rows: list[Any]) -> None:
        if self._logs:
            try:
                self.records.append(rows)
            except LogError as error:
                self._logs, self._error = False, error
        handed, rows[:] = tuple(rows), ()
        if self.plugins.hooks.write_rows:
            self.plugins.hooks.write_rows(self._run, handed)

    def _settle(self) -> None:
        """Raise what has gone wrong."""
        error, self._error = self._error, None
        self.plugins.postponed.settle("write_rows", () if error is None else (error,))


def column(name: str, reserved: Container[str] = COUNTERS) -> str:
    """Return the name to log *name* under: a metric that is called like something *reserved* is ``logged/NAME``."""
    return f"logged/{name}" if name in reserved else name

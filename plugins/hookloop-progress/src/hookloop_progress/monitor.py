"""The plugin ``progress-monitor``: how many steps and epochs are complete, as metrics at the end of each epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookloop import hookimpl

if TYPE_CHECKING:
    from hookloop import Run


class ProgressMonitor:
    """Logs ``progress/steps`` and ``progress/epochs``: steps against epochs, or the other way round, in any logger."""

    role = "observer"

    @hookimpl
    def on_epoch_end(self, run: Run) -> None:
        """Log both; the boundary that follows hands them on."""
        run.log("progress/steps", run.step)
        run.log("progress/epochs", run.epoch)

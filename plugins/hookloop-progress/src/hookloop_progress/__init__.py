"""Shows how a training run gets on: bars on a terminal, plain log lines everywhere else."""

from hookloop_progress.monitor import ProgressMonitor
from hookloop_progress.plugin import Progress
from hookloop_progress.reporter import ProgressReporter

__all__ = ["Progress", "ProgressMonitor", "ProgressReporter"]

"""Shows how a training run gets on: bars on a terminal, plain log lines everywhere else."""

from hookloop_progress.plugin import Progress

__all__ = ["Progress"]

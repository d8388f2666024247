"""Saves snapshots of a run: at intervals, the best by a metric, and a backup for a run that is killed."""

from hookloop_checkpoint.backup import Backup
from hookloop_checkpoint.plugin import Checkpoint

__all__ = ["Backup", "Checkpoint"]

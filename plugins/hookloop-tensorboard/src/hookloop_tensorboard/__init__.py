"""Shows a run in TensorBoard."""

from hookloop_tensorboard.event_file import EventFile
from hookloop_tensorboard.parameters import Parameters
from hookloop_tensorboard.plugin import TensorBoard

__all__ = ["EventFile", "Parameters", "TensorBoard"]

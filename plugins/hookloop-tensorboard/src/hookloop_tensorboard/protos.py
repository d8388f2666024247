"""The messages of TensorBoard that are written here; it says nothing of their types."""

from __future__ import annotations

from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2  # type: ignore[import-untyped]
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2  # type: ignore[import-untyped]
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.text import metadata as text_metadata  # type: ignore[import-untyped]

Event: Any = event_pb2.Event
SessionLog: Any = event_pb2.SessionLog
Summary: Any = summary_pb2.Summary
HistogramProto: Any = summary_pb2.HistogramProto
TensorProto: Any = tensor_pb2.TensorProto
Status: Any = api_pb2.Status
HParamsPluginData: Any = plugin_data_pb2.HParamsPluginData

__all__ = [
    "Event",
    "HParamsPluginData",
    "HistogramProto",
    "SessionLog",
    "Status",
    "Summary",
    "TensorProto",
    "hparams_metadata",
    "text_metadata",
]

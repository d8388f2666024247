"""Makes the events that TensorBoard reads; each function returns one, serialized."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hookloop_tensorboard.protos import (
    Event,
    HistogramProto,
    HParamsPluginData,
    SessionLog,
    Status,
    Summary,
    TensorProto,
    hparams_metadata,
    text_metadata,
)

if TYPE_CHECKING:
    import torch

    from hookloop_tensorboard.histogram import Histogram

DT_STRING = 7
PNG_SIZE = slice(16, 24)  # where a PNG file says its width and height


def first_events(step: int) -> list[bytes]:
    """Return how a file begins: its version, and that a reader is to forget what it knows of *step* and later ones."""
    start = SessionLog(status=SessionLog.START)
    begin = Event(wall_time=time.time(), file_version="brain.Event:2")
    return [each.SerializeToString() for each in (begin, Event(wall_time=time.time(), step=step, session_log=start))]


def event(step: int, wall_time: float, values: Iterable[Any]) -> bytes:
    """Return the event that holds *values* of *step*."""
    made: bytes = Event(step=step, wall_time=wall_time, summary=Summary(value=values)).SerializeToString()
    return made


def scalars(step: int, wall_time: float, values: Mapping[str, float]) -> bytes:
    """Return the points of a step."""
    return event(step, wall_time, [Summary.Value(tag=name, simple_value=value) for name, value in values.items()])


def text(step: int, wall_time: float, name: str, said: str) -> bytes:
    """Return a text, which TensorBoard shows as Markdown."""
    tensor = TensorProto(dtype=DT_STRING, string_val=[said.encode("utf-8", "replace")])
    tensor.tensor_shape.dim.add(size=1)
    metadata = text_metadata.create_summary_metadata("", "")
    return event(step, wall_time, [Summary.Value(tag=name, tensor=tensor, metadata=metadata)])


def image(step: int, wall_time: float, name: str, pixels: torch.Tensor) -> bytes:
    """Return an image of shape (H, W, C)."""
    from PIL import Image

    array = pixels.numpy()
    file = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(file, "png")
    return png(step, wall_time, name, file.getvalue())


def figure_as_png(figure: Any) -> bytes:
    """Return a figure of matplotlib as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def png(step: int, wall_time: float, name: str, data: bytes) -> bytes:
    """Return a PNG file as an image."""
    width, height = struct.unpack(">II", data[PNG_SIZE])
    shown = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=data)
    return event(step, wall_time, [Summary.Value(tag=name, image=shown)])


def histogram(step: int, wall_time: float, name: str, counted: Histogram) -> bytes:
    """Return a histogram."""
    message = HistogramProto(
        min=counted.lowest,
        max=counted.highest,
        num=sum(counted.counts),
        sum=counted.sum,
        sum_squares=counted.sum_squares,
        bucket_limit=counted.limits,
        bucket=counted.counts,
    )
    return event(step, wall_time, [Summary.Value(tag=name, histo=message)])


def hyper_parameters(values: Mapping[str, bool | float | str], started: float) -> bytes:
    """Return what a run was configured with. The metrics of the table are the newest points of the run's scalars.

    There is no message on the experiment as a whole, as TensorBoard would take that of one run for all runs.
    """
    data = HParamsPluginData()
    data.session_start_info.start_time_secs = started
    for name, value in values.items():
        if isinstance(value, bool):
            data.session_start_info.hparams[name].bool_value = value
        elif isinstance(value, str):
            data.session_start_info.hparams[name].string_value = value
        else:
            data.session_start_info.hparams[name].number_value = value
    return hparams_event(hparams_metadata.SESSION_START_INFO_TAG, data)


def end_of_run(ended: float, *, failed: bool) -> bytes:
    """Return how a run ended, for the table of hyper-parameters."""
    data = HParamsPluginData()
    data.session_end_info.status = Status.Value("STATUS_FAILURE" if failed else "STATUS_SUCCESS")
    data.session_end_info.end_time_secs = ended
    return hparams_event(hparams_metadata.SESSION_END_INFO_TAG, data)


def hparams_event(tag: str, data: Any) -> bytes:
    """Return a message for the table of hyper-parameters."""
    return event(0, time.time(), [Summary.Value(tag=tag, metadata=hparams_metadata.create_summary_metadata(data))])

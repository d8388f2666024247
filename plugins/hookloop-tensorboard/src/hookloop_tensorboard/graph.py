"""The graph of a model, drawn from one batch without leaving a trace in training."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hookloop import HookloopError
from hookloop_tensorboard.protos import Event
from hookloop_tensorboard.records import read_records

if TYPE_CHECKING:
    from hookloop import Run


class GraphError(HookloopError):
    """A model whose graph cannot be drawn, and why."""


class Called(Exception):  # noqa: N818 - it is no error, but the way out of a forward pass
    """The model was called: what it was given is known, and its answer is not wanted."""


def draw(run: Run) -> list[bytes]:
    """Return the graph of the model as events. Only in `on_fit_start`; raises GraphError where there can be none."""
    if run.world_size > 1:
        raise GraphError("a graph is drawn in one process only")
    model = bare(run.model)
    try:
        with run.rehearse() as batches, in_evaluation(model), torch.no_grad():
            return traced(model, inputs_of(run, model, next(batches)))
    except GraphError:
        raise
    except Exception as error:  # whatever a user's model may raise when it is traced
        first_line = (str(error).strip() or "no message").splitlines()[0]
        raise GraphError(f"{type(error).__name__}: {first_line}") from error


def bare(model: torch.nn.Module) -> torch.nn.Module:
    """Return the model that a compiled one was made of."""
    inner = getattr(model, "_orig_mod", model)
    return inner if isinstance(inner, torch.nn.Module) else model


@contextlib.contextmanager
def in_evaluation(model: torch.nn.Module) -> Iterator[None]:
    """Put each module back into its own mode, which torch's function does not: it sets that of the model for all."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def inputs_of(run: Run, model: torch.nn.Module, batch: Any) -> tuple[Any, ...]:
    """Return what the task calls the model with for *batch*."""
    given: list[tuple[Any, ...]] = []

    def look(module: torch.nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        if keywords:
            raise GraphError(f"the model is called with keyword arguments ({', '.join(keywords)}), as none can be")
        given.append(args)
        raise Called

    hooks = run.plugins.hooks
    moved = hooks.transfer_batch(run, batch) if hooks.transfer_batch else batch
    handle = model.register_forward_pre_hook(look, with_kwargs=True)
    try:
        with contextlib.suppress(Called):
            run.task.validation_step(moved)
    finally:
        handle.remove()
    if not given:
        raise GraphError("the task does not call the model")
    return given[0]


def traced(model: torch.nn.Module, inputs: tuple[Any, ...]) -> list[bytes]:
    """Return the graph as torch draws it: it prints what it thinks, and writes a file."""
    from torch.utils.tensorboard import SummaryWriter

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        writer = SummaryWriter(folder)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                writer.add_graph(model, inputs, use_strict_trace=False)
        finally:
            writer.close()
        found = [data for path in sorted(Path(folder).glob("*tfevents*")) for _, data in read_records(path)]
    return [data for data in found if Event.FromString(data).WhichOneof("what") in ("graph_def", "tagged_run_metadata")]

"""The one object that is handed around: every hook takes a `Run` first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hookloop.control import Control, Outcome
from hookloop.media import as_pixels, as_values, close_figure, existing, value_of
from hookloop.metrics import NOTHING

if TYPE_CHECKING:
    import torch

    from hookloop.manager import PluginManager
    from hookloop.metrics import Gauge, MetricStore
    from hookloop.options import RunOptions
    from hookloop.row_log import RowLog
    from hookloop.scheduling import Schedule
    from hookloop.sources import Source
    from hookloop.task import Task

Stage = Literal["train", "validate", "test", "predict"]


class Run:
    """The state of one run.

    Counters count completed things: in ``on_step_end`` the step is already counted, in ``on_epoch_end`` the epoch, and
    those of an epoch stay readable until the next ``on_epoch_start``.

    Attributes:
        config: the options of ``[run]``.
        settings: the whole resolved configuration, as written to ``config.toml``.
        task, model, optimizers, schedules: what is trained, with what.
        device: where, as a ``torch.device``. ``precision``: ``"fp32"``, ``"bf16-mixed"`` or ``"fp16-mixed"``.
        rank, world_size: this process, and how many there are. ``host_group``: a process group of all of them, for what
            the engine tells the others from the thread that trains; None for a single process.
        directory: the run directory.
        plugins: the plugin set, with ``register`` and ``unregister``.
        metrics: the newest known value of each metric, plain floats. ``history``: the rows of ``metrics.jsonl``.
        fresh_metrics: those of the boundary that is being passed, what ``on_metrics`` was given; else empty.
        from_command_line: whether the command line started it, and prints at its end how it ended.
        attempt: how often the run of this directory was resumed. ``resumed_from``: the checkpoint, or None.
        batch, output, loss: of the current micro-batch. ``loss`` is not divided by the accumulation.
        loss_value: the same as a number, from ``on_backward_start`` on; None on a device, where reading it would wait.
        window: the micro-batches of the current update. ``micro_batch``: which of them is being worked on, from 0.
        stage: ``"train"``, ``"validate"``, ``"test"`` or ``"predict"``.
        outcome: None until it is known, then ``completed``, ``stopped``, ``interrupted``, ``preempted`` or ``failed``.
        epoch, step: completed epochs and optimizer updates. ``batch_index``: completed micro-batches of this epoch.
        samples: samples seen in training. ``batches_per_epoch``: None when the loader has no length.
        best_checkpoint, last_checkpoint: set by whoever saves.
        elapsed_seconds: since the run started, by the engine's clock.
    """

    __slots__ = (
        "_started",
        "attempt",
        "batch",
        "batch_index",
        "batches",
        "batches_per_epoch",
        "best_checkpoint",
        "clock",
        "config",
        "control",
        "device",
        "directory",
        "epoch",
        "exhausted",
        "fresh_metrics",
        "from_command_line",
        "history",
        "host_group",
        "last_checkpoint",
        "loaders",
        "loss",
        "loss_value",
        "metrics",
        "micro_batch",
        "model",
        "optimizers",
        "outcome",
        "output",
        "plugins",
        "precision",
        "rank",
        "resumed_from",
        "rows",
        "samples",
        "schedules",
        "settings",
        "source",
        "stage",
        "step",
        "store",
        "task",
        "window",
        "world_size",
    )

    def __init__(
        self,
        *,
        config: RunOptions,
        settings: Mapping[str, Any],
        plugins: PluginManager,
        store: MetricStore,
        rows: RowLog,
        control: Control,
        clock: Callable[[], float],
        directory: Path,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.config = config
        self.settings = settings
        self.plugins = plugins
        self.store = store
        self.rows = rows
        self.control = control
        self.clock = clock
        self.directory = directory
        self.rank = rank
        self.world_size = world_size
        self.host_group: Any = None
        self.from_command_line = False
        self.precision = config.precision
        self.stage: Stage = "train"
        self.outcome: Outcome | None = None
        self.metrics: dict[str, float] = {}
        self.fresh_metrics: Mapping[str, float] = NOTHING
        self.history: list[dict[str, float]] = []
        self.attempt = 0
        self.resumed_from: Path | None = None
        self.task: Task
        self.model: torch.nn.Module
        self.device: torch.device
        self.optimizers: Sequence[torch.optim.Optimizer] = ()
        self.schedules: Sequence[Schedule] = ()
        self.loaders: dict[Stage, Any] = {}
        self.source: Source
        self.batches: Iterator[Any] = iter(())
        self.batches_per_epoch: int | None = None
        self.exhausted = True
        self.window: list[Any] = []
        self.micro_batch = 0
        self.batch: Any = None
        self.output: Any = None
        self.loss: torch.Tensor | None = None
        self.loss_value: float | None = None
        self.best_checkpoint: Path | None = None
        self.last_checkpoint: Path | None = None
        self.epoch = 0
        self.step = 0
        self.batch_index = 0
        self.samples = 0
        self._started = clock()

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the run started, those before a resume included."""
        return self.clock() - self._started

    @property
    def total_steps(self) -> int | None:
        """How many optimizer updates this run will have made at its end, or None when nobody can know."""
        planned = [] if self.config.max_steps is None else [self.config.max_steps]
        if self.config.max_epochs is not None and self.batches_per_epoch is not None:
            planned.append(self.config.max_epochs * -(-self.batches_per_epoch // self.config.accumulate))
        return min(planned, default=None)

    @property
    def stop_requested(self) -> bool:
        """True once somebody proposed to stop; the run goes on until the next step boundary."""
        return self.control.stop_reason is not None or self.control.signal is not None

    @property
    def stop_reason(self) -> str | None:
        """Why the run stops or stopped before its end, or None."""
        return self.control.stop_reason

    @property
    def save_requested(self) -> bool:
        """True in ``persist`` when a checkpoint was asked for; whoever saves need not reset it."""
        return self.control.save_reason is not None

    def log(self, name: str, value: float | torch.Tensor, *, weight: float = 1.0) -> None:
        """Log *value* under *name*, such as ``train/accuracy``; until the next logging boundary nothing is read.

        A tensor of one element stays on its device. Several values between two boundaries are averaged by *weight*.
        Raises ValueError for a tensor of another size, TypeError for what is no number.
        """
        if isinstance(value, (int, float)) or (hasattr(value, "__float__") and not hasattr(value, "detach")):
            self.store.add(name, float(value), weight)
        elif not hasattr(value, "detach"):
            raise TypeError(f"run.log('{name}'): wanted one number, got a {type(value).__name__}")
        elif value.numel() == 1:
            # Whoever logs a running total goes on adding to it: what counts is the value of now.
            self.store.add_tensor(name, value if value.is_cpu else value.detach().clone(), weight)
        else:
            raise ValueError(f"run.log('{name}'): wanted one number, got a tensor of shape {tuple(value.shape)}")

    def log_text(self, name: str, text: str | Callable[[], str]) -> None:
        """Log a text. Like all of these, it goes to the plugins that implement the hook of this name, and at once.

        Instead of a value, each takes a function that returns it, which is called only when somebody wants the value.
        """
        if log := self.plugins.hooks.log_text:
            log(self, name, str(value_of(text)))

    def log_image(self, name: str, image: Any | Callable[[], Any]) -> None:
        """Log an image: a tensor ``(H, W)`` or ``(C, H, W)``, or an array or PIL image ``(H, W)`` or ``(H, W, C)``.

        With 1, 3 or 4 channels; uint8, bool, or floats from 0 to 1. Raises MediaError for anything else.
        """
        if log := self.plugins.hooks.log_image:
            log(self, name, as_pixels(name, value_of(image)))

    def log_figure(self, name: str, figure: Any | Callable[[], Any]) -> None:
        """Log a figure of matplotlib; one that a function made is closed afterwards."""
        if log := self.plugins.hooks.log_figure:
            made = value_of(figure)
            log(self, name, made)
            if made is not figure:
                close_figure(made)

    def log_histogram(self, name: str, values: Any | Callable[[], Any]) -> None:
        """Log how *values* are distributed: a tensor or array of any shape, or a sequence of numbers."""
        if log := self.plugins.hooks.log_histogram:
            log(self, name, as_values(name, value_of(values)))

    def log_artifact(
        self, path: str | os.PathLike[str] | Callable[[], str | os.PathLike[str]], name: str | None = None
    ) -> None:
        """Log a file or a directory, under its own name unless *name* is given; MediaError when it is missing."""
        if log := self.plugins.hooks.log_artifact:
            found = existing(path() if callable(path) else path)
            log(self, name or found.name, found)

    def gauge(self, read: Gauge) -> None:
        """Call *read* at each logging boundary, just before the metrics are read, for it to log what it reads then.

        It calls `log`, or returns names and values, numbers or tensors of one element, which takes less time.

        For what has a value at any time, such as a learning rate: to log it in every step would cost every step, and
        give a mean. A boundary that nothing else makes due is not made due by this.
        """
        self.store.gauges.append(read)

    def flush_rows(self) -> None:
        """Have every row that was logged in ``metrics.jsonl``, and with the plugins that implement ``write_rows``.

        Rows that come fast wait a tenth of a second. It is done before the state of a run is taken, and at its end.
        """
        self.rows.flush()

    def rehearse(self) -> AbstractContextManager[Iterator[Any]]:
        """Return a context whose value gives training batches, and after which everything is as if it had never been.

        See `hookloop.rehearsal.rehearse`.
        """
        from hookloop.rehearsal import rehearse

        return rehearse(self)

    def request_stop(self, reason: str) -> None:
        """Propose to stop after this step. The first reason is kept."""
        if self.control.stop_reason is None:
            self.control.stop_reason = reason
            self.control.pending = True

    def request_save(self, reason: str) -> None:
        """Propose a checkpoint in the ``persist`` phase of the next boundary."""
        self.control.save_reason = reason
        self.control.pending = True

    def load_counters(self, state: Mapping[str, Any]) -> None:
        """Set the counters to those of a saved state."""
        self.epoch, self.step = state["epoch"], state["step"]
        self.batch_index, self.samples = state["batch_index"], state["samples"]
        self._started = self.clock() - state["elapsed_seconds"]

    def counters(self) -> dict[str, int | float]:
        """Return the counters by name, ``elapsed_seconds`` with them."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "batch_index": self.batch_index,
            "samples": self.samples,
            "elapsed_seconds": self.elapsed_seconds,
        }

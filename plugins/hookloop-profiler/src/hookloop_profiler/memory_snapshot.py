"""The plugin ``memory-snapshot``: what the allocator of a CUDA device did, at chosen steps or when memory ran out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from hookloop import PluginConfig, hookimpl
from hookloop_profiler.instances import directory_of

if TYPE_CHECKING:
    from hookloop import Run

log = logging.getLogger("hookloop.profiler")


class MemorySnapshot:
    """Has torch take down what is allocated by whom, and writes it for https://pytorch.org/memory_viz.

    Where there is no CUDA device, it says so and rests.
    """

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.memory-snapshot]``."""

        start_step: int | None = Field(None, ge=0)
        """After how many steps of training in this process to begin; without it, when everything is built."""

        stop_step: int | None = Field(None, ge=1)
        """After how many steps to write a snapshot, and take down no more unless `out_of_memory` needs it."""

        out_of_memory: bool = True
        """Write a snapshot when the device has no memory left, before the run fails."""

        max_entries: int = Field(100_000, ge=1)
        """How many allocations to remember, the latest."""

        @model_validator(mode="after")
        def _check_steps(self) -> Self:
            if self.stop_step is None and not self.out_of_memory:
                raise ValueError("nothing would ever be written: give stop_step, or out_of_memory = true.")
            if self.start_step is not None and self.stop_step is None and not self.out_of_memory:
                raise ValueError("start_step needs a stop_step after it.")
            if self.start_step is not None and self.stop_step is not None and self.start_step >= self.stop_step:
                raise ValueError(f"start_step = {self.start_step} must come before stop_step = {self.stop_step}.")
            return self

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Begin with nothing taken down."""
        self.steps = 0
        self.recording = self.resting = False
        self.directory = Path()

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Find out where to write."""
        self.reset()
        self.directory = directory_of(self, run)

    @hookimpl(tryfirst=True)
    def prepare_model(self, run: Run) -> None:
        """Begin before the model is moved anywhere, unless a step was named."""
        if run.device.type != "cuda":
            log.info(
                "memory-snapshot: rests, as it is about the memory of CUDA devices and this run is on %s", run.device
            )
            self.resting = True
        elif not self.config.start_step:
            self.record()

    @hookimpl
    def on_step_end(self, run: Run) -> None:
        """Count a step; begin and end where that was asked for."""
        self.steps += 1
        if self.steps == self.config.start_step and not self.resting:
            self.record()
        if self.steps == self.config.stop_step and self.recording:
            self.write(f"step{run.step}-rank{run.rank}")
            if not self.config.out_of_memory:
                self.stop()

    @hookimpl
    def on_exception(self, run: Run, error: BaseException) -> None:
        """Write what led to an exhausted memory."""
        if self.recording and self.config.out_of_memory and is_out_of_memory(error):
            self.write(f"oom-rank{run.rank}")

    @hookimpl
    def on_run_end(self) -> None:
        """Take down no more."""
        self.stop()

    def record(self) -> None:
        """Begin; an error is a warning."""
        try:
            memory()._record_memory_history(max_entries=self.config.max_entries)
        except Exception as error:
            log.warning("memory-snapshot: rests, as torch cannot record: %s: %s", type(error).__name__, error)
            self.resting = True
        else:
            self.recording = True

    def stop(self) -> None:
        """End."""
        recording, self.recording = self.recording, False
        if recording:
            memory()._record_memory_history(enabled=None)

    def write(self, name: str) -> None:
        """Write a snapshot; an error is a warning."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            path = self.directory / f"{name}.pickle"
            memory()._dump_snapshot(str(path))
            log.info("memory-snapshot: wrote %s, which https://pytorch.org/memory_viz shows", path)
        except Exception as error:
            log.warning("memory-snapshot: could not be written: %s: %s", type(error).__name__, error)


def memory() -> Any:
    """Return torch's module of the allocator."""
    import torch

    return torch.cuda.memory


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether *error*, or what it was raised from, says that the device has no memory left."""
    import torch

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, torch.OutOfMemoryError):
            return True
        cause = cause.__cause__
    return False

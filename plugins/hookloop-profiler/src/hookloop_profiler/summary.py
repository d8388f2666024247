"""The plugin ``summary``: the model's modules with shapes, parameters, bytes and operations."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from hookloop import PluginConfig, hookimpl
from hookloop_profiler.counting import Counts, FirstLook, StepCounter
from hookloop_profiler.instances import directory_of, dismiss, invite

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_profiler.modules import Shapes

log = logging.getLogger("hookloop.profiler")


class Summary:
    """Looks on while the first step, or the first batch of an evaluation, is made.

    Nothing is run for the summary alone, so it has no trace to leave: in statistics, gradients or random numbers.
    """

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.summary]``."""

        max_depth: int | None = Field(None, ge=0)
        """How deep to go into modules within modules: 0 is the model as a whole."""

        flops: bool = True
        """Count the floating-point operations of each module, in training forward and backward. The step that is
        counted is slower."""

        print: bool = True
        """Show the table, besides writing it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Begin with nothing seen."""
        self.shapes: Shapes | None = None
        self.guest = ""
        self.directory = Path()
        self.counts: Counts = {}
        self.is_done = False

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Find out where to write."""
        self.reset()
        self.directory = directory_of(self, run)
        self.is_done = run.rank != 0

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Look at the first step, or at the first batch where there is no training before it."""
        self.begin(run)

    on_validation_start = on_test_start = on_predict_start = on_fit_start

    def begin(self, run: Run) -> None:
        """Listen to the modules, once a run."""
        if self.is_done or self.shapes is not None:
            return
        from hookloop_profiler.modules import Shapes, is_compiled

        if is_compiled(run.model):
            log.info(
                "summary: a compiled model has no shapes and FLOPs here: to look would keep it from being compiled"
            )
            self.finish(run)
            return
        self.shapes = Shapes()
        self.shapes.attach(run.model)
        look = StepCounter(self.finish, self.counted) if self.config.flops else FirstLook(self.finish)
        self.guest = invite(self, look, run)

    def counted(self, run: Run, counts: Counts, samples: int) -> None:
        """Take in the operations of the first step or batch."""
        self.counts = self.counts or counts

    @hookimpl
    def on_run_end(self, run: Run) -> None:
        """Let go of what is still held."""
        self.release(run)

    def finish(self, run: Run) -> None:
        """Write and show the summary, the first time."""
        if self.is_done:
            return
        from hookloop_profiler.modules import as_json, rows_of, table

        self.is_done = True
        seen = self.shapes.seen if self.shapes is not None else {}
        self.release(run)
        rows = rows_of(run.model, seen, self.counts, self.config.max_depth)
        text = table(rows)
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "modules.txt").write_text(text, encoding="utf-8")
        (self.directory / "modules.json").write_text(json.dumps(as_json(rows), indent=1), encoding="utf-8")
        if self.config.print:
            log.info("summary: %s, stage '%s'\n%s", type(run.model).__name__, run.stage, text)

    def release(self, run: Run) -> None:
        """Listen no more."""
        shapes, self.shapes = self.shapes, None
        guest, self.guest = self.guest, ""
        if shapes is not None:
            shapes.detach()
        dismiss(guest, run)

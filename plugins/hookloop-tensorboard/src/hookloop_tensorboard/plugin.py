"""The plugin ``tensorboard``: what is logged, for TensorBoard."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from hookloop import ConfigError, PluginConfig, hookimpl

if TYPE_CHECKING:
    import torch

    from hookloop import Run
    from hookloop_tensorboard.about import About
    from hookloop_tensorboard.board import Board

log = logging.getLogger("hookloop.tensorboard")

PROGRESS = "progress/epoch"


def check_directory(text: str) -> str:
    """Return *text* if it names a directory inside of another; elsewhere runs would write over each other."""
    path = PurePath(text)
    if not path.name or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"'{text}' must name a directory inside of the run directory, such as 'tensorboard'")
    return text


class TensorBoard:
    """Writes points at the names and steps that the engine gives them, one a name and step, and what else is logged.

    On ranks other than 0, and before a run, there is no board.
    """

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.tensorboard]``."""

        directory: Annotated[str, AfterValidator(check_directory)] = "tensorboard"
        """Where to write, inside of the run directory."""

        flush_seconds: float = Field(10.0, ge=0.01)
        """How long points may wait in this process until TensorBoard can see them. They never wait past a
        checkpoint."""

        graph: bool = False
        """Draw the model's graph from a batch of training, before training begins and without a trace in it."""

        histogram_bins: int = Field(64, ge=1, le=10_000)
        """How many bins a histogram has, from the lowest value to the highest."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Begin with nothing written."""
        self.board: Board | None = None
        self.about: About | None = None
        self.trains = self.epoch_is_over = False
        self.unfinite: set[str] = set()
        self.saved: Mapping[str, Any] | None = None

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Forget the run before, if this instance has seen one, and look whether there is a place to write."""
        from hookloop_tensorboard.board import Board

        self.reset()
        check_alone(self, run)
        if run.rank != 0:
            return
        directory = run.directory / self.config.directory
        for path in (directory, *directory.parents):
            if path.exists() and not path.is_dir():
                raise ConfigError(f"tensorboard: {path} is a file: give [plugins.tensorboard] another 'directory'.")
        self.board = Board(directory, self.config.flush_seconds)

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Go back to the step that training goes on from: newer points are cut off, and come again."""
        saved, self.saved = self.saved, None
        board = self.board
        if board is None:
            return
        from hookloop_tensorboard.about import About

        self.trains = True
        self.about = about = About(board.directory)
        self.epoch_is_over = bool(saved and saved["epoch_is_over"])
        board.attempt(lambda: board.begin(run.step, saved))
        board.attempt(lambda: about.begin(run))
        if self.config.graph and not board.failed:
            self.draw_graph(run, board, about)

    def draw_graph(self, run: Run, board: Board, about: About) -> None:
        """Draw the graph of the model, or say why there is none."""
        from hookloop_tensorboard.graph import GraphError, draw

        try:
            drawn = draw(run)
        except GraphError as error:
            log.warning("tensorboard: no graph of the model: %s", error)
            return
        board.attempt(lambda: about.add(drawn))

    @hookimpl
    def on_epoch_start(self) -> None:
        """From here on, batches count towards the next epoch."""
        self.epoch_is_over = False

    @hookimpl
    def on_epoch_end(self, run: Run) -> None:
        """From here on, the batches of this epoch are in the number of epochs."""
        self.epoch_is_over = True
        if self.board is not None and self.board.step == run.step and PROGRESS in self.board.points:
            self.board.points[PROGRESS] = run.epoch

    @hookimpl
    def on_metrics(self, run: Run, metrics: Mapping[str, float]) -> None:
        """Take the points of this step; in training, with the epochs and the learning rates that nobody logs."""
        if self.board is None or self.board.failed:
            return
        self.board.add_points(run.step, metrics)
        if self.trains:
            self.board.points[PROGRESS] = self.epochs(run)
            if not any(name.startswith("lr/") for name in run.metrics):
                from hookloop_tensorboard.rates import learning_rates

                self.board.points.update(learning_rates(run.optimizers))

    def epochs(self, run: Run) -> float:
        """Return how many epochs are complete, the part of the current one included where its length is known."""
        if self.epoch_is_over or not run.batches_per_epoch:
            return float(run.epoch)
        return run.epoch + run.batch_index / run.batches_per_epoch

    @hookimpl
    def on_step_start(self) -> None:
        """Write what belongs to the step before: nothing can add to it any more."""
        board = self.board
        if board is not None and (board.points or board.held):
            board.write_step()

    @hookimpl
    def log_text(self, run: Run, name: str, text: str) -> None:
        """Take a text."""
        self.add(run, "text", name, text)

    @hookimpl
    def log_image(self, run: Run, name: str, image: torch.Tensor) -> None:
        """Take an image, which is compressed in the thread that writes."""
        self.add(run, "image", name, image.clone())

    @hookimpl
    def log_figure(self, run: Run, name: str, figure: Any) -> None:
        """Take a figure as an image; it may be changed or closed afterwards."""
        from hookloop_tensorboard.events import figure_as_png

        self.add(run, "png", name, figure_as_png(figure))

    @hookimpl
    def log_histogram(self, run: Run, name: str, values: torch.Tensor) -> None:
        """Write how values are distributed; those that are not finite are left out, and it is said once of a name."""
        if self.board is None or self.board.failed:
            return
        from hookloop_tensorboard.histogram import count

        counted = count(values, self.config.histogram_bins)
        left_out = values.numel() if counted is None else counted.left_out
        if left_out and name not in self.unfinite:
            self.unfinite.add(name)
            log.warning("tensorboard: %s of step %d has %d values that are not finite", name, run.step, left_out)
        if counted is not None:
            self.add(run, "histogram", name, counted)

    def add(self, run: Run, kind: str, name: str, value: Any) -> None:
        """Take *value* at the current step."""
        from hookloop_tensorboard import events

        if self.board is not None and not self.board.failed:
            self.board.add(run.step, getattr(events, kind), name, value)

    @hookimpl
    def on_run_end(self, outcome: str) -> None:
        """Write what is left and close the file, however the run ended."""
        board, about = self.board, self.about
        if board is not None:
            board.close()
            if about is not None:
                board.attempt(lambda: about.end(outcome))

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to go on with the very points."""
        if self.saved is not None or self.board is None:
            return dict(self.saved or {})
        return {**self.board.state_dict(), "epoch_is_over": self.epoch_is_over}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Keep *state* until training starts."""
        self.saved = state or None


def check_alone(plugin: TensorBoard, run: Run) -> None:
    """Raise ConfigError when another instance writes into the same directory."""
    for other in run.plugins:
        same = other.plugin is not plugin and isinstance(other.plugin, TensorBoard)
        if same and Path(other.plugin.config.directory) == Path(plugin.config.directory):
            raise ConfigError(
                f"two plugins write into {plugin.config.directory}/: give [plugins.{other.instance}] a 'directory' of "
                "its own."
            )

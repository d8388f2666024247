"""Plugins that go along in the runs of the contract and see what the plugin under test does to them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hookloop.markers import hookimpl

if TYPE_CHECKING:
    from hookloop.run import Run


class Tap:
    """Takes down what everybody after the plugin under test would see: losses and predictions."""

    role = "observer"

    def __init__(self) -> None:
        self.losses: list[Any] = []
        self.predictions: list[Any] = []

    @hookimpl(trylast=True)
    def on_batch_end(self, run: Run) -> None:
        """Keep the loss of a micro-batch."""
        self.losses.append(copied(run.loss))

    @hookimpl(trylast=True)
    def on_validation_batch_end(self, run: Run) -> None:
        """Keep the loss of a batch."""
        self.losses.append(copied(run.loss))

    @hookimpl(trylast=True)
    def on_test_batch_end(self, run: Run) -> None:
        """Keep the loss of a batch."""
        self.losses.append(copied(run.loss))

    @hookimpl(trylast=True)
    def on_predict_batch_end(self, output: Any) -> None:
        """Keep an output."""
        self.predictions.append(copied(output))


class Keeper:
    """Keeps the runs, so that nothing of them is garbage yet, and copies of its state.

    ``saved`` is the state at the end of the first epoch, where a checkpoint would take it. ``begun`` is that of all
    plugins when training begins, in a resumed run just after it was put back.
    """

    role = "observer"

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.begun: Mapping[str, Any] = {}
        self.saved: Mapping[str, Any] | None = None
        self.ended = ""

    @hookimpl(tryfirst=True)
    def on_run_start(self, run: Run) -> None:
        """Hold on to the run."""
        self.runs.append(run)

    @hookimpl(tryfirst=True)
    def on_ready(self, run: Run) -> None:
        """Copy the plugins' states."""
        self.begun = copy.deepcopy(run.plugins.state_dict())

    @hookimpl(trylast=True)
    def persist(self, run: Run) -> None:
        """Copy the whole state once the first epoch is counted."""
        if run.epoch == 1 and self.saved is None:
            from hookloop.state import run_state

            self.saved = copy.deepcopy(run_state(run))

    @hookimpl
    def on_run_end(self, outcome: str) -> None:
        """Remember that the run came to its end."""
        self.ended = outcome


def copied(value: Any) -> Any:
    """Return a copy of *value* outside of its graph, without reading it."""
    return value.detach().clone() if hasattr(value, "detach") else copy.copy(value)

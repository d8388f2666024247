"""Takes down when forward, backward and update of a step begin and end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hookloop import hookimpl
from hookloop_profiler.timeline import Span

if TYPE_CHECKING:
    from hookloop import Run


class PhaseTimes:
    """Adds to *spans*, which is its host's. Each phase ends before the next one begins, so one start is enough.

    The hooks take all that is offered: what would leave it out costs more than it does.
    """

    role = "observer"

    def __init__(self, mark: Callable[[], Any], spans: list[Span]) -> None:
        self.mark = mark
        self.spans = spans
        self.began: Any = None

    @hookimpl(trylast=True)
    def on_forward_start(self, run: Run, batch: Any) -> None:
        """Begin the forward pass and the loss."""
        self.began = self.mark()

    @hookimpl(tryfirst=True)
    def on_forward_end(self, run: Run, output: Any) -> None:
        """End them."""
        self.spans.append(("forward", self.began, self.mark()))

    @hookimpl(trylast=True)
    def on_backward_start(self, run: Run, loss: Any) -> None:
        """Begin the backward pass."""
        self.began = self.mark()

    @hookimpl(tryfirst=True)
    def on_backward_end(self, run: Run) -> None:
        """End it."""
        self.spans.append(("backward", self.began, self.mark()))

    @hookimpl(trylast=True)
    def on_optimizer_step_start(self, run: Run) -> None:
        """Begin the update of the weights."""
        self.began = self.mark()

    @hookimpl(tryfirst=True)
    def on_optimizer_step_end(self, run: Run) -> None:
        """End it."""
        self.spans.append(("optimizer", self.began, self.mark()))

"""Counts the floating-point operations of a real step, while it is made: nothing is run a second time for it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from hookloop import hookimpl

if TYPE_CHECKING:
    from hookloop import Run

Counts = dict[str, int]  # of modules, by name; "" is all of it


class FirstLook:
    """Calls *over* at the end of a step of training, or of a batch of an evaluation, until its host lets it go."""

    role = "observer"

    def __init__(self, over: Callable[[Run], None]) -> None:
        self.over = over

    @hookimpl
    def on_step_end(self, run: Run) -> None:
        """It is over."""
        self.over(run)

    on_validation_batch_end = on_test_batch_end = on_predict_batch_end = on_step_end


class StepCounter(FirstLook):
    """Wraps a step of training, or the forward pass of a batch of an evaluation, and hands on what it counted.

    The counter of torch knows matrix products, convolutions and attention; the rest is small beside them.
    """

    def __init__(self, over: Callable[[Run], None], counted: Callable[[Run, Counts, int], None]) -> None:
        super().__init__(over)
        self.counted = counted
        self.is_counting = False

    @hookimpl(wrapper=True, tryfirst=True)
    def run_step(self, run: Run) -> Generator[None, Any, Any]:
        """Count a step."""
        before = run.samples
        result = yield from self.count(run, lambda: run.samples - before)
        return result

    @hookimpl(wrapper=True, tryfirst=True)
    def run_forward(self, run: Run, batch: Any) -> Generator[None, Any, Any]:
        """Count the forward pass of an evaluation."""
        if self.is_counting or run.stage == "train":
            return (yield)
        result = yield from self.count(run, lambda: run.task.batch_size(batch))
        return result

    def count(self, run: Run, samples: Callable[[], int]) -> Generator[None, Any, Any]:
        """Count what happens in the yield."""
        from torch.utils.flop_counter import FlopCounterMode

        counter = FlopCounterMode(display=False)
        self.is_counting = True
        try:
            with counter:
                result = yield
        finally:
            self.is_counting = False
        root = type(run.model).__name__
        totals = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
        named = {name.removeprefix(f"{root}."): total for name, total in totals.items() if name.startswith(f"{root}.")}
        self.counted(run, {**named, "": counter.get_total_flops()}, samples())
        return result

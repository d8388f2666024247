"""What there is to show of a run: kept up to date by the hooks, and read by whoever draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hookloop_progress.pace import Pace

if TYPE_CHECKING:
    from hookloop import Run

# Names of metrics that begin like this tell of the machine and the clock: they are shown only to whoever asks for them.
RESULTS = ("train/", "val/", "test/")  # what there is to see first, where there is no room for all
ASIDE = ("progress/", "system/", "time/")


@dataclass(frozen=True, slots=True)
class View:
    """One moment of a run; counts are of completed things, and a total is None when nobody can know it.

    ``fitting`` is False for a validation, test or prediction on its own. ``stage`` is "train", or the evaluation that
    ``evaluated`` counts the batches of, empty when there was none yet. ``epoch_number`` is the epoch in training, from
    1, and ``batches`` how many micro-batches of it will be trained: fewer than the loader has, where ``max_steps`` ends
    the run before.
    """

    fitting: bool
    stage: str
    step: int
    steps: int | None
    epoch: int
    epoch_number: int
    epochs: int | None
    batch: int
    batches: int | None
    evaluated: int
    evaluations: int | None
    metrics: Mapping[str, float]
    per_second: float | None
    eta_seconds: float | None
    elapsed_seconds: float
    outcome: str | None
    stop_reason: str | None


class Tracker:
    """What the run itself does not know: paces, and where the current evaluation stands."""

    def __init__(self, names: Sequence[str] | None, now: float) -> None:
        self.names = names
        self.started = now
        self.fitting = False
        self.steps = Pace()
        self.epoch_number = 0
        self.batches: int | None = None
        self.stage = ""
        self.evaluation = Pace()
        self.evaluated = 0
        self.evaluations: int | None = None

    def start_epoch(self, run: Run) -> None:
        """Begin to show an epoch."""
        self.epoch_number = run.epoch + 1
        self.batches = planned_batches(run)

    def skip_step(self, run: Run) -> None:
        """Note that an update was dropped: where ``max_steps`` ends the run, the epoch goes on longer for it."""
        self.batches = planned_batches(run)

    def end_epoch(self, run: Run, now: float) -> None:
        """Note how many batches the epoch really had: the length of a loader may be an estimate."""
        self.batches = run.batch_index
        self.count_steps(run, now)

    def count_steps(self, run: Run, now: float) -> None:
        """Note how many steps are complete, from the first on: how long that took is none of the others' time."""
        if self.steps.begun:
            self.steps.mark(run.step, now)

    def start_evaluation(self, run: Run, now: float) -> None:
        """Begin to show an evaluation."""
        self.count_steps(run, now)
        self.steps.pause(now)
        self.stage = run.stage
        self.evaluation = Pace()
        self.evaluated = 0
        self.evaluations = length(run.loaders[run.stage])

    def evaluate(self, now: float) -> None:
        """Note that a batch of the evaluation is done."""
        self.evaluated += 1
        self.evaluation.mark(self.evaluated, now)

    def end_evaluation(self, now: float) -> None:
        """Go on with training."""
        self.evaluations = self.evaluated
        self.steps.resume(now)

    def look(self, run: Run) -> View:
        """Return what there is to show of *run* now. Only plain numbers are read, so any thread may ask."""
        now = run.clock()
        ended = run.outcome is not None
        if not ended:
            self.count_steps(run, now)
        steps = run.step if run.outcome == "completed" else run.total_steps
        pace = self.steps if self.fitting else self.evaluation
        return View(
            fitting=self.fitting,
            stage=run.stage if self.fitting else self.stage,
            step=run.step,
            steps=steps,
            epoch=run.epoch,
            epoch_number=self.epoch_number,
            epochs=planned_epochs(run),
            batch=run.batch_index,
            batches=self.batches,
            evaluated=self.evaluated,
            evaluations=self.evaluations,
            metrics=shown(dict(run.metrics), self.names),
            per_second=pace.overall_per_second() if ended else pace.per_second(),
            eta_seconds=self.seconds_left(run, steps, now),
            elapsed_seconds=run.elapsed_seconds if self.fitting else now - self.started,
            outcome=run.outcome,
            stop_reason=run.stop_reason,
        )

    def seconds_left(self, run: Run, steps: int | None, now: float) -> float | None:
        """Return the seconds to the end: the last step or batch, or ``max_seconds`` if that is sooner."""
        if not self.fitting:
            left = None if self.evaluations is None else self.evaluations - self.evaluated
            return None if left is None else self.evaluation.seconds_left(left, now)
        known = [] if steps is None else [self.steps.seconds_left(steps - run.step, now)]
        if run.config.max_seconds is not None:
            known.append(max(0.0, run.config.max_seconds - run.elapsed_seconds))
        return min((seconds for seconds in known if seconds is not None), default=None)


def planned_batches(run: Run) -> int | None:
    """Return how many micro-batches of the current epoch will be trained, or None when its length is unknown.

    Right only between two steps: within one, the batches are counted before the step is.
    """
    planned = [] if run.batches_per_epoch is None else [run.batches_per_epoch]
    if run.config.max_steps is not None and run.batches_per_epoch is not None:
        planned.append(run.batch_index + (run.config.max_steps - run.step) * run.config.accumulate)
    return min(planned, default=None)


def planned_epochs(run: Run) -> int | None:
    """Return how many epochs the run will begin, or None when nobody can know."""
    if run.batches_per_epoch is None or run.total_steps is None:
        return run.config.max_epochs
    return ceil_divide(run.total_steps, ceil_divide(run.batches_per_epoch, run.config.accumulate))


def ceil_divide(count: int, size: int) -> int:
    """Return how many groups of at most *size* hold *count*; 0 for an empty group."""
    return -(-count // size) if size else 0


def shown(metrics: Mapping[str, float], names: Sequence[str] | None) -> Mapping[str, float]:
    """Return those of *metrics* that are wanted, in the order in which they are; or all, results before others."""
    if names is None:
        known = sorted(metrics, key=lambda name: not name.startswith(RESULTS))
        return {name: metrics[name] for name in known if not name.startswith(ASIDE)}
    return {name: metrics[name] for name in names if name in metrics}


def length(loader: Any) -> int | None:
    """Return the number of batches that *loader* announces, or None."""
    try:
        return len(loader)
    except TypeError:
        return None

"""How training is steered from the outside: skips, proposals to stop or save, and signals.

Everything here is a proposal until the engine settles it at a step boundary, on all ranks at once. A signal handler
only sets a flag: it may run in the middle of a backward pass.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Literal

Outcome = Literal["completed", "stopped", "interrupted", "preempted", "failed"]
HELD_SECONDS = 1.0


class Skip(Exception):  # noqa: N818 - these are control flow, not errors
    """Base of the exceptions by which a hook or a task leaves out a part of the training."""


class SkipBatch(Skip):
    """Leave out this micro-batch: it counts as seen, and gives no gradient."""


class SkipBackward(Skip):
    """Leave out the backward pass of this micro-batch."""


class SkipStep(Skip):
    """Leave out this optimizer update: its gradients are dropped and the step is not counted."""


class SkipEpoch(Skip):
    """Leave the rest of this epoch, its validation included, and go on with the next."""


class Control:
    """The proposals of one run; ``pending`` is True from the first proposal until the engine has settled it.

    ``signal`` is what the run acts on. Where several ranks have to agree (``shared``), a signal that arrives here is
    only ``noted`` at first: a rank that acted on its own would leave the others waiting for it.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self.stop_reason: str | None = None
        self.save_reason: str | None = None
        self.signal: int | None = None
        self.noted: int | None = None
        self.pending = False
        self.shared = shared
        self._interrupted = False
        self._held_until = 0.0

    def outcome_of_signal(self) -> Outcome:
        """Return what the noted signal makes of the run."""
        return "interrupted" if self.signal == signal.SIGINT else "preempted"

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Note the signal, of several the first; a second Ctrl-C does not wait for a step boundary."""
        if number == signal.SIGINT:
            if self._interrupted and time.monotonic() >= self._held_until:
                self.hold()
                raise KeyboardInterrupt
            self._interrupted = True
        # A launcher that is interrupted sends its workers a SIGTERM after the terminal's SIGINT.
        if self.noted is None:
            self.noted = number
        if not self.shared:
            self.signal = self.noted
        self.pending = True

    def hold(self) -> None:
        """Let no Ctrl-C break off what happens in the next `HELD_SECONDS`.

        Whoever presses Ctrl-C twice at once, or goes on pressing, wants training to end, and not that plugins are not
        told of it or that the record is lacking. What takes longer than that, an upload say, can be broken off.
        """
        self._held_until = time.monotonic() + HELD_SECONDS


@contextmanager
def handled_signals(control: Control) -> Iterator[None]:
    """Listen to Ctrl-C, SIGTERM and SIGUSR1 for the time of a fit, and put back what was there before.

    Python delivers signals to the main thread alone; in any other thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGUSR1"):
        numbers.append(signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number, handler in before.items():
            if replaceable(handler):
                signal.signal(number, control.on_signal)
        yield
    finally:
        for number, handler in before.items():
            if replaceable(handler):
                signal.signal(number, handler)


def replaceable(handler: Any) -> bool:
    """Return whether a signal with *handler* may be listened to.

    One that the parent asked to ignore, as `nohup` and a shell's background jobs do, stays ignored; None is a handler
    that was not set from Python, which could not be put back.
    """
    return handler is not None and handler != signal.SIG_IGN

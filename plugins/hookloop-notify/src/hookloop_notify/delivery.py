"""Sends on a thread for each channel, so that neither training nor another channel waits for one that hangs."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from queue import SimpleQueue

from hookloop_notify.channel import Channel, Message, Unsent

MOST_WAITING = 8
ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.5
JOIN_SECONDS = 0.5  # beyond the time that an attempt may take


@dataclass(frozen=True)
class Limits:
    """How long one attempt may take, and a message with all of its attempts."""

    attempt_seconds: float
    message_seconds: float


class Worker:
    """The thread of one channel; it begins with the first message.

    What cannot be sent goes to *warn*. Once the end of the run has come, nothing takes longer than the end may wait.
    """

    def __init__(self, channel: Channel, limits: Limits, warn: Callable[[str], None]) -> None:
        self.channel = channel
        self._limits = limits
        self._warn = warn
        self._queue: SimpleQueue[Message | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._ends_at = math.inf
        self._failed = False

    def offer(self, message: Message) -> None:
        """Have *message* sent soon. One that does not end the run is dropped where too many wait before it."""
        if not message.ends and self._queue.qsize() >= MOST_WAITING:
            self._warn(f"{self.channel.place} is too slow: {MOST_WAITING} messages wait for it, and another is dropped")
            return
        self._queue.put(message)
        if self._thread is None:
            # A daemon: what hangs in a name server's answer must not keep the process alive.
            thread = threading.Thread(target=self._loop, name="hookloop-notify", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the machine has no room for another
                self._warn(f"{self.channel.place}: {error}")
            else:
                self._thread = thread

    def end(self, at: float) -> None:
        """Say that no message follows, and that everything is to be over *at* this `time.monotonic`."""
        self._ends_at = at
        self._ending.set()
        self._queue.put(None)

    def wait(self) -> bool:
        """Wait for the thread; False when it is left behind."""
        if self._thread is None:
            return True
        self._thread.join(max(0.0, self._ends_at + JOIN_SECONDS - time.monotonic()))
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while (message := self._queue.get()) is not None:
            # What the run ended with is worth the time that is left more than what it met on its way.
            if message.ends or not (self._failed and self._ending.is_set()):
                self._deliver(message)

    def _deliver(self, message: Message) -> None:
        begun = time.monotonic()
        for attempt in range(ATTEMPTS):
            try:
                self.channel.send(message, self._until(begun))
            except Unsent as error:
                why = error
            except Exception as error:
                why = Unsent(f"{type(error).__name__}: {error}")
            else:
                self._failed = False
                return
            pause = FIRST_PAUSE_SECONDS * 2**attempt if why.after_seconds is None else why.after_seconds
            if not why.transient or attempt == ATTEMPTS - 1 or not self._pause(pause, message, begun):
                break
        self._failed = True
        self._warn(f"{self.channel.place}: {why}")

    def _until(self, begun: float) -> Callable[[], float]:
        """Return the limit of an attempt that begins now."""
        limit = min(time.monotonic() + self._limits.attempt_seconds, begun + self._limits.message_seconds)
        return lambda: min(limit, self._ends_at)

    def _pause(self, seconds: float, message: Message, begun: float) -> bool:
        """Wait before the next attempt; False when there is no time for one."""
        if time.monotonic() + seconds >= min(begun + self._limits.message_seconds, self._ends_at):
            return False
        if message.ends:
            time.sleep(seconds)
            return True
        return not self._ending.wait(seconds)


class Delivery:
    """All channels of one run."""

    def __init__(self, channels: Iterable[Channel], limits: Limits, warn: Callable[[str], None]) -> None:
        self._workers = tuple(Worker(each, limits, warn) for each in channels)
        self._warn = warn

    def send(self, message: Message) -> None:
        """Have every channel send *message*, without waiting for it."""
        for worker in self._workers:
            worker.offer(message)

    def end(self, seconds: float) -> None:
        """Wait until everything is sent, for no more than *seconds* and a moment."""
        at = time.monotonic() + seconds
        for worker in self._workers:
            worker.end(at)
        for worker in self._workers:
            if not worker.wait():
                self._warn(f"{worker.channel.place} has not answered for {seconds:g} s, and is left behind")

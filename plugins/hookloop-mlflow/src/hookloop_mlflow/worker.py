"""The thread that sends: the one that trains never waits for a server."""

from __future__ import annotations

import logging
import threading
import time

from hookloop_mlflow.addresses import without_password
from hookloop_mlflow.library import hushed, lasts
from hookloop_mlflow.sender import Beginning, Ending, Sender

log = logging.getLogger("hookloop.mlflow")

LONGEST_PAUSE_SECONDS = 30.0
PATIENCE_SECONDS = 10.0  # with one call, before it is told that there is no answer
LOOK_SECONDS = 0.05


class Worker:
    """Lets *sender* send what there is every *interval_seconds*, and after a failure again, later each time."""

    def __init__(self, sender: Sender, interval_seconds: float) -> None:
        self.sender = sender
        self.interval_seconds = interval_seconds
        self.changed = threading.Condition()
        self.news = False
        self.abandoned = False
        self.stopped = ""  # why nothing is sent any more
        self.failures = 0
        self.said = False
        self.calls = 0  # that succeeded
        self.busy_since: float | None = None
        self.thread = threading.Thread(target=self.run, name="hookloop-mlflow", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def begin(self, beginning: Beginning) -> None:
        """Let it be known what is to be sent."""
        self.sender.beginning = beginning
        self.wake()

    def wake(self) -> None:
        """Tell that there is something new; say so when a call has been waiting for an answer for long."""
        with self.changed:
            self.news = True
            self.changed.notify()
        since = self.busy_since
        if since is not None and time.monotonic() - since > PATIENCE_SECONDS:
            self.say("there is no answer")

    def finish(self, ending: Ending, drain_seconds: float) -> bool:
        """Send the rest and *ending*; give up once *drain_seconds* passed without a call that succeeded."""
        self.sender.ending = ending
        self.wake()
        calls, deadline = self.calls, time.monotonic() + drain_seconds
        while self.thread.is_alive() and time.monotonic() < deadline:
            self.thread.join(LOOK_SECONDS)
            if self.calls != calls:
                calls, deadline = self.calls, time.monotonic() + drain_seconds
        with self.changed:
            self.abandoned = True
            self.changed.notify()
        if self.busy_since is None:
            self.thread.join(drain_seconds)
        return self.sender.ended or (self.sender.beginning is None and not self.stopped)

    def run(self) -> None:
        """Send until the end, or until nobody waits any more."""
        with hushed():
            while not self.is_over():
                self.pause()
                if not self.is_over():
                    self.send()

    def is_over(self) -> bool:
        """Return whether there is nothing left to do for this thread."""
        idle = self.sender.ending is not None and self.sender.beginning is None
        return self.abandoned or bool(self.stopped) or self.sender.ended or idle

    def pause(self) -> None:
        """Wait for news, and then long enough for more to come; after a failure longer, and the less at the end."""
        with self.changed:
            if self.failures:
                seconds = min(2.0 ** (self.failures - 1), LONGEST_PAUSE_SECONDS)
                ending = self.sender.ending is not None
                self.changed.wait_for(lambda: self.abandoned or (self.news and not ending and self.hurries()), seconds)
            else:
                self.changed.wait_for(lambda: self.news or self.abandoned)
                self.changed.wait_for(lambda: self.hurries() or self.abandoned, self.interval_seconds)
            self.news = False

    def hurries(self) -> bool:
        """Return whether the run is ending."""
        return self.sender.ending is not None

    def send(self) -> None:
        """Send all there is; whatever goes wrong, training goes on."""
        try:
            while not self.abandoned and self.call():
                pass
        except Exception as error:
            reason = without_password(str(error)).strip().partition("\n")[0]
            if lasts(error):
                self.stopped = reason
                log.warning("nothing more is logged to MLflow: %s", reason)
            else:
                self.failures += 1
                if self.failures > 1 or self.hurries():
                    self.say(reason)

    def call(self) -> bool:
        """Do one thing, and note that it succeeded."""
        self.busy_since = time.monotonic()
        try:
            more = self.sender.advance()
        finally:
            self.busy_since = None
        if more:
            self.calls += 1
            if self.said:
                log.warning("MLflow answers again")
            self.failures, self.said = 0, False
        return more

    def say(self, reason: str) -> None:
        """Say what is wrong, once until it is right again."""
        if not self.said:
            self.said = True
            uri = without_password(self.sender.store.uri)
            log.warning("MLflow at %s: %s; what is logged is kept, and sent when it answers", uri, reason)

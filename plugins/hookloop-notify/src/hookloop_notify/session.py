"""One run's messages: what is told, when, and to whom."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from hookloop_notify.channel import Channel
from hookloop_notify.command import Program
from hookloop_notify.delivery import Delivery, Limits
from hookloop_notify.guarding import is_lost, scrubber, spoken
from hookloop_notify.mail import Mail
from hookloop_notify.message import Failure, clock_of, compose
from hookloop_notify.webhook import Post

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_notify.conditions import Watch
    from hookloop_notify.limiter import Limiter
    from hookloop_notify.options import NotifyConfig

log = logging.getLogger("hookloop.notify")

MOST_OF_A_WARNING = 600
IN_A_HURRY = ("preempted", "interrupted")


class Session:
    """From the beginning of a run to its end, on the rank that sends.

    Attributes:
        command: what the run does, once that is known.
    """

    def __init__(self, name: str, config: NotifyConfig, run: Run, watch: Watch, limiter: Limiter) -> None:
        self.command = ""
        self._name = name
        self._config = config
        self._run = run
        self._watch = watch
        self._limiter = limiter
        self._failure = Failure()
        self._told_end = ""
        self._warned: set[str] = set()
        self._scrub = scrubber(config, run.settings, os.environ)
        limits = Limits(config.attempt_seconds, config.timeout_seconds)
        self._delivery = Delivery(self._channels(), limits, self._warn)

    def start(self) -> None:
        """Say what is wrong with how secrets are given."""
        table = self._run.settings.get("plugins", {}).get(self._name, {})
        for warning in spoken(self._config, table if isinstance(table, Mapping) else {}):
            self._warn(warning)

    def ready(self) -> None:
        """Tell that the run has started, if that is wanted."""
        if "started" in self._config.on:
            again = " again" if self._run.resumed_from is not None else ""
            self._send("running", f"started{again}", "")

    def check(self, metrics: Mapping[str, float]) -> None:
        """Tell of the conditions that have become true, or hold that back for a while."""
        texts, run = self._watch.check(metrics), self._run
        if not texts:
            return
        if not self._limiter.allows(run.elapsed_seconds):
            self._limiter.hold(texts, run.step)
            return
        self._send("running", "; ".join(texts), "\n".join(texts))

    def fail(self, error: BaseException) -> None:
        """Keep what is to be said of *error*."""
        self._failure = Failure.of(error, self._config.traceback_lines, self._scrub)

    def preempt(self, number: int) -> None:
        """Tell of the preemption at once, while others save: nobody knows how much time is left after that."""
        self._tell_end("preempted", signal_name(number), f"preempted by {signal_name(number)}")

    def end(self, outcome: str) -> None:
        """Tell how the run ended, and wait until that is sent."""
        run, reason = self._run, self._failure.error
        summary = f"{outcome} after {clock_of(run.elapsed_seconds)}"
        if outcome == "stopped":
            reason = run.stop_reason or ""
            summary = f"stopped: {reason}"
        elif outcome == "failed":
            summary = f"failed: {reason}"
        if outcome == "completed" and self.command == "fit":
            for warning in self._watch.unseen(run.metrics):
                self._warn(warning)
        if outcome != self._told_end:
            self._tell_end(outcome, reason, summary)
        hurry = outcome in IN_A_HURRY
        self._delivery.end(self._config.grace_seconds if hurry else self._config.timeout_seconds)

    def _tell_end(self, outcome: str, reason: str, summary: str) -> None:
        self._told_end = outcome
        if outcome in self._config.on:
            self._send(outcome, summary, reason, ends=True)

    def _send(self, outcome: str, summary: str, reason: str, *, ends: bool = False) -> None:
        what = f"{self.command} " if self.command not in ("", "fit") else ""
        message = compose(
            self._config,
            self._run,
            self._scrub,
            outcome=outcome,
            command=self.command,
            reason=reason,
            summary=what + summary,
            failure=self._failure if outcome == "failed" else Failure(),
            note=self._limiter.take(),
            ends=ends,
        )
        self._delivery.send(message)

    def _channels(self) -> Iterator[Channel]:
        config = self._config
        for kind, options in (("email", config.email), ("webhook", config.webhook)):
            if options is not None and is_lost(options):
                self._warn(
                    f"{kind}: a secret of it is only '***' here, as config.toml has it, so nothing is sent by it"
                )
        if config.email is not None and not is_lost(config.email):
            yield Mail(config.email)
        if config.webhook is not None and not is_lost(config.webhook):
            yield Post(config.webhook)
        if config.command is not None:
            yield Program(config.command)

    def _warn(self, text: str) -> None:
        """Warn of the same thing once; threads call this as well."""
        text = self._scrub(text)[:MOST_OF_A_WARNING]
        if text not in self._warned:
            self._warned.add(text)
            log.warning("%s: %s", self._name, text)


def signal_name(number: int) -> str:
    """Return what a signal is called."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

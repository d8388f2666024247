"""The hooks of the plugin ``notify``: they tell the session of a run what happens in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hookloop import hookimpl
from hookloop_notify.conditions import Watch
from hookloop_notify.limiter import Limiter
from hookloop_notify.options import NotifyConfig

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_notify.session import Session


class Notify:
    """Sends a message by e-mail, webhook or command when a run ends, however it ends, or a metric meets a condition.

    Messages are sent by threads of their own; only the end of a run waits for them, and not for long. What cannot be
    sent is a warning. One process of a run sends, rank 0.
    """

    role = "observer"
    Config = NotifyConfig

    def __init__(self, config: NotifyConfig) -> None:
        self.config = config
        self.session: Session | None = None
        self.reset()

    def reset(self) -> None:
        """Begin with no condition met and nothing sent."""
        self.watch = Watch.parse(self.config.when)
        self.limiter = Limiter(self.config.min_interval_seconds)

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Forget the run before, and say what is wrong with how secrets are given."""
        self.session = None
        self.reset()
        if run.rank == 0:
            self.session_of(run).start()

    @hookimpl
    def on_ready(self, run: Run) -> None:
        """Tell that everything is built."""
        if self.session is not None:
            self.session.ready()

    @hookimpl
    def on_fit_start(self) -> None:
        """Note what the run does."""
        self.name_command("fit")

    @hookimpl
    def on_validation_start(self) -> None:
        """Note what the run does, unless the validation is a part of a fit."""
        self.name_command("validate")

    @hookimpl
    def on_test_start(self) -> None:
        """Note what the run does."""
        self.name_command("test")

    @hookimpl
    def on_predict_start(self) -> None:
        """Note what the run does."""
        self.name_command("predict")

    @hookimpl
    def on_metrics(self, metrics: Mapping[str, float]) -> None:
        """Look whether a condition has become true."""
        if self.session is not None:
            self.session.check(metrics)

    @hookimpl
    def on_preempted(self, signal: int) -> None:
        """Tell of it while others save."""
        if self.session is not None:
            self.session.preempt(signal)

    @hookimpl
    def on_exception(self, run: Run, error: BaseException) -> None:
        """Keep what is to be said of the error; also when the run failed before this plugin saw it start."""
        if run.rank == 0:
            self.session_of(run).fail(error)

    @hookimpl
    def on_run_end(self, run: Run, outcome: str) -> None:
        """Tell how the run ended."""
        if run.rank == 0:
            session, self.session = self.session_of(run), None
            session.end(outcome)

    def session_of(self, run: Run) -> Session:
        """Return the session of *run*, which begins with the first call."""
        if self.session is None:
            from hookloop_notify.session import Session

            self.session = Session(run.plugins.name_of(self), self.config, run, self.watch, self.limiter)
        return self.session

    def name_command(self, command: str) -> None:
        """Keep the first thing that the run does."""
        if self.session is not None and not self.session.command:
            self.session.command = command

    def state_dict(self) -> dict[str, Any]:
        """Return which conditions are met, and what the limit on messages goes by."""
        met = [list(key) for key in sorted(self.watch.met)]
        return {"met": met, "limiter": self.limiter.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*: what was told of is not told again."""
        self.watch.met = {(name, text) for name, text in state["met"]}
        self.limiter.load_state_dict(state["limiter"])

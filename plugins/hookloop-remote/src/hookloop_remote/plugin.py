"""The plugin ``remote``: the metrics of a run, posted to a web server."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from hookloop import Interval, PluginConfig, Trigger, hookimpl
from hookloop_remote.endpoint import parse_url
from hookloop_remote.options import check_headers, check_url, check_value, make_poster
from hookloop_remote.outbox import Outbox
from hookloop_remote.queues import folder_of
from hookloop_remote.rows import Chooser, Counts, Format, Layout, Logged, Place, metrics_of

if TYPE_CHECKING:
    from cyclopts import App

    from hookloop import Run

KERAS_EVERY = Interval(1, "epoch")


class Remote:
    """Posts what was logged: a row at each logging boundary, or as often as ``every`` says.

    A row is in a file when a checkpoint of its step is saved, and a thread of its own posts what is in the file, in
    order. So nothing that the server does is felt by the training, and a row outlives the process.
    """

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.remote]``."""

        url: Annotated[str, AfterValidator(check_url)] = Field("http://localhost:9000/publish/epoch/end/", repr=False)
        """Where to post to: `http` or `https`. The default is that of Keras. A user and a password in it are sent as
        basic authorization."""

        every: Interval | None = None
        """How often to send a row, such as `50 steps` or `1 epoch`; without it, whenever metrics are logged, which
        `run.log_every` says. A row has the newest values since the last one."""

        include: tuple[str, ...] = Field(("*",), min_length=1)
        """Patterns of the metrics to send, such as `val/*`."""

        exclude: tuple[str, ...] = ()
        """Patterns of the metrics not to send, of those."""

        format: Format = "json"
        """How to send a row: `json` is the body of the request, `form` is that JSON in a field of a form."""

        field: str = Field("data", min_length=1)
        """The name of that field."""

        layout: Layout = "row"
        """What to send: `row` has `id`, `run`, `name`, `stage`, `step`, `epoch`, `time`, `dropped` and `metrics`;
        `keras` has the metrics and an `epoch` that counts from 0 beside them, once an epoch, as of
        `RemoteMonitor`."""

        headers: Annotated[dict[str, SecretStr], AfterValidator(check_headers)] = Field(default_factory=dict)
        """Further headers, such as `{ X-Key = { env = "KEY" } }`."""

        bearer_token: Annotated[SecretStr, AfterValidator(check_value)] | None = None
        """What to send as `Authorization: Bearer …`; from the environment: `{ env = "TOKEN" }`."""

        ca_file: str | None = None
        """Certificates (PEM) to trust instead of the system's, for a server of your own."""

        timeout_seconds: float = Field(10.0, gt=0, le=600)
        """How long a try may take, from the name of the server to the last byte of its answer."""

        retries: int = Field(4, ge=0, le=100)
        """How often to try again in short order. After that, a row that the server refuses (4xx) is put aside, and any
        other is tried every `max_backoff_seconds`."""

        backoff_seconds: float = Field(0.5, gt=0, le=600)
        """How long to wait before the first retry; before each further one, twice as long. `Retry-After` of the server
        counts up to a minute."""

        max_backoff_seconds: float = Field(10.0, gt=0, le=3600)
        """The longest wait between two tries."""

        spool_limit_bytes: int = Field(100_000_000, ge=1000)
        """How many bytes of rows may wait on disk, about 300 a row; beyond that, new rows are dropped and counted."""

        drain_seconds: float = Field(5.0, ge=0, le=3600)
        """How long the end of a run waits for the last rows to be delivered. A server that gives no sign of life is
        given a second at most."""

        @model_validator(mode="after")
        def check_keras(self) -> Self:
            """Refuse what the layout of Keras has no word for."""
            if self.layout == "keras" and self.every is not None and self.every.unit != "epoch":
                raise ValueError(f"layout = 'keras' counts epochs: 'every' cannot be '{self.every}'")
            return self

    def __init__(self, config: Config) -> None:
        self.config = config
        self.every = KERAS_EVERY if config.layout == "keras" and config.every is None else config.every
        # Each row is sent as it is, or one of the newest values; and a hook without work costs each step.
        vars(self).update(dict.fromkeys(("on_metrics", "decide") if self.every is None else ("write_rows",)))
        self.reset()

    def reset(self) -> None:
        """Begin with nothing collected and nothing sent."""
        self.chooser = Chooser(self.config.include, self.config.exclude)
        self.trigger: Trigger | None = None
        self.collected: dict[str, float] = {}
        self.due = False
        self.epoch = 0
        self.last: Counts = (-1, -1, 0)
        self.stage = "train"
        self.outbox: Outbox | None = None
        self.saved: Mapping[str, Any] | None = None

    @hookimpl
    def add_commands(self, app: App) -> None:
        """Add ``hookloop remote``."""
        app.command("hookloop_remote.commands:app", name="remote", help="Send rows that a run could not.")

    @hookimpl
    def on_run_start(self) -> None:
        """Forget the run before, if this instance has seen one, and find out what cannot work."""
        self.reset()
        make_poster(self.config)

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Go back to the step that training goes on from, and begin to send."""
        if run.rank != 0:
            return
        saved, self.saved = self.saved, None
        self.stage = "train"
        self.trigger = Trigger(self.every) if self.every is not None else None
        self.epoch = run.epoch
        if saved is not None:
            self.collected, self.due, self.epoch = dict(saved["collected"]), saved["due"], saved["epoch"]
            self.last = tuple(saved["last"])
            if self.trigger is not None and saved["trigger"] is not None:
                self.trigger.load_state_dict(saved["trigger"])
        self.open(run, anew=run.attempt == 0, resumed_at=self.newest_place(run, known=saved is not None))

    def newest_place(self, run: Run, *, known: bool) -> Place:
        """Return the place after which training makes every row again."""
        here = (run.step, run.epoch)
        if self.last[:2] == here:
            return Place(*self.last)
        # Without a state, rows of this very step are taken to be there; from the start, there can be none.
        return Place(*here, -1 if known or run.step == 0 else 1 << 62)

    @hookimpl
    def on_validation_start(self, run: Run) -> None:
        """Begin to send, if this is no part of a fit."""
        self.evaluate(run, "validate")

    @hookimpl
    def on_test_start(self, run: Run) -> None:
        """Begin to send."""
        self.evaluate(run, "test")

    @hookimpl
    def on_predict_start(self, run: Run) -> None:
        """Begin to send, if only what another run has left."""
        self.evaluate(run, "predict")

    def evaluate(self, run: Run, stage: str) -> None:
        """Open the queue for an evaluation, whose rows are no part of the training's."""
        if run.rank == 0 and self.outbox is None:
            self.stage = stage
            self.open(run, anew=False, resumed_at=None)

    def open(self, run: Run, *, anew: bool, resumed_at: Place | None) -> None:
        """Open the queue of this instance in the directory of the run."""
        instance = run.plugins.name_of(self)
        folder, url = folder_of(run.directory, instance), parse_url(self.config.url).label
        self.outbox = Outbox(folder, self.config, name=run.config.name, instance=instance, url=url)
        self.outbox.open(anew=anew, resumed_at=resumed_at)

    @hookimpl
    def write_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Put all rows that were logged into the queue."""
        if self.outbox is None:
            return
        chosen: list[Logged] = []
        for row in rows:
            metrics = self.chooser.choose(metrics_of(row))
            if metrics:
                chosen.append((self.place(row["step"], row["epoch"]), metrics, row["time"]))
        self.outbox.put(self.stage, *chosen)

    @hookimpl
    def on_metrics(self, metrics: Mapping[str, float]) -> None:
        """Collect the newest values until a row is due."""
        if self.outbox is not None:
            self.collected.update(self.chooser.choose(dict(metrics)))

    @hookimpl(tryfirst=True)
    def decide(self, run: Run) -> None:
        """Put a row into the queue if it is time to, before anyone saves the step."""
        trigger, epoch_ended = self.trigger, run.epoch != self.epoch
        self.epoch = run.epoch
        # An evaluation on its own has no intervals: what it came to is due.
        if trigger is None or (trigger.due_at_epoch(run) if epoch_ended else trigger.due(run)):
            self.due = True
        if self.due and self.collected and self.outbox is not None:
            collected, self.collected, self.due = self.collected, {}, False
            self.outbox.put(self.stage, (self.place(run.step, run.epoch), collected, time.time()))

    def place(self, step: int, epoch: int) -> Counts:
        """Return the place of the next row; several of one boundary are told apart by a number."""
        last_step, last_epoch, nth = self.last
        self.last = (step, epoch, nth + 1 if (last_step, last_epoch) == (step, epoch) else 0)
        return self.last

    @hookimpl
    def on_run_end(self) -> None:
        """Wait a while for the last rows to be delivered, however the run ended."""
        outbox, self.outbox = self.outbox, None
        if outbox is not None:
            outbox.close()

    def state_dict(self) -> dict[str, Any]:
        """Return what was collected, when the next row is due, and the place of the newest one."""
        if self.saved is not None:
            return dict(self.saved)
        return {
            "collected": dict(self.collected),
            "due": self.due,
            "epoch": self.epoch,
            "last": list(self.last),
            "trigger": None if self.trigger is None else self.trigger.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Keep *state* until training starts."""
        self.saved = state

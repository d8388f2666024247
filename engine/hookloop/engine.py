"""`Engine`: the Python side of what a TOML file and the command line say, by the same names."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from hookloop.callbacks import Subscriber, Subscription, name_of, subscriber, subscription
from hookloop.config import ConfigTree, dotted
from hookloop.draft import read_draft
from hookloop.errors import ConfigError, Problem, suggest
from hookloop.interval import Interval
from hookloop.names import kebab
from hookloop.options import Precision, RunOptions
from hookloop.plan import Plan, make_plan, spec_parameters
from hookloop.selection import read_python

if TYPE_CHECKING:
    from hookloop.result import Result
    from hookloop.resume import Resume
    from hookloop.run import Run
    from hookloop.task import Task

Clock = Callable[[], float]
F = TypeVar("F", bound=Callable[..., Any])
Part = Any  # a name, (name, {options}), or a callable

PLACE = "Engine(...)"  # where a problem stands that was not written in a file
KEYWORDS = ("task", "loss", "optimizer", "schedule", "metrics", "plugins", "clock")


class RunKeywords(TypedDict, total=False):
    """Every key of ``[run]``; see `hookloop.options.RunOptions` for what each means."""

    name: str
    seed: int
    max_epochs: int | None
    max_steps: int | None
    max_seconds: float | None
    device: str
    precision: Precision
    accumulate: int
    clip_grad_norm: float | None
    clip_grad_value: float | None
    log_every: str | Interval
    validate_every: str | Interval
    threads: int | None
    deterministic: bool
    runs_dir: str | Path
    run_dir: str | Path | None
    overwrite: bool
    strict_resume: bool


class Engine:
    """Trains a task.

    Args:
        task: what to train, or a function that makes it; seeds are set before the function is called.
        loss: a name, ``(name, {options})``, or any ``callable(output, target)``.
        optimizer: a name, ``(name, {options})``, or any ``callable(params)``.
        schedule: a name, ``(name, {options})``, or any ``callable(progress, lr) -> lr``.
        metrics: name → options, or a metric, or a function of ``(output, target)``.
        plugins: names, ``(name, {options})``, or plugin objects; called in this order.
        clock: seconds that only go forward; everything that the engine measures and limits goes by it.
        run: every key of ``[run]``.

    Nothing is checked or built before `fit`, `validate`, `test` or `predict` is called. Each of them raises
    ConfigError with all problems at once, a PluginError that names the plugin, and whatever the user's code raises.
    """

    def __init__(
        self,
        task: Task | Callable[[], Task],
        *,
        loss: Part = None,
        optimizer: Part = None,
        schedule: Part = None,
        metrics: Mapping[str, Part] | None = None,
        plugins: Iterable[Any] = (),
        clock: Clock = time.monotonic,
        **run: Unpack[RunKeywords],
    ) -> None:
        self.task = task
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.metrics = metrics
        self.plugins = plugins
        self.clock = clock
        self.run_options = run
        self._subscriptions: list[Subscription] = []
        self._last: Result | None = None

    def on(
        self,
        event: str,
        *,
        every: str | Interval | None = None,
        once: bool = False,
        when: Callable[[Run], Any] | None = None,
    ) -> Callable[[F], F]:
        """Return a decorator that has a function called at *event*, which is any hook that has a ``run``.

        The function takes those arguments of the hook that it names; what it returns counts as what a plugin returns.
        *every* is an interval, such as ``"2 epochs"``: it is called at the first event after each. *once*: only the
        first time. *when*: only while this function of the run is true. Raises ConfigError for what is wrong with it.
        """

        def subscribe(function: F) -> F:
            given = subscription(event, function, spec_parameters(), every=every, once=once, when=when)
            self._subscriptions.append(given)
            return function

        return subscribe

    def fit(self, *, resume: Resume | None = None) -> Result:
        """Train, and return how it ended.

        *resume* says what to go on from. True is the newest valid snapshot of ``run_dir``, or of the newest run of this
        name, and the beginning where there is none; a path is that of a run directory or of a snapshot; a mapping is
        the ``state`` of an earlier result.
        """
        self._last = self._execute("train", resume=resume)
        return self._last

    def validate(self) -> Result:
        """Compute the loss and the metrics on the validation data; after `fit`, in its run directory."""
        return self._execute("validate")

    def test(self) -> Result:
        """Compute the loss and the metrics on the test data; after `fit`, in its run directory."""
        return self._execute("test")

    def predict(self) -> Result:
        """Predict; the plugins take the outputs. After `fit`, in its run directory."""
        return self._execute("predict")

    def _execute(self, command: Any, *, resume: Resume | None = None) -> Result:
        from hookloop.session import execute

        adds_to = None if command == "train" else self._last
        return execute(self.plan(), command, clock=self.clock, environ=os.environ, resume=resume, adds_to=adds_to)

    def plan(self) -> Plan:
        """Return the checked configuration, with the plugins loaded."""
        problems: list[Problem] = []
        given, unreadable = read_python([*listed(self.plugins, problems), *self._subscribers()])
        order = {"plugins": {"order": [each.instance for each in given]}} if given else {}
        tree = ConfigTree.from_python({**self._tables(problems), **order}, PLACE)
        problems += unreadable
        if problems:
            raise read_draft(tree, given=given, environ=os.environ).error(*problems) or ConfigError(problems)
        return make_plan(tree, given=given, environ=os.environ)

    def _subscribers(self) -> list[tuple[str, Subscriber]]:
        """Return a new plugin for each function that `on` was given, so that each run begins with its own."""
        names: Counter[str] = Counter()
        found = []
        for each in self._subscriptions:
            name = kebab(name_of(each.function))
            names[name] += 1
            name = name if names[name] == 1 else f"{name}-{names[name]}"
            found.append((name, subscriber([each], spec_parameters(), Subscriber)))
        return found

    def _tables(self, problems: list[Problem]) -> dict[str, Any]:
        """Return what was given, as the tables of a file; what is wrong with it as it stands goes to *problems*."""
        known = RunOptions.__annotations__
        unknown = [key for key in self.run_options if key not in known]
        problems += [Problem(PLACE, key, f"unknown keyword.{suggest(key, [*KEYWORDS, *known])}") for key in unknown]
        tables: dict[str, Any] = {
            "run": {key: value for key, value in self.run_options.items() if key in known},
            "task": {"use": self.task},
            "metrics": metric_parts(self.metrics, problems),
        }
        for name in ("loss", "optimizer", "schedule"):
            tables[name] = part(name, getattr(self, name), problems)
        return {name: table for name, table in tables.items() if table}


def part(name: str, given: Part, problems: list[Problem]) -> dict[str, Any] | None:
    """Return *given* as the table ``[name]`` would have it, or None; what is no such thing goes to *problems*."""
    if given is None:
        return None
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Mapping):
        return {**given[1], "use": given[0]}
    if isinstance(given, str) or callable(given):
        return {"use": given}
    problems.append(Problem(PLACE, name, f"got {given!r}, expected a name, a pair (name, {{options}}), or a callable."))
    return None


def metric_parts(given: Any, problems: list[Problem]) -> dict[str, Any]:
    """Return *given* as the tables ``[metrics.NAME]`` would have it; what is no mapping goes to *problems*."""
    if given is None or isinstance(given, Mapping):
        return {name: metric_part(name, each, problems) for name, each in (given or {}).items()}
    problems.append(Problem(PLACE, "metrics", f"got {given!r}, expected a mapping, such as {{'accuracy': {{}}}}."))
    return {}


def metric_part(name: str, given: Part, problems: list[Problem]) -> dict[str, Any]:
    """Return *given* as the table ``[metrics.name]`` would have it."""
    if isinstance(given, Mapping):
        return {"use": name, **given}
    if hasattr(given, "update"):
        return {"use": given}
    return part(dotted(("metrics", name)), given, problems) or {"use": name}


def listed(plugins: Iterable[Any], problems: list[Problem]) -> list[Any]:
    """Return *plugins* as a list; a lone name, which is an iterable as well, goes to *problems*."""
    if not isinstance(plugins, str):
        return list(plugins)
    problems.append(Problem(PLACE, "plugins", f"got {plugins!r}, expected a list: plugins=[{plugins!r}]."))
    return []

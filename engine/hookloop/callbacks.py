"""Plugins that are no more than a function: what `Engine.on` and the plugin ``lambda`` make of one.

A function takes those arguments of the hook that it names, as a method of a plugin does. One whose parameters have no
names, such as a builtin, takes as many as it has room for, from the left.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from hookloop.errors import ConfigError, suggest
from hookloop.interval import Counters, Interval
from hookloop.markers import hookimpl

if TYPE_CHECKING:
    from hookloop.run import Run

WITHOUT_RUN = ("add_commands",)  # is called when there is no run yet


@dataclass(frozen=True)
class Subscription:
    """A function, the hook that it is called in, and how often.

    ``every`` counts what the run has completed: the function is called at the first event at which another interval is
    complete. ``once`` is at the first time that it would be called. ``when`` is asked each time.
    """

    hook: str
    function: Callable[..., Any]
    every: Interval | None = None
    once: bool = False
    when: Callable[[Run], Any] | None = None


class Due:
    """Says whether a subscription is to be called now, and remembers what a resumed run needs for the same answers."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.intervals = 0
        self.done = False

    def __call__(self, run: Run) -> bool:
        """Return whether the function is to be called at this event."""
        wanted = self.subscription
        if self.done or not (self.interval_is_over(run) and (wanted.when is None or wanted.when(run))):
            return False
        self.done = wanted.once
        return True

    def interval_is_over(self, run: Run) -> bool:
        """Return whether an interval was completed since this was last true."""
        every = self.subscription.every
        if every is None:
            return True
        before, self.intervals = self.intervals, int(counted(run, every) // every.count)
        return self.intervals > before

    def state_dict(self) -> dict[str, Any]:
        """Return what was done; the intervals only mean something for the same interval."""
        return {"done": self.done, "every": str(self.subscription.every), "intervals": self.intervals}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*."""
        self.done = state["done"] and self.subscription.once
        if state["every"] == str(self.subscription.every):
            self.intervals = state["intervals"]


class Subscriber:
    """A plugin that calls functions, each in its hook and when it is due; made by `subscriber`."""

    role = "actor"

    def __init__(self, due: Mapping[str, Due]) -> None:
        self.due = due

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each subscription, by hook."""
        return {hook: due.state_dict() for hook, due in self.due.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*; hooks without one start afresh."""
        for hook, due in self.due.items():
            if hook in state:
                due.load_state_dict(state[hook])


S = TypeVar("S", bound=Subscriber)


def subscriber(subscriptions: Iterable[Subscription], parameters: Mapping[str, Sequence[str]], kind: type[S]) -> S:
    """Return the plugin that calls the function of each of *subscriptions*; *parameters* are those of every hook.

    Its hooks are attributes of the object, as only an object knows which hooks its functions want.
    """
    plugin = kind({each.hook: Due(each) for each in subscriptions})
    for hook, due in plugin.due.items():
        setattr(plugin, hook, caller(due, parameters[hook]))
    return plugin


def caller(due: Due, parameters: Sequence[str]) -> Callable[..., Any]:
    """Return the implementation of a hook with these *parameters*, which calls the function of *due* when it is."""
    function, hook = due.subscription.function, due.subscription.hook
    by_place, by_name = arguments_of(function, parameters, hook)
    names = {name: parameters.index(name) for name in by_name}

    def call(*given: Any) -> Any:
        if not due(given[0]):
            return None
        return function(*given[:by_place], **{name: given[place] for name, place in names.items()})

    # pluggy reads the parameters of an implementation from its code, so `*given` has to be spelt out.
    listed, namespace = ", ".join(parameters), {"call": call}
    exec(f"def {hook}({listed}):\n    return call({listed})", namespace)
    return hookimpl(namespace[hook])


def counted(run: Counters, every: Interval) -> float:
    """Return how many of the interval's units *run* has completed."""
    return {"step": run.step, "epoch": run.epoch, "sample": run.samples, "second": run.elapsed_seconds}[every.unit]


def subscription(
    hook: str,
    function: Callable[..., Any],
    parameters: Mapping[str, Sequence[str]],
    *,
    every: str | Interval | None = None,
    once: bool = False,
    when: Callable[[Run], Any] | None = None,
) -> Subscription:
    """Return the checked subscription; *parameters* are those of every hook. Raises ConfigError for what is wrong."""
    known = [name for name in parameters if name not in WITHOUT_RUN]
    if hook not in known:
        raise ConfigError(f"there is no event '{hook}'.{suggest(hook, known) or ' All of them: hookloop hooks'}")
    if not callable(function):
        raise ConfigError(f"{hook}: got {function!r}, expected a function.")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise ConfigError(f"{hook}: {name_of(function)} is async or yields; events are called, so write a plain def.")
    if when is not None and not callable(when):
        raise ConfigError(f"{hook}: when is {when!r}, expected a function of the run.")
    arguments_of(function, parameters[hook], hook)
    try:
        interval = Interval.parse(every) if isinstance(every, str) else every
    except ValueError as error:
        raise ConfigError(f"{hook}: every: {error}") from None
    return Subscription(hook, function, interval, once, when)


def arguments_of(function: Callable[..., Any], parameters: Sequence[str], hook: str) -> tuple[int, list[str]]:
    """Return how many of the *parameters* of *hook* the function takes by place, and which by name.

    Raises ConfigError when it needs one that the hook does not have.
    """
    try:
        own = list(inspect.signature(function).parameters.values())
    except ValueError:  # a builtin that does not say what it takes
        return len(parameters), []
    if any(each.kind is each.VAR_POSITIONAL for each in own):
        return len(parameters), []
    by_place = sum(each.kind is each.POSITIONAL_ONLY for each in own)
    named = [each for each in own if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    for each in named:
        if each.default is each.empty and each.name not in parameters:
            hint = suggest(each.name, parameters) or f" It has: {', '.join(parameters)}."
            raise ConfigError(f"{name_of(function)} asks for {each.name}, which the hook {hook} does not have.{hint}")
    if by_place > len(parameters):
        raise ConfigError(f"{name_of(function)} takes {by_place} arguments; {hook} has {', '.join(parameters)}.")
    return by_place, [each.name for each in named if each.name in parameters]


def name_of(function: Callable[..., Any]) -> str:
    """Return what *function* is called: of a partial, the function inside; of a callable object, its class."""
    inner = getattr(function, "func", function)
    name = getattr(inner, "__name__", type(inner).__name__)
    return "function" if name == "<lambda>" else str(name)

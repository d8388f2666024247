"""Makes a schedule of what stands inside of another: a name, a location, or a table with ``use`` and options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from hookloop_schedules.importing import import_location, is_location

Factory = Callable[..., Any]


def make_inner(spec: Any, period: int | None) -> Callable[..., Any]:
    """Return ``rate(t, lr)``, or ``attach(optimizer)`` for a schedule with a memory; *period* is what is left of it.

    Raises ValueError for a name of nothing and for options that it does not take.
    """
    table = dict(spec) if isinstance(spec, Mapping) else {"use": spec}
    use = table.pop("use", None)
    factory = find(use)
    names = parameters(factory)
    if period is not None and "period" in names:
        table.setdefault("period", max(period, 1))
    if wants_optimizer(factory):
        check(use, factory, (None,), table)
        return with_optimizer(factory, table)
    if is_location(use) or not isinstance(use, str):
        return own_rate(use, factory, table)
    check(use, factory, (), table)
    return factory(**table)  # type: ignore[no-any-return]


def with_optimizer(factory: Factory, options: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return what makes the schedule for an optimizer; its parameter has the name by which the engine knows it."""

    def attach(optimizer: Any) -> Any:
        return factory(optimizer, **options)

    return attach


def own_rate(use: Any, factory: Factory, options: Mapping[str, Any]) -> Callable[..., Any]:
    """Return code of the user's own, which is the rate itself or makes it."""
    if inspect.isclass(factory) or not binds(factory, (0, 0.0), options):
        check(use, factory, (), options)
        return factory(**options)  # type: ignore[no-any-return]
    return functools.partial(factory, **options) if options else factory


def find(use: Any) -> Factory:
    """Return what *use* names."""
    from hookloop_schedules.offered import offered

    if callable(use):
        return use  # type: ignore[no-any-return]
    if is_location(use):
        return import_location(use)  # type: ignore[no-any-return]
    known = {canonical(name): factory for name, factory in offered().items()}
    if not isinstance(use, str) or canonical(use) not in known:
        close = get_close_matches(canonical(str(use)), known, 1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ValueError(f"there is no schedule {use!r}.{hint} There are: {', '.join(sorted(offered()))}")
    return known[canonical(use)]


def canonical(name: str) -> str:
    """Return *name* as the engine compares names."""
    return name.lower().replace("-", "_")


def parameters(factory: Factory) -> tuple[str, ...]:
    """Return the names of what *factory* takes; none for one that is written in C."""
    try:
        return tuple(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        return ()


def wants_optimizer(factory: Factory) -> bool:
    """Return whether *factory* makes a schedule with a memory, for one optimizer."""
    return parameters(factory)[:1] == ("optimizer",)


def binds(factory: Factory, values: tuple[Any, ...], options: Mapping[str, Any]) -> bool:
    """Return whether *factory* can be called with *values* and *options*."""
    try:
        inspect.signature(factory).bind(*values, **options)
    except TypeError:
        return False
    except ValueError:
        return True  # written in C: nobody can know
    return True


def check(use: Any, factory: Factory, values: tuple[Any, ...], options: Mapping[str, Any]) -> None:
    """Raise ValueError unless *factory* takes *options*."""
    if not binds(factory, values, options):
        takes = ", ".join(parameters(factory)[len(values) :])
        raise ValueError(f"{use!r} takes {takes}; it was given {', '.join(options) or 'nothing'}")

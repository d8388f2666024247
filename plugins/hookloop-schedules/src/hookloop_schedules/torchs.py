"""torch's own schedulers by their class names, with what a file cannot hold given as text or as tables."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookloop_schedules.importing import import_location, is_location

if TYPE_CHECKING:
    import torch

FUNCTIONS = ("lr_lambda", "scale_fn")  # options that are functions, or lists of functions
LEFT_OUT = ("optimizer", "last_epoch", "verbose")  # given by the engine, by the run's state, or gone

Factory = Callable[..., Any]


@functools.cache
def torch_schedules() -> dict[str, Factory]:
    """Return the factories of all scheduler classes of ``torch.optim.lr_scheduler``."""
    from torch.optim import lr_scheduler

    base = lr_scheduler.LRScheduler
    classes = [getattr(lr_scheduler, name) for name in lr_scheduler.__all__]
    return {each.__name__: factory_of(each) for each in classes if issubclass(each, base) and each is not base}


def factory_of(scheduler: type[Any]) -> Factory:
    """Return what makes *scheduler* for an optimizer, with its signature as far as a file can fill it in."""

    @functools.wraps(scheduler, updated=())
    def make(optimizer: torch.optim.Optimizer, **options: Any) -> Any:
        try:
            given = {name: ready(name, value, optimizer) for name, value in options.items()}
            return built(scheduler, optimizer, given)
        except (TypeError, ValueError) as error:
            if not raised_in_torch(error):
                raise
            raise ValueError(str(error)) from error

    own = inspect.signature(scheduler)
    kept = [each for each in own.parameters.values() if each.name not in LEFT_OUT]
    first = inspect.Parameter("optimizer", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    make.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[first, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in kept)]
    )
    return make


def built(scheduler: type[Any], optimizer: torch.optim.Optimizer, options: dict[str, Any]) -> Any:
    """Return the scheduler; ChainedScheduler takes its optimizer after its schedulers."""
    if "schedulers" in options and next(iter(inspect.signature(scheduler).parameters)) == "schedulers":
        return scheduler(optimizer=optimizer, **options)
    return scheduler(optimizer, **options)


def ready(name: str, value: Any, optimizer: torch.optim.Optimizer) -> Any:
    """Return an option as the class wants it: functions for texts, schedulers for names and tables."""
    if name in FUNCTIONS:
        return [as_function(each) for each in value] if isinstance(value, (list, tuple)) else as_function(value)
    if name == "schedulers":
        return [inner(each, optimizer) for each in value]
    return value


def as_function(value: Any) -> Any:
    """Return the function that *value* names, or *value* itself."""
    return import_location(value) if is_location(value) else value


def inner(spec: Any, optimizer: torch.optim.Optimizer) -> Any:
    """Return the scheduler that *spec* describes, for SequentialLR and ChainedScheduler."""
    from torch.optim.lr_scheduler import LRScheduler

    from hookloop_schedules.naming import make_inner, wants_optimizer

    if isinstance(spec, LRScheduler):
        return spec
    attach = make_inner(spec, None)
    made = attach(optimizer) if wants_optimizer(attach) else None
    if not isinstance(made, LRScheduler):
        raise ValueError(f"schedulers takes schedulers of torch, by their class names, and {spec!r} is none")
    return made


def raised_in_torch(error: BaseException) -> bool:
    """Return whether *error* comes from torch's code, or from this file, and not from a user's function."""
    import torch

    frames: Sequence[Any] = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else ()
    own = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
    return bool(frames) and frames[-1].filename.startswith(own)

"""Training that leaves no trace: for a plugin that has to try something before the run begins."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from hookloop.errors import DataError
from hookloop.loading import LoadedPlugin
from hookloop.rng import set_rng_state
from hookloop.run import Run
from hookloop.state import load_run_state, run_state


@contextmanager
def rehearse(run: Run) -> Iterator[Iterator[Any]]:
    """Give batches as training would, and put everything back afterwards, however it ends.

    Everything is weights and buffers, optimizers, learning rates, counters and the clock, random numbers, the position
    in the data, what was logged, and the states of plugins. Observers are not called meanwhile. Only in `on_fit_start`,
    where training has not begun; to update the weights, set ``run.window`` to a list of batches and call
    ``run.plugins.hooks.run_step(run)``. Raises DataError for data that can be walked once only.
    """
    loader = run.loaders["train"]
    if isinstance(loader, Iterator):
        raise DataError(
            f"the train loader is a {type(loader).__name__}, an iterator that can be walked only once: nothing would "
            "be left of it to train on. Give an object whose __iter__ starts anew each time."
        )
    before = copy.deepcopy(run_state(run))
    groups = [[options_of(group) for group in optimizer.param_groups] for optimizer in run.optimizers]
    batch = run.window, run.batch, run.output, run.loss, run.micro_batch, dict(run.metrics)
    observers = observers_of(run)
    for each in observers:
        run.plugins.unregister(each.instance)
    try:
        yield endless(run)
    finally:
        for optimizer in run.optimizers:
            optimizer.zero_grad()
        # Observers were left alone, and many of them take a state before training begins only.
        left = {name: state for name, state in before["plugins"].items() if name in run.plugins}
        load_run_state(run, {**before, "plugins": left})
        run.plugins.register(*observers)
        run.source.load_state_dict(before["data"])
        put_back(run, groups)
        run.window, run.batch, run.output, run.loss, run.micro_batch, run.metrics = batch
        set_rng_state(before["rng"], run.device)


def endless(run: Run) -> Iterator[Any]:
    """Yield the batches of the coming epoch, and of those after it."""
    for epoch in count(run.epoch):
        found = False
        for batch in run.source.start(epoch, 0):
            found = True
            yield batch
        if not found:
            raise DataError("the train loader gave no batch to rehearse with.")


def observers_of(run: Run) -> list[LoadedPlugin]:
    """Return the plugins that only watch, and would show what is never going to have been."""
    return [each for each in run.plugins if each.role == "observer" and not each.builtin]


def options_of(group: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of the options of a parameter group."""
    return {name: copy.deepcopy(value) for name, value in group.items() if name != "params"}


def put_back(run: Run, groups: list[list[dict[str, Any]]]) -> None:
    """Give each parameter group its very options again: loading a state leaves those that came new."""
    for optimizer, options in zip(run.optimizers, groups, strict=True):
        for group, own in zip(optimizer.param_groups, options, strict=True):
            for name in [name for name in group if name != "params" and name not in own]:
                del group[name]
            group.update(own)

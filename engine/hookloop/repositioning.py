"""The place in the data for another number of processes: by how many samples all of them have seen together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hookloop.errors import ConfigError
from hookloop.run import Run

ALIKE = ("kind", "seed", "samples", "order")


def reposition(run: Run, then: Mapping[str, Any], ranks_then: int) -> None:
    """Set ``run.batch_index`` so that the epoch goes on behind the samples that *ranks_then* processes have seen of it.

    *then* is what one of them said of its data. A sampler such as DistributedSampler deals out one order in turn, so
    these are the first of that order, whoever has seen them. Raises ConfigError where that is not so.
    """
    own = run.source.state_dict()
    if own.get("kind") == then.get("kind") == "seeded" and run.batch_index == then.get("batches"):
        run.batch_index = own["batches"]
        return
    reasons = [*obstacles(run, own, then)]
    if not reasons:
        seen = run.batch_index * then["batch_size"] * ranks_then
        batches, rest = divmod(seen, own["batch_size"] * run.world_size)
        if not rest:
            run.batch_index = batches
            return
        reasons = [f"{seen} samples of the epoch were seen, and a step now takes {own['batch_size'] * run.world_size}"]
    raise ConfigError(
        f"the state to resume from was saved in the middle of an epoch by {ranks_then} processes, and now there are "
        f"{run.world_size}: {'; '.join(reasons)}. Resume with {ranks_then}, or from a snapshot of the end of an epoch."
    )


def obstacles(run: Run, own: Mapping[str, Any], then: Mapping[str, Any]) -> Iterator[str]:
    """Yield why the processes of now do not go through the order of then."""
    if own.get("kind") != "seeded":
        yield "the train loader is not a DataLoader over an indexed dataset, whose order is known"
        return
    from hookloop.seeded import drawn_from

    sampler = drawn_from(run.loaders["train"])
    if getattr(sampler, "num_replicas", None) != run.world_size:
        yield (
            f"its sampler, a {type(sampler).__name__}, does not deal out one order to all processes, as a "
            "torch.utils.data.DistributedSampler does"
        )
    for name in ALIKE:
        if own.get(name) != then.get(name):
            yield f"{name} of the data was {then.get(name)!r}, and is {own.get(name)!r}"
    if not own.get("batch_size") or not then.get("batch_size"):
        yield "the size of a batch is not known"

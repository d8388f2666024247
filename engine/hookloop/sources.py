"""Where training batches come from, and how to go on in the middle of them: one kind of source for each kind of loader.

A source starts an epoch at any batch. Whether what it gives then is what it would have given, had nobody stopped, is
``inexact``: None, or the reason why it may not be.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any, Protocol

import torch

from hookloop.loaders import length, tell_epoch, walk
from hookloop.rng import rng_state, set_rng_state

CPU = torch.device("cpu")


class Source(Protocol):
    """The training data of one run."""

    loader: Any
    inexact: str | None

    def start(self, epoch: int, skip: int) -> Iterator[Any]:
        """Return the batches of *epoch* from number *skip* on."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run has to know beside the epoch and the number of batches."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the state of the run that is resumed."""


class SequenceSource:
    """A list or a tuple, or whatever else is indexed."""

    inexact: str | None = None

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def start(self, epoch: int, skip: int) -> Iterator[Any]:
        """Begin at an index."""
        if not skip:
            return walk(self.loader, epoch)
        return (self.loader[index] for index in range(skip, len(self.loader)))

    def state_dict(self) -> dict[str, Any]:
        """Return how many batches there are."""
        return {"kind": "sequence", "batches": len(self.loader)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Note whether these are as many batches as there were."""
        self.inexact = changes(self.state_dict(), state)


class SeededSource:
    """torch's DataLoader over a dataset that is indexed, with an order that is a function of the seed and the epoch."""

    def __init__(self, loader: Any, seed: int, rank: int) -> None:
        from hookloop import seeded

        self.loader = loader
        self.seed = seed
        self.rank = rank
        self.batches = seeded.SeededBatches(loader, seed, rank, keyed=not seeded.draws_nothing(loader))
        self.inexact = None if seeded.is_reorderable(loader) else unknown_order(loader)
        self._made: tuple[Any, Any] | None = None

    def start(self, epoch: int, skip: int) -> Iterator[Any]:
        """Begin at a batch; the sampler is set before the iterator is made, as workers fetch ahead from then on."""
        from hookloop.seeded import derive

        loader, generator = self.made()
        self.batches.epoch, self.batches.first = epoch, skip
        generator.manual_seed(derive(self.seed, "workers", epoch, self.rank))
        tell_epoch(self.loader, epoch)
        if self.loader.batch_sampler is None:  # the sampler may be one of batches, with another below it
            tell_epoch(self.loader.sampler, epoch)
        return iter(loader)

    def made(self) -> tuple[Any, Any]:
        """Return the DataLoader, the same in each epoch for its workers' sake, and the generator of their seeds."""
        if self._made is None:
            from hookloop.seeded import seeded_loader

            generator = torch.Generator()
            self._made = seeded_loader(self.loader, self.batches, generator), generator
        return self._made

    def state_dict(self) -> dict[str, Any]:
        """Return what the order depends on."""
        from hookloop.seeded import drawn_from, outer_sampler

        size = getattr(outer_sampler(self.loader), "batch_size", None)
        return {
            "kind": "seeded",
            "seed": self.seed,
            "samples": length(self.loader.dataset),
            "batches": length(self.loader),
            "batch_size": size,
            "order": type(drawn_from(self.loader)).__name__,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Note whether the order is that of the run that is resumed."""
        self.inexact = self.inexact or changes(self.state_dict(), state)


class StatefulSource:
    """A loader, or the dataset of one, that knows its own position: ``state_dict`` and ``load_state_dict``."""

    inexact: str | None = None

    def __init__(self, loader: Any, owner: Any) -> None:
        self.loader = loader
        self.owner = owner
        self.saved: Mapping[str, Any] | None = None
        self._walked: Any = None

    def start(self, epoch: int, skip: int) -> Iterator[Any]:
        """Begin where the state says.

        A state from between two epochs is the end of the first for some loaders, which then give nothing once more.
        One from the last batch of an epoch is the beginning of the next for others, which would give all of it again.
        """
        saved = self.saved
        if saved is None:
            batches = self.walk(epoch)
            return islice(batches, skip, None) if skip else batches
        if skip and (saved["ended"] or skip == length(self.loader)):
            return iter(())
        self.saved = None
        self.owner.load_state_dict(saved["owner"])
        before = rng_state(CPU)
        batches = self.walk(epoch)
        if skip:
            return batches
        first = list(islice(batches, 1))
        if first:
            return chain(first, batches)
        set_rng_state(before, CPU)
        return self.walk(epoch)

    def walk(self, epoch: int) -> Iterator[Any]:
        """Return an iterator over what the owner gives next; one that may have workers is not held."""
        batches = walk(self.loader, epoch)
        self._walked = None if self.owner is self.loader else batches
        return batches

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the position, which may be the very object that its owner goes on counting in.

        Before the first start it is the one that was loaded: the owner has not been told yet.
        """
        # torch fills up the last batch of an iterable dataset until that ends, and keeps it to itself.
        ended = bool(getattr(getattr(self._walked, "_dataset_fetcher", None), "ended", False))
        position = self.saved or {"owner": copy.deepcopy(self.owner.state_dict()), "ended": ended}
        return {"kind": "stateful", "batches": length(self.loader), "position": position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Keep the position for the first start."""
        self.saved = state.get("position")
        self.inexact = changes(self.state_dict(), state)


class PlainSource:
    """Any iterable: to go on in the middle of it, what was seen is read once more and dropped."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.inexact: str | None = (
            f"the train loader, a {type(loader).__name__}, has no position: what was seen of the epoch is read again "
            "and dropped, which takes as long, and gives the same only if it draws no random numbers. A DataLoader "
            "over an indexed dataset has a position, and so has anything with state_dict and load_state_dict."
        )

    def start(self, epoch: int, skip: int) -> Iterator[Any]:
        """Begin at the beginning, and drop *skip* batches."""
        batches = walk(self.loader, epoch)
        return islice(batches, skip, None) if skip else batches

    def state_dict(self) -> dict[str, Any]:
        """Return nothing but the kind."""
        return {"kind": "plain", "batches": length(self.loader)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on; there is nothing to take."""


def changes(own: Mapping[str, Any], saved: Mapping[str, Any]) -> str | None:
    """Say what differs between the data of this run and that of the one that is resumed, or None."""
    differing = [
        f"{name} {saved.get(name)!r} then and {own[name]!r} now"
        for name in own
        if name != "position" and saved.get(name) != own[name]
    ]
    return f"the training data is not what it was: {', '.join(differing)}" if differing else None


def unknown_order(loader: Any) -> str:
    """Say why the order of a DataLoader cannot be found again."""
    from hookloop.seeded import drawn_from

    if not getattr(loader, "in_order", True):
        return "the train loader has in_order = False: its workers overtake each other."
    return (
        f"the order of the train loader comes from a {type(drawn_from(loader)).__name__}, which may give another one "
        "after a restart. Give it a method set_epoch(epoch), after which its order depends on the epoch alone."
    )


def make_source(loader: Any, seed: int, rank: int) -> Source:
    """Return the source for *loader*, by what the loader can."""
    if is_stateful(loader):
        return StatefulSource(loader, loader)
    if isinstance(loader, (list, tuple)) or (hasattr(loader, "__len__") and not hasattr(loader, "__iter__")):
        return SequenceSource(loader)
    data = sys.modules.get(
        "torch.utils.data"
    )  # nobody can have made a DataLoader without importing it, which takes time
    if data is None or type(loader) is not data.DataLoader:
        return PlainSource(loader)
    if not isinstance(loader.dataset, data.IterableDataset):
        return SeededSource(loader, seed, rank)
    # In a worker's copy of the dataset nobody could ask for the position.
    if loader.num_workers == 0 and is_stateful(loader.dataset):
        return StatefulSource(loader, loader.dataset)
    return PlainSource(loader)


def is_stateful(loader: Any) -> bool:
    """Return whether *loader* can tell and take a position."""
    return callable(getattr(loader, "state_dict", None)) and callable(getattr(loader, "load_state_dict", None))

"""A DataLoader whose batches depend on the seed, the epoch and their number, and on nothing else.

torch draws the order of an epoch from the stream that dropout draws from as well, and hands each worker a stream of its
own: to go on after batch 500 one would have to load 500 batches again, and with another number of workers the random
crops would be others. Here the order is a function of (seed, epoch), and each batch is made with streams that are a
function of (seed, epoch, number, rank), in the main process and in a worker alike. What loads is torch's own
DataLoader, built like the user's, over a sampler that can begin anywhere.
"""

from __future__ import annotations

import copy
import hashlib
import random
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    get_worker_info,
)

from hookloop.rng import preserved_rng

Key = tuple[int, Any]  # the seed of a batch, and its indices

FIXED_SAMPLERS = (SequentialSampler, range, list, tuple)
DRAWING_SAMPLERS = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)


def derive(*parts: int | str) -> int:
    """Return a seed of 63 bits that is a function of *parts* alone."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def is_reorderable(loader: Any) -> bool:
    """Return whether the order of *loader* is known to depend on nothing but what torch's samplers draw, or the epoch.

    A sampler with ``set_epoch`` promises that. Workers that may overtake each other give no order at all.
    """
    if loader.num_workers and not getattr(loader, "in_order", True):
        return False
    sampler = drawn_from(loader)
    return type(sampler) in FIXED_SAMPLERS + DRAWING_SAMPLERS or hasattr(sampler, "set_epoch")


def outer_sampler(loader: Any) -> Any:
    """Return what gives the indices of each batch; without automatic batches, a BatchSampler may be the sampler."""
    return loader.sampler if loader.batch_sampler is None else loader.batch_sampler


def drawn_from(loader: Any) -> Any:
    """Return the sampler that decides the order: that of the samples, or a batch sampler of the user's own."""
    outer = outer_sampler(loader)
    return outer.sampler if type(outer) is BatchSampler else outer


def order_of(sampler: Any, seed: int, epoch: int) -> Iterator[Any]:
    """Return what *sampler* gives in *epoch*, of which it was told, drawn from a stream of its own."""
    if type(sampler) in DRAWING_SAMPLERS:
        own = "" if sampler.generator is None else sampler.generator.initial_seed()
        sampler = copy.copy(sampler)
        sampler.generator = torch.Generator()
        sampler.generator.manual_seed(derive(seed, "order", own, epoch))
    return iter(sampler)


class SeededBatches:
    """The batch sampler: gives the indices of each batch from number ``first`` of ``epoch`` on, with the batch's seed.

    No batch before the first is loaded, nor are its samples looked at; only its indices are passed over.
    """

    def __init__(self, loader: DataLoader[Any], seed: int, rank: int, *, keyed: bool) -> None:
        self.loader = loader
        self.seed = seed
        self.rank = rank
        self.keyed = keyed
        self.epoch = 0
        self.first = 0

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        for number, indices in enumerate(self.index_batches(), self.first):
            yield (derive(self.seed, "batch", self.epoch, number, self.rank), indices) if self.keyed else indices

    def index_batches(self) -> Iterator[Any]:
        """Return the indices of each batch, those of ``first`` first."""
        outer = outer_sampler(self.loader)
        order = order_of(drawn_from(self.loader), self.seed, self.epoch)
        if type(outer) is not BatchSampler:
            return islice(order, self.first, None)
        return chunks(islice(order, self.first * outer.batch_size, None), outer)


def chunks(order: Iterator[Any], like: BatchSampler) -> Iterator[list[Any]]:
    """Return *order* in lists of the size that *like* has."""
    while batch := list(islice(order, like.batch_size)):
        if len(batch) == like.batch_size or not like.drop_last:
            yield batch


class SeededDataset(Dataset[Any]):
    """The user's dataset and collate function, called with the streams of random numbers that belong to the batch."""

    def __init__(self, dataset: Any, collate: Callable[[Any], Any]) -> None:
        self.dataset = dataset
        self.collate = collate

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: Key) -> Any:
        """Return one sample, where the loader makes no batches."""
        return seeded(key, lambda index: self.collate(self.dataset[index]))

    def __getitems__(self, key: Key) -> Any:
        """Return one whole batch."""
        return seeded(key, lambda indices: self.collate(fetch(self.dataset, indices)))


def fetch(dataset: Any, indices: Iterable[Any]) -> list[Any]:
    """Return the samples at *indices*, all at once where the dataset can."""
    if callable(getattr(dataset, "__getitems__", None)):
        samples: list[Any] = dataset.__getitems__(indices)
        return samples
    return [dataset[index] for index in indices]


def seeded(key: Key, make: Callable[[Any], Any]) -> Any:
    """Return *make* of the indices of *key*, with every stream seeded; the main process gets its own streams back."""
    seed, indices = key
    if get_worker_info() is None:
        with preserved_rng(torch.device("cpu")):
            seed_streams(seed)
            return make(indices)
    seed_streams(seed)
    return make(indices)


def seed_streams(seed: int) -> None:
    """Seed what a dataset draws from; `torch.manual_seed` would seed every device as well, in ninety microseconds."""
    random.seed(seed)
    torch.default_generator.manual_seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)


def as_it_is(batch: Any) -> Any:
    """Return *batch*, which is collated already."""
    return batch


def draws_nothing(loader: Any) -> bool:
    """Return whether batches are made of tensors and sequences by torch's own code, which uses no random numbers."""
    return loader.collate_fn in (default_collate, default_convert) and is_plain(loader.dataset)


def is_plain(dataset: Any) -> bool:
    """Return whether reading *dataset* calls no code of the user's."""
    if type(dataset) is Subset:
        return is_plain(dataset.dataset)
    if type(dataset) is ConcatDataset:
        return all(is_plain(each) for each in dataset.datasets)
    return type(dataset) in (TensorDataset, list, tuple, range)


def seeded_loader(loader: DataLoader[Any], batches: SeededBatches, generator: torch.Generator) -> DataLoader[Any]:
    """Return a DataLoader like *loader* over *batches*; the seeds of its workers come from *generator*."""
    plain = not batches.keyed
    single = loader.batch_sampler is None
    alike = {name: getattr(loader, name) for name in ("in_order",) if hasattr(loader, name)}
    with warnings.catch_warnings():
        # About more workers than cores: who built *loader* has been told.
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        return DataLoader(
            loader.dataset if plain else SeededDataset(loader.dataset, loader.collate_fn),
            batch_size=None if single else 1,
            sampler=batches if single else None,
            batch_sampler=None if single else batches,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn if plain else as_it_is,
            pin_memory=loader.pin_memory,
            timeout=loader.timeout,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
            generator=generator,
            prefetch_factor=loader.prefetch_factor,
            persistent_workers=loader.persistent_workers,
            **alike,
        )

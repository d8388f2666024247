"""Walking a loader: any iterable that gives batches, once an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hookloop.errors import DataError

if TYPE_CHECKING:
    from hookloop.run import Run, Stage


def length(loader: Any) -> int | None:
    """Return the number of batches that *loader* announces, or None."""
    try:
        return len(loader)
    except TypeError:
        return None


def walk(loader: Any, epoch: int) -> Iterator[Any]:
    """Return an iterator over the batches of *epoch*, telling samplers that shuffle by epoch which one it is.

    The epoch is set before the iterator is made: workers fetch ahead from the moment it exists.
    """
    for part in (loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)):
        set_epoch = getattr(part, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch)
    return iter(loader)


def start_epoch(run: Run) -> None:
    """Set ``run.batches`` to the beginning of the next epoch."""
    loader = run.loaders["train"]
    run.batches_per_epoch = length(loader)
    run.batch_index = 0
    run.exhausted = False
    run.batches = walk(loader, run.epoch)


def check_ended(loader: Any, stage: Stage, epoch: int, consumed: int) -> None:
    """Raise DataError when a walk that has just ended gave no batch, or fewer than a fixed length announced."""
    if consumed == 0:
        raise DataError(no_batches(loader, stage, epoch))
    if consumed != length(loader) and has_fixed_length(loader):
        raise DataError(
            f"the {stage} loader announced {length(loader)} batches and ended after {consumed}, in epoch {epoch + 1}. "
            "A StopIteration raised inside the dataset or the collate function ends a loader like that."
        )


def has_fixed_length(loader: Any) -> bool:
    """Return whether the length of *loader* is a promise: that of a DataLoader over a map-style dataset, or a sequence.

    Other lengths may be estimates; torch says so of iterable datasets.
    """
    if isinstance(loader, (list, tuple)):
        return True
    from torch.utils.data import DataLoader, IterableDataset

    return isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset)


def no_batches(loader: Any, stage: Stage, epoch: int = 0) -> str:
    """Say why there may have been no batch, and what to do."""
    text = f"the {stage} loader gave no batch in epoch {epoch + 1}"
    if epoch and iter(loader) is loader:
        return (
            f"{text}: it is a {type(loader).__name__}, an iterator that can be walked only once. Give an object whose "
            "__iter__ starts anew each epoch, such as a list or a DataLoader, or set max_epochs = 1."
        )
    dataset, size = getattr(loader, "dataset", None), getattr(loader, "batch_size", None)
    if getattr(loader, "drop_last", False) and dataset is not None and size and length(dataset):
        return (
            f"{text}: drop_last = True drops the only batch, as the dataset has {length(dataset)} samples and batch_size "
            f"is {size}. Use a smaller batch_size or drop_last = False."
        )
    return f"{text}: it is empty. Look at the task's {stage} data: the path, a filter, the split."

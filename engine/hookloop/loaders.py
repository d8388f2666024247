"""Walking a loader: any iterable that gives batches, once an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from traceback import extract_tb
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
    """Return an iterator over the batches of *epoch*.

    The epoch is set before the iterator is made: workers fetch ahead from the moment it exists.
    """
    tell_epoch(loader, epoch)
    return iter(loader)


def tell_epoch(loader: Any, epoch: int) -> None:
    """Tell samplers that shuffle by epoch which one it is."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    parts = (loader, getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None))
    for part in {id(each): each for each in parts if each is not None}.values():
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)


def start_epoch(run: Run, skip: int = 0) -> None:
    """Set ``run.batches`` to the beginning of the next epoch, or of the rest of it after *skip* batches."""
    loader = run.loaders["train"]
    if run.source.loader is not loader:  # somebody replaced it between two epochs
        from hookloop.sources import make_source

        run.source = make_source(loader, run.config.seed, run.rank)
    run.batches_per_epoch = length(loader)
    run.batch_index = skip
    run.exhausted = False
    run.batches = iter(())  # lets go of the workers of an epoch that was left, before there are new ones
    run.batches = run.source.start(run.epoch, skip)


def check_ended(loader: Any, stage: Stage, epoch: int, consumed: int, end: StopIteration | None = None) -> None:
    """Raise DataError when a walk that *end* has just ended gave no batch, or fewer than a fixed length announced.

    An *end* that came out of the user's code is one as well: data ends where the loader says so, and nowhere else.
    """
    place = place_in_dataset(loader, end)
    if place:
        raise DataError(f"{place} raised StopIteration, and the {stage} loader took that for the end of data.") from end
    if consumed == 0:
        raise DataError(no_batches(loader, stage, epoch))
    announced = length(loader)
    if announced is not None and consumed < announced and has_fixed_length(loader):
        raise DataError(
            f"the {stage} loader announced {announced} batches and ended after {consumed}{in_epoch(stage, epoch)}. "
            "A StopIteration raised inside the dataset or the collate function ends a loader like that, and so does an "
            "IndexError in __getitem__."
        )


def place_in_dataset(loader: Any, end: StopIteration | None) -> str:
    """Return the function of a dataset, or the collate function, that *end* came out of, or "" when there is none.

    torch calls both of them in one file, and never raises the end of data below it while it collects batches itself.
    """
    if end is None or getattr(loader, "batch_sampler", None) is None:
        return ""
    from torch.utils.data._utils import fetch

    frames = extract_tb(end.__traceback__)
    if fetch.__file__ not in [each.filename for each in frames] or frames[-1].filename == fetch.__file__:
        return ""
    return f"{frames[-1].name} ({frames[-1].filename}:{frames[-1].lineno})"


def has_fixed_length(loader: Any) -> bool:
    """Return whether the length of *loader* is a promise: that of a DataLoader over a map-style dataset, or a sequence.

    Other lengths may be estimates; torch says so of iterable datasets.
    """
    if isinstance(loader, (list, tuple)) or not hasattr(loader, "__iter__"):
        return True
    from torch.utils.data import DataLoader, IterableDataset

    return isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset)


def no_batches(loader: Any, stage: Stage, epoch: int = 0) -> str:
    """Say why there may have been no batch, and what to do."""
    text = f"the {stage} loader gave no batch{in_epoch(stage, epoch)}"
    if (epoch or stage != "train") and isinstance(loader, Iterator) and iter(loader) is loader:
        way = ", or set max_epochs = 1." if stage == "train" else "."
        return (
            f"{text}: it is a {type(loader).__name__}, an iterator that can be walked only once. Give an object whose "
            f"__iter__ starts anew each time, such as a list or a DataLoader{way}"
        )
    dataset, size = getattr(loader, "dataset", None), getattr(loader, "batch_size", None)
    if getattr(loader, "drop_last", False) and dataset is not None and size and length(dataset):
        return (
            f"{text}: drop_last = True drops the only batch, as the dataset has {length(dataset)} samples and "
            f"batch_size is {size}. Use a smaller batch_size or drop_last = False."
        )
    return f"{text}: it is empty. Look at the task's {stage} data: the path, a filter, the split."


def in_epoch(stage: Stage, epoch: int) -> str:
    """Return in which epoch of training something happened, for a sentence; other stages have none."""
    return f" in epoch {epoch + 1}" if stage == "train" else ""

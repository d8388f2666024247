"""Batches that are a function of the seed, the epoch and their number, whatever the DataLoader looks like."""

import gc
import random
import warnings
from multiprocessing import active_children

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

from hookloop.rng import rng_state
from hookloop.seeded import derive, draws_nothing, is_plain
from hookloop.sources import SeededSource, make_source
from hookloop.testing.comparison import first_difference

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

COUNT, SIZE = 23, 4


@pytest.fixture(autouse=True)
def no_workers_left():
    """Collect what a test leaves behind now: torch waits for workers that are collected at an odd moment."""
    yield
    if active_children():
        gc.collect()


class Augmented(Dataset):
    """Rows of their number and a draw from every stream, as augmentation makes them; notes which were asked for."""

    def __init__(self, count=COUNT):
        self.count = count
        self.asked = []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.asked.append(index)
        drawn = float(torch.rand(())), random.random(), float(np.random.random())
        return torch.tensor([float(index), *drawn], dtype=torch.float64)


class Plural(Augmented):
    """Gives all samples of a batch at once."""

    def __getitems__(self, indices):
        base = float(torch.rand(()))
        return [torch.tensor([float(index), base, random.random()], dtype=torch.float64) for index in indices]

    def __getitem__(self, index):
        raise AssertionError("a batch is asked for as a whole")


class Bulk(Augmented):
    """Is indexed by the whole list of a batch."""

    def __getitem__(self, indices):
        return torch.stack([super(Bulk, self).__getitem__(index) for index in indices])


class Stirred(BatchSampler):
    """A batch sampler of the user's own, which shuffles by the epoch that it is told."""

    def __init__(self, count=COUNT):
        self.count = count
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return 6

    def __iter__(self):
        order = torch.randperm(self.count, generator=torch.Generator().manual_seed(self.epoch)).tolist()
        yield from (order[number::6] for number in range(6))


class ByEpoch(SequentialSampler):
    """A sampler of the user's own, which begins at the epoch that it is told."""

    def __init__(self, source):
        super().__init__(source)
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return iter([(self.epoch + index) % COUNT for index in range(COUNT)])


def noisy(samples):
    batch = default_collate(samples)
    return batch + torch.rand(batch.shape) + random.random()


def reseed(worker):
    random.seed(worker)
    torch.manual_seed(worker)
    np.random.seed(worker)


def load(workers, dataset=None, **keywords):
    dataset = Augmented() if dataset is None else dataset
    if "batch_sampler" not in keywords:
        keywords.setdefault("batch_size", SIZE)
    return DataLoader(dataset, num_workers=workers, **keywords)


def sampled(make, **more):
    def build(workers):
        data = Augmented()
        return load(workers, data, sampler=make(data), **more)

    return build


LOADERS = {
    "sequential": load,
    "shuffle": lambda workers: load(workers, shuffle=True),
    "drop_last": lambda workers: load(workers, shuffle=True, drop_last=True),
    "generator": lambda workers: load(workers, shuffle=True, generator=torch.Generator().manual_seed(3)),
    "replacement": sampled(lambda data: RandomSampler(data, replacement=True, num_samples=41)),
    "num_samples": sampled(lambda data: RandomSampler(data, num_samples=9)),
    "more samples than data": sampled(lambda data: RandomSampler(data, num_samples=50)),
    "sampler's generator": sampled(lambda data: RandomSampler(data, generator=torch.Generator().manual_seed(5))),
    "weighted": sampled(lambda data: WeightedRandomSampler(range(1, COUNT + 1), 30)),
    "subset": sampled(lambda data: SubsetRandomSampler(range(3, 17))),
    "distributed": sampled(lambda data: DistributedSampler(data, num_replicas=2, rank=1, seed=4)),
    "list of indices": sampled(lambda data: [5, 3, 1, 5, 20, 0, 7]),
    "own sampler": sampled(ByEpoch),
    "batch sampler": lambda workers: load(workers, batch_sampler=BatchSampler(RandomSampler(range(COUNT)), 5, False)),
    "own batch sampler": lambda workers: load(workers, batch_sampler=Stirred()),
    "single samples": lambda workers: load(workers, batch_size=None, shuffle=True),
    "batches as samples": lambda workers: load(
        workers, Bulk(), batch_size=None, sampler=BatchSampler(RandomSampler(range(COUNT)), SIZE, drop_last=False)
    ),
    "distributed batches as samples": lambda workers: load(
        workers,
        Bulk(),
        batch_size=None,
        sampler=BatchSampler(DistributedSampler(range(COUNT), num_replicas=2, rank=0), SIZE, drop_last=True),
    ),
    "collate": lambda workers: load(workers, shuffle=True, collate_fn=noisy),
    "worker_init_fn": lambda workers: load(workers, shuffle=True, worker_init_fn=reseed),
    "persistent": lambda workers: load(workers, shuffle=True, persistent_workers=bool(workers)),
    "prefetch": lambda workers: load(workers, shuffle=True, prefetch_factor=4 if workers else None),
    "getitems": lambda workers: load(workers, Plural(), shuffle=True),
    "tensors": lambda workers: load(workers, TensorDataset(torch.arange(COUNT).double()), shuffle=True),
    "subset of data": lambda workers: load(workers, Subset(Augmented(), range(2, 21)), shuffle=True),
    "in any order": lambda workers: load(workers, shuffle=True, in_order=not workers),
}
ORDERED = [kind for kind in LOADERS if kind != "in any order"]
IN_ORDER = {"sequential", "list of indices"}


def source_of(kind, workers=0, seed=7, rank=0):
    source = make_source(LOADERS[kind](workers), seed, rank)
    assert isinstance(source, SeededSource)
    return source


def batches(source, epoch=0, skip=0):
    return [each[0] if isinstance(each, list) else each for each in source.start(epoch, skip)]


def same(first, second):
    return first_difference(first, second) is None


def indices(given):
    return [each.reshape(-1, each.shape[-1])[:, 0].tolist() if each.dim() > 1 else each.tolist() for each in given]


@pytest.mark.parametrize("kind", ORDERED)
def test_any_start_is_the_tail_of_the_whole_epoch(kind):
    source = source_of(kind)
    for epoch in (0, 1, 4):
        whole = batches(source, epoch)
        assert len(whole) == len(source.loader)
        for skip in range(len(whole) + 1):
            fresh = source_of(kind)
            assert same(batches(fresh, epoch, skip), whole[skip:])


@pytest.mark.parametrize("kind", ORDERED)
def test_workers_change_nothing_nor_does_their_number(kind):
    alone, one, two = source_of(kind), source_of(kind, 1), source_of(kind, 2)
    for epoch, skip in ((0, 3), (1, 0)):
        whole = batches(alone, epoch, skip)
        assert same(batches(one, epoch, skip), whole)
        assert same(batches(two, epoch, skip), whole)


@pytest.mark.parametrize("kind", ORDERED)
def test_no_stream_of_training_is_moved(kind):
    before = rng_state(torch.device("cpu"))
    batches(source_of(kind), 2, 1)
    assert same(rng_state(torch.device("cpu")), before)


def test_advice_on_the_number_of_workers_is_given_once(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0})
    with pytest.warns(UserWarning, match="This DataLoader will create 2 worker processes"):
        loader = DataLoader(list(range(4)), num_workers=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_source(loader, 0, 0)


@pytest.mark.parametrize("kind", ["shuffle", "own batch sampler", "tensors"])
def test_with_workers_no_stream_of_training_is_moved_either(kind):
    before = rng_state(torch.device("cpu"))
    batches(source_of(kind, 2))
    assert same(rng_state(torch.device("cpu")), before)


@pytest.mark.parametrize("kind", ORDERED)
def test_the_streams_of_training_change_nothing(kind):
    first = batches(source_of(kind), 1)
    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)
    assert same(batches(source_of(kind), 1), first)


@pytest.mark.parametrize("kind", [kind for kind in ORDERED if kind not in IN_ORDER])
def test_each_epoch_has_an_order_of_its_own(kind):
    source = source_of(kind)
    assert len({str(indices(batches(source, epoch))) for epoch in range(4)}) == 4


@pytest.mark.parametrize(
    "kind", ["shuffle", "replacement", "weighted", "subset", "batch sampler", "batches as samples"]
)
def test_each_seed_has_an_order_of_its_own(kind):
    assert indices(batches(source_of(kind, seed=1))) != indices(batches(source_of(kind, seed=2)))


def test_the_users_generator_makes_another_order_by_its_seed():
    def order(seed):
        loader = load(0, shuffle=True, generator=torch.Generator().manual_seed(seed))
        return indices(batches(make_source(loader, 7, 0)))

    assert order(1) != order(2)
    assert order(1) == order(1)


def test_ranks_share_the_order_and_augment_apart():
    first, second = batches(source_of("shuffle", rank=0)), batches(source_of("shuffle", rank=1))
    assert indices(first) == indices(second)
    assert not any(torch.equal(one[:, 1:], two[:, 1:]) for one, two in zip(first, second, strict=True))


def test_every_draw_of_an_epoch_is_another():
    drawn = torch.cat(batches(source_of("sequential"), 0) + batches(source_of("sequential"), 1))[:, 1:]
    assert len(set(drawn.flatten().tolist())) == drawn.numel()


@pytest.mark.parametrize("kind", [kind for kind in ORDERED if kind not in {"getitems", "tensors"}])
def test_no_sample_before_the_first_batch_is_looked_at(kind):
    source = source_of(kind)
    data = getattr(source.loader.dataset, "dataset", source.loader.dataset)
    asked = []
    for skip in (0, len(source.loader) - 1):
        data.asked.clear()
        next(source.start(0, skip))
        asked.append(len(data.asked))
    assert all(1 <= count <= 5 for count in asked)


def test_a_persistent_worker_serves_all_epochs():
    source = source_of("persistent", 1)
    batches(source, 0)
    workers = [each.pid for each in active_children()]
    batches(source, 1, 2)
    assert [each.pid for each in active_children()] == workers


def test_a_loader_that_has_been_left_in_the_middle_begins_anew():
    for workers in (0, 2):
        source = source_of("persistent", workers)
        whole = batches(source, 1)
        next(source.start(0, 0))
        assert same(batches(source, 1), whole)


@given(
    count=st.integers(1, 40),
    size=st.integers(1, 9),
    drop_last=st.booleans(),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 10**6),
    data=st.data(),
)
def test_any_size_seed_and_epoch_can_be_entered_anywhere(count, size, drop_last, seed, epoch, data):
    loader = DataLoader(range(count), batch_size=size, shuffle=True, drop_last=drop_last)
    source = make_source(loader, seed, 0)
    whole = [each.tolist() for each in source.start(epoch, 0)]
    assert [len(each) for each in whole] == [len(each) for each in loader]
    if not drop_last:
        assert sorted(index for each in whole for index in each) == list(range(count))
    skip = data.draw(st.integers(0, len(whole) + 2))
    assert [each.tolist() for each in source.start(epoch, skip)] == whole[skip:]


def test_a_derived_seed_depends_on_every_part_and_on_its_place():
    seeds = [derive(0, "order", 1), derive(1, "order", 0), derive(0, "batch", 1), derive(0, "order", 1, 0), derive()]
    assert len(set(seeds)) == 5
    assert all(0 <= each < 2**63 for each in seeds)
    assert derive(0, "order", 1) == 7021862330116196507  # a snapshot of yesterday is resumed tomorrow


@pytest.mark.parametrize(
    ("dataset", "plain"),
    [
        ([1, 2], True),
        (range(3), True),
        (TensorDataset(torch.ones(2)), True),
        (Subset(TensorDataset(torch.ones(2)), [0]), True),
        (Subset(Augmented(), [0]), False),
        (ConcatDataset([TensorDataset(torch.ones(2)), TensorDataset(torch.ones(2))]), True),
        (ConcatDataset([TensorDataset(torch.ones(2)), Augmented()]), False),
        (Augmented(), False),
    ],
)
def test_only_code_of_the_users_own_is_given_streams(dataset, plain):
    assert is_plain(dataset) is plain
    assert draws_nothing(DataLoader(dataset)) is plain
    assert not draws_nothing(DataLoader(dataset, collate_fn=noisy))

"""Each kind of loader goes on in the middle of an epoch, or says why it may not be exact."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, Sampler

from hookloop.rng import rng_state
from hookloop.sources import PlainSource, SeededSource, SequenceSource, StatefulSource, make_source
from hookloop.testing.comparison import first_difference

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


class Indexed:
    """Batches by index, with no iterator of their own; notes which were asked for."""

    def __init__(self, count=5):
        self.count = count
        self.asked = []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index >= self.count:
            raise IndexError(index)
        self.asked.append(index)
        return index


class Stateful:
    """A loader that knows its position; at the end of a walk it says that it stands at *at_end*."""

    def __init__(self, count=5, at_end=0):
        self.count = count
        self.at_end = at_end
        self.position = self.first = self.epoch = 0

    def __len__(self):
        return self.count

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        first, self.first = self.first, 0
        for index in range(first, self.count):
            self.position = index + 1
            yield 10 * self.epoch + index
        self.position = self.at_end

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = self.first = state["position"]


class Mutating(Stateful):
    """Gives the very dictionary that it counts in."""

    def __init__(self):
        super().__init__()
        self.own = {"position": 0}

    def state_dict(self):
        self.own["position"] = self.position
        return self.own


class Stream(IterableDataset):
    """Samples that know their position, without a length."""

    def __init__(self, count=11):
        self.count = count
        self.position = 0

    def __iter__(self):
        while self.position < self.count:
            self.position += 1
            yield self.position - 1
        self.position = 0

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


class Walked:
    """An iterable that has nothing but its iterator; counts what is read."""

    def __init__(self):
        self.read = 0

    def __iter__(self):
        for index in range(5):
            self.read += 1
            yield index


class Unknown(Sampler):
    """A sampler that may do anything."""

    def __iter__(self):
        return iter(torch.randperm(5).tolist())

    def __len__(self):
        return 5


class Numbers(Dataset):
    def __init__(self, count=20):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return index


class Other(DataLoader):
    """A DataLoader of somebody's own, which may do anything."""


def numbers(loader, epoch=0, skip=0):
    return [each.tolist() if isinstance(each, torch.Tensor) else each for each in loader.start(epoch, skip)]


def interrupted(make, epoch, steps):
    """Return what is left of an epoch for one who is stopped after *steps* batches and begins anew from the state."""
    source = make_source(make(), 0, 0)
    walk = source.start(epoch, 0)
    for _ in range(steps):
        next(walk)
    state = source.state_dict()
    resumed = make_source(make(), 0, 0)
    resumed.load_state_dict(state)
    return resumed


@pytest.mark.parametrize(
    ("loader", "kind", "exact"),
    [
        ([1, 2], SequenceSource, True),
        ((1, 2), SequenceSource, True),
        (Indexed(), SequenceSource, True),
        (DataLoader(Numbers()), SeededSource, True),
        (DataLoader(Numbers(), sampler=Unknown()), SeededSource, False),
        (DataLoader(Numbers(), batch_sampler=[[1, 2], [3]]), SeededSource, True),
        (DataLoader(Numbers(), num_workers=1, in_order=False), SeededSource, False),
        (DataLoader(Numbers(), num_workers=0, in_order=False), SeededSource, True),
        (Stateful(), StatefulSource, True),
        (DataLoader(Stream()), StatefulSource, True),
        (DataLoader(Stream(), num_workers=1), PlainSource, False),
        (Other(Numbers()), PlainSource, False),
        (Walked(), PlainSource, False),
        (torch.ones(3, 2), PlainSource, False),
        (iter([1, 2]), PlainSource, False),
    ],
)
def test_what_a_loader_can_decides_how_it_goes_on(loader, kind, exact):
    source = make_source(loader, 0, 0)
    assert type(source) is kind
    assert source.loader is loader
    assert (source.inexact is None) is exact


@pytest.mark.parametrize("loader", [list(range(5)), tuple(range(5)), Indexed()], ids=["list", "tuple", "indexed"])
def test_a_sequence_begins_at_an_index(loader):
    source = make_source(loader, 0, 0)
    for skip in range(7):
        assert numbers(source, 0, skip) == list(range(5))[skip:]


def test_an_indexed_object_is_not_asked_for_what_was_seen():
    loader = Indexed(1000)
    next(make_source(loader, 0, 0).start(0, 990))
    assert loader.asked == [990]


@pytest.mark.parametrize("steps", range(1, 6))
@pytest.mark.parametrize("make", [Stateful, Mutating], ids=["plain", "mutating"])
def test_a_stateful_loader_begins_where_its_state_says(make, steps):
    resumed = interrupted(make, 2, steps)
    assert resumed.inexact is None
    assert numbers(resumed, 2, steps) == [20 + index for index in range(steps, 5)]
    assert numbers(resumed, 3, 0) == [30, 31, 32, 33, 34]


def test_a_state_is_not_moved_by_the_training_that_goes_on():
    source = make_source(Mutating(), 0, 0)
    walk = source.start(0, 0)
    next(walk)
    state = source.state_dict()
    next(walk)
    assert state["position"]["owner"] == {"position": 1}


@pytest.mark.parametrize("at_end", [0, 5], ids=["at the beginning", "at the end"])
def test_a_state_from_between_two_epochs_gives_the_whole_next_one(at_end):
    """A state that was taken at the end of an epoch gives nothing once more for some loaders."""
    source = make_source(Stateful(at_end=at_end), 0, 0)
    assert numbers(source, 0) == [0, 1, 2, 3, 4]
    resumed = make_source(Stateful(at_end=at_end), 0, 0)
    resumed.load_state_dict(source.state_dict())
    assert numbers(resumed, 1) == [10, 11, 12, 13, 14]


def test_the_empty_epoch_of_such_a_loader_leaves_no_trace_in_the_streams():
    class Drawing(Stateful):
        def __iter__(self):
            torch.rand(())
            return super().__iter__()

    source = make_source(Drawing(at_end=5), 0, 0)
    source.load_state_dict({"kind": "stateful", "batches": 5, "position": {"owner": {"position": 5}, "ended": False}})
    torch.manual_seed(0)
    once = iter(Drawing())
    after_one = rng_state(torch.device("cpu"))
    torch.manual_seed(0)
    assert numbers(source, 0) == list(once)
    assert first_difference(rng_state(torch.device("cpu")), after_one) is None


@pytest.mark.parametrize("steps", range(1, 4))
def test_an_iterable_dataset_that_knows_its_position_goes_on_there(steps):
    def make():
        return DataLoader(Stream(), batch_size=4)

    resumed = interrupted(make, 0, steps)
    assert resumed.inexact is None
    assert numbers(resumed, 0, steps) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]][steps:]
    assert numbers(resumed, 1) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


def test_a_loader_that_stands_at_the_next_epoch_already_does_not_give_it_twice():
    """torch fills up the last batch until the dataset has ended, which then says that it stands at the beginning."""
    source = make_source(DataLoader(Stream(11), batch_size=4), 0, 0)
    walk = source.start(0, 0)
    for _ in range(3):
        next(walk)
    state = source.state_dict()
    assert state["position"]["owner"] == {"position": 0}
    resumed = make_source(DataLoader(Stream(11), batch_size=4), 0, 0)
    resumed.load_state_dict(state)
    assert numbers(resumed, 0, 3) == []
    assert numbers(resumed, 1) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


def test_nor_does_one_that_announces_its_length():
    class Wrapping(Stateful):
        def state_dict(self):
            return {"position": self.position % self.count}

    assert numbers(interrupted(Wrapping, 0, 5), 0, 5) == []


@pytest.mark.parametrize("steps", [2, 5])
def test_a_state_that_was_loaded_and_not_begun_with_is_the_state(steps):
    """A resumed run may save before it fetches: when it owes a validation, or when its epoch was at its end."""
    resumed = interrupted(Stateful, 0, steps)
    if steps == 5:
        assert numbers(resumed, 0, steps) == []
    again = make_source(Stateful(), 0, 0)
    again.load_state_dict(resumed.state_dict())
    assert numbers(again, 0, steps) == [0, 1, 2, 3, 4][steps:]


def test_a_stateful_loader_without_its_state_is_read_again_and_says_so():
    source = make_source(Stateful(), 0, 0)
    source.load_state_dict(make_source([1, 2, 3, 4, 5], 0, 0).state_dict())
    assert source.inexact == "the training data is not what it was: kind 'sequence' then and 'stateful' now"
    assert numbers(source, 0, 3) == [3, 4]


def test_a_plain_iterable_is_read_again_up_to_where_it_was():
    loader = Walked()
    source = make_source(loader, 0, 0)
    assert numbers(source, 0, 3) == [3, 4]
    assert loader.read == 5
    assert source.state_dict() == {"kind": "plain", "batches": None}


@pytest.mark.parametrize(
    ("loader", "reason"),
    [
        (Walked(), "the train loader, a Walked, has no position: what was seen of the epoch is read again and dropped"),
        (Other(Numbers()), "the train loader, a Other, has no position"),
        (DataLoader(Stream(), num_workers=2), "the train loader, a DataLoader, has no position"),
        (
            DataLoader(Numbers(), sampler=Unknown()),
            "the order of the train loader comes from a Unknown, which may give another one after a restart. "
            "Give it a method set_epoch(epoch)",
        ),
        (
            DataLoader(Numbers(), shuffle=True, num_workers=2, in_order=False),
            "the train loader has in_order = False: its workers overtake each other.",
        ),
    ],
)
def test_the_reason_says_what_is_in_the_way(loader, reason):
    assert make_source(loader, 0, 0).inexact.startswith(reason)


def test_a_sampler_nobody_knows_trains_all_the_same():
    source = make_source(DataLoader(Numbers(), sampler=Unknown(), batch_size=2), 0, 0)
    assert sorted(index for each in numbers(source) for index in each) == [0, 1, 2, 3, 4]


def loaded(count=20, size=4, seed=0, **keywords):
    return make_source(DataLoader(Numbers(count), batch_size=size, **keywords), seed, 0)


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (loaded(), loaded(21), "samples 20 then and 21 now, batches 5 then and 6 now"),
        (loaded(19), loaded(20), "samples 19 then and 20 now"),
        (loaded(), loaded(size=5), "batches 5 then and 4 now, batch_size 4 then and 5 now"),
        (loaded(), loaded(seed=1), "seed 0 then and 1 now"),
        (loaded(), make_source([1, 2, 3, 4, 5], 0, 0), "kind 'seeded' then and 'sequence' now"),
        (make_source([1, 2], 0, 0), make_source([1], 0, 0), "batches 2 then and 1 now"),
        (make_source(Stateful(), 0, 0), make_source(Stateful(6), 0, 0), "batches 5 then and 6 now"),
    ],
)
def test_data_that_has_changed_is_noticed(then, now, said):
    now.load_state_dict(then.state_dict())
    assert now.inexact == f"the training data is not what it was: {said}"


def test_the_number_of_workers_and_an_unchanged_loader_are_no_change():
    now = loaded(num_workers=2, persistent_workers=True)
    now.load_state_dict(loaded().state_dict())
    assert now.inexact is None


def test_what_was_inexact_stays_so():
    now = make_source(DataLoader(Numbers(), sampler=Unknown()), 0, 0)
    now.load_state_dict(now.state_dict())
    assert now.inexact.startswith("the order of the train loader")


@pytest.mark.parametrize(
    "loader", [[1, 2], DataLoader(Numbers(), sampler=RandomSampler(range(9))), Stateful(), Walked()]
)
def test_a_state_is_made_of_plain_values(loader):
    from hookloop.plain_state import check_plain

    check_plain(make_source(loader, 3, 1).state_dict(), "data")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_dataset_may_draw_from_every_stream_and_training_draws_on(workers):
    class Drawing(Numbers):
        def __getitem__(self, index):
            return torch.rand(()).item() + random.random() + np.random.random()

    before = rng_state(torch.device("cpu"))
    source = make_source(DataLoader(Drawing(6), batch_size=2, num_workers=workers), 0, 0)
    first, second = numbers(source, 0), numbers(source, 0)
    assert first == second
    assert first_difference(rng_state(torch.device("cpu")), before) is None

"""Whatever gives batches can be trained on; what ends too early, or twice, is an error and never silent."""

import collections
import dataclasses
import gc
import typing
from multiprocessing import active_children

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from hookloop import DataError, SupervisedTask
from hookloop.loaders import check_ended, has_fixed_length, length, walk

FORKING = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture(autouse=True)
def no_workers_left():
    """Collect what a test leaves behind now: torch waits for workers that are collected at an odd moment."""
    yield
    if active_children():
        gc.collect()


class Rows(Dataset):
    """Inputs of shape (4,) and a class for each of *count* rows, the number of the row among the inputs."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index >= self.count:
            raise IndexError
        return torch.full((4,), float(index)), index % 3


class Stream(IterableDataset):
    """The same rows, one after the other, dealt out to the workers."""

    def __init__(self, count):
        self.count = count

    def __iter__(self):
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for index in range(first, self.count, step):
            yield Rows(self.count)[index]


class Pair(typing.NamedTuple):
    x: torch.Tensor
    label: torch.Tensor


@dataclasses.dataclass
class Sample:
    image: torch.Tensor
    target: torch.Tensor
    name: str = "nobody"


def batches_of(rows=12, size=4):
    return list(DataLoader(Rows(rows), batch_size=size))


def train(tiny_run, loader, *, epochs=2, plugins=(), val=None, **keywords):
    def task():
        return SupervisedTask(torch.nn.Linear(4, 3), train=loader, val=val)

    return tiny_run(plugins, task=task, epochs=epochs, **keywords)


def counts(result):
    return result.outcome, result.epoch, result.step, result.samples


def weights(result):
    return torch.cat([each.flatten() for each in result.state["model"].values()])


# what a batch may be

KINDS = {
    "tuple": lambda x, y: (x, y),
    "list": lambda x, y: [x, y],
    "namedtuple": Pair,
    "dict": lambda x, y: {"inputs": x, "labels": y},
    "ordered dict": lambda x, y: collections.OrderedDict(id="a", features=x, y=y),
    "dataclass": Sample,
    "longer tuple": lambda x, y: (x, y, {"more": [x]}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_may_be(tiny_run, kind):
    batches = batches_of(rows=10)
    result = train(tiny_run, [KINDS[kind](x, y) for x, y in batches], val=batches)
    assert counts(result) == ("completed", 2, 6, 20)
    assert torch.equal(weights(result), weights(train(tiny_run, batches, val=batches)))


def test_a_nested_batch_is_counted_by_its_first_tensor(tiny_run):
    class Nested(SupervisedTask):
        def input(self, batch):
            return batch["sensors"]["left"] + batch["sensors"]["right"][0]

        def target(self, batch):
            return batch["answer"][0]

    batches = [{"sensors": {"left": x, "right": (x, x)}, "answer": [y]} for x, y in batches_of(rows=10)]
    result = tiny_run(task=lambda: Nested(torch.nn.Linear(4, 3), train=batches, val=batches), epochs=1)
    assert counts(result) == ("completed", 1, 3, 10)


def test_a_batch_may_be_a_bare_tensor(tiny_run):
    class Reconstruction(SupervisedTask):
        def loss(self, output, batch):
            return (output - batch).square().mean()

    batches = [x for x, _ in batches_of(rows=10)]
    result = tiny_run(task=lambda: Reconstruction(torch.nn.Linear(4, 4), train=batches), loss=None, epochs=1)
    assert counts(result) == ("completed", 1, 3, 10)


# what a loader may be


class Walkable:
    """An iterable without a length."""

    def __init__(self, batches):
        self.batches = batches
        self.walks = 0

    def __iter__(self):
        self.walks += 1
        yield from self.batches


class Indexed:
    """Nothing but ``__getitem__``."""

    def __init__(self, batches):
        self.batches = batches

    def __getitem__(self, index):
        return self.batches[index]


class Numbered(Indexed):
    """With a length too."""

    def __len__(self):
        return len(self.batches)


def test_a_loader_may_be_a_list_or_a_tuple(tiny_run):
    for loader in (batches_of(), tuple(batches_of())):
        assert counts(train(tiny_run, loader)) == ("completed", 2, 6, 24)


def test_a_loader_may_be_an_iterable_without_a_length(tiny_run):
    loader = Walkable(batches_of())
    assert counts(train(tiny_run, loader, val=Walkable(batches_of()))) == ("completed", 2, 6, 24)
    assert loader.walks == 2


@pytest.mark.parametrize("kind", [Indexed, Numbered])
def test_a_loader_may_be_anything_with_getitem(tiny_run, kind):
    assert counts(train(tiny_run, kind(batches_of()), val=kind(batches_of()))) == ("completed", 2, 6, 24)


def test_a_loader_may_be_a_generator_for_one_epoch(tiny_run):
    assert counts(train(tiny_run, iter(batches_of()), epochs=1)) == ("completed", 1, 3, 12)


def test_a_generator_that_is_walked_a_second_time_is_a_clear_error(tiny_run):
    with pytest.raises(DataError, match=r"train loader gave no batch in epoch 2: it is a generator.*max_epochs = 1"):
        train(tiny_run, (batch for batch in batches_of()))


@pytest.mark.parametrize("every", ["1 epoch", "1 step"])
def test_a_generator_that_is_validated_a_second_time_is_a_clear_error(tiny_run, every):
    with pytest.raises(DataError, match=r"validate loader gave no batch: it is a generator, .* only once") as caught:
        train(tiny_run, batches_of(), val=(batch for batch in batches_of()), validate_every=every)
    assert "max_epochs" not in str(caught.value)


@FORKING
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_may_be_a_data_loader_with_workers(tiny_run, workers):
    loader = DataLoader(Rows(10), batch_size=4, num_workers=workers)
    result = train(tiny_run, loader)
    assert counts(result) == ("completed", 2, 6, 20)
    assert torch.equal(weights(result), weights(train(tiny_run, batches_of(rows=10))))


@FORKING
def test_persistent_workers_train_like_others(tiny_run):
    loader = DataLoader(Rows(10), batch_size=4, num_workers=1, persistent_workers=True)
    assert torch.equal(weights(train(tiny_run, loader)), weights(train(tiny_run, batches_of(rows=10))))


@FORKING
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_may_be_of_an_iterable_dataset(tiny_run, workers):
    loader = DataLoader(Stream(12), batch_size=4, num_workers=workers)
    assert counts(train(tiny_run, loader))[::3] == ("completed", 24)


@FORKING
def test_the_workers_of_an_epoch_that_was_left_are_gone_with_the_run(tiny_run):
    task = SupervisedTask(torch.nn.Linear(4, 3), train=DataLoader(Rows(40), batch_size=4, num_workers=2))
    result = tiny_run(task=task, max_steps=2, epochs=None)
    assert result.step == 2
    assert active_children() == []


def test_shuffling_follows_the_seed(tiny_run):
    loader = DataLoader(Rows(32), batch_size=4, shuffle=True)
    one, same, other = (train(tiny_run, loader, seed=seed) for seed in (0, 0, 1))
    assert one.history[0]["train/loss"] == same.history[0]["train/loss"] != other.history[0]["train/loss"]


def test_what_is_no_loader_is_told_with_the_name_of_the_method(tiny_run):
    with pytest.raises(Exception, match=r"SupervisedTask.train_loader gave a int: not iterable"):
        train(tiny_run, 3)


# samplers


class EpochSampler(torch.utils.data.Sampler):
    """Notes the epochs that it is told, as a DistributedSampler needs them."""

    def __init__(self, count=8):
        self.count = count
        self.epochs = []

    def set_epoch(self, epoch):
        self.epochs.append(epoch)

    def __iter__(self):
        return iter(range(self.count))

    def __len__(self):
        return self.count


@pytest.mark.parametrize("place", ["sampler", "batch_sampler", "inner"])
def test_a_sampler_is_told_each_epoch_once_before_it_is_walked(tiny_run, place):
    sampler = EpochSampler()
    inner = torch.utils.data.BatchSampler(sampler, 4, drop_last=False)
    if place == "sampler":
        loader = DataLoader(Rows(8), batch_size=4, sampler=sampler)
    elif place == "inner":
        loader = DataLoader(Rows(8), batch_sampler=inner)
    else:
        inner.set_epoch = sampler.epochs.append
        inner.sampler = range(8)
        loader = DataLoader(Rows(8), batch_sampler=inner)
    train(tiny_run, loader, epochs=3)
    assert sampler.epochs == [0, 1, 2]


class Unsized(torch.utils.data.Sampler):
    """A sampler that does not know how much it is going to draw."""

    def __init__(self):
        pass

    def __iter__(self):
        return iter([[0, 1, 2], [3], [4, 5]])


class Estimating(Unsized):
    """One that guesses too low."""

    def __len__(self):
        return 2


@pytest.mark.parametrize(("sampler", "announced"), [(Unsized(), None), (Estimating(), 2)])
def test_a_sampler_need_not_know_how_many_batches_come(tiny_run, sampler, announced):
    loader = DataLoader(Rows(6), batch_sampler=sampler)
    assert length(loader) == announced
    assert counts(train(tiny_run, loader, val=loader)) == ("completed", 2, 6, 12)


# data that ends too early


class Broken(Rows):
    """Raises StopIteration in the middle, as a ``next()`` without a default does."""

    def __getitem__(self, index):
        return super().__getitem__(index) if index < 5 else next(iter(()))


def stopping(rows):
    raise StopIteration


@FORKING
@pytest.mark.parametrize("workers", [0, 1])
def test_stop_iteration_in_a_dataset_is_an_error(tiny_run, workers):
    loader = DataLoader(Broken(12), batch_size=4, num_workers=workers)
    with pytest.raises(DataError, match="StopIteration"):
        train(tiny_run, loader)


def test_stop_iteration_in_a_collate_function_is_an_error(tiny_run):
    with pytest.raises(DataError, match="StopIteration"):
        train(tiny_run, DataLoader(Rows(12), batch_size=4, collate_fn=stopping))


def late(rows):
    """Fail on the last rows only."""
    return stopping(rows) if rows[0][1] == 2 else torch.utils.data.default_collate(rows)


@pytest.mark.parametrize("place", ["train", "val"])
def test_stop_iteration_in_the_collate_function_of_a_stream_is_an_error(tiny_run, place):
    loader = DataLoader(Stream(3), batch_size=1, collate_fn=late)
    given = {"train": loader, "val": batches_of()} if place == "train" else {"train": batches_of(), "val": loader}
    with pytest.raises(DataError, match="raised StopIteration"):
        train(tiny_run, given["train"], val=given["val"], epochs=1)


def test_stop_iteration_in_a_generator_is_an_error(tiny_run):
    def generate():
        yield from batches_of()
        next(iter(()))

    with pytest.raises(RuntimeError, match="generator raised StopIteration"):
        train(tiny_run, generate(), epochs=1)


def test_stop_iteration_in_getitem_is_an_error_where_a_length_was_announced(tiny_run):
    class Short(Numbered):
        def __getitem__(self, index):
            return super().__getitem__(index) if index < 2 else next(iter(()))

    with pytest.raises(DataError, match="train loader announced 3 batches and ended after 2"):
        train(tiny_run, Short(batches_of()))


def test_stop_iteration_when_a_walk_begins_is_an_error(tiny_run):
    class NoWalk:
        def __iter__(self):
            raise StopIteration("mine")

    with pytest.raises(StopIteration, match="mine"):
        train(tiny_run, NoWalk())


@pytest.mark.parametrize("rows", [3, 7])
def test_a_stream_that_ends_is_no_error_wherever_its_end_lies(tiny_run, rows):
    loader = DataLoader(Stream(rows), batch_size=3, drop_last=True)
    assert counts(train(tiny_run, loader, val=loader)) == ("completed", 2, 2 * (rows // 3), 6 * (rows // 3))


def test_an_iterator_of_the_users_own_may_end_as_it_likes(tiny_run):
    class Own:
        def __init__(self):
            self.rest = batches_of()

        def __iter__(self):
            return Own()

        def __next__(self):
            return self.take()

        def take(self):
            if not self.rest:
                raise StopIteration
            return self.rest.pop()

    assert counts(train(tiny_run, Own(), val=Own())) == ("completed", 2, 6, 24)


def test_an_estimated_length_may_be_wrong(tiny_run):
    class Estimated(Walkable):
        def __len__(self):
            return 100

    assert counts(train(tiny_run, Estimated(batches_of()))) == ("completed", 2, 6, 24)


# no data


@pytest.mark.parametrize("empty", [[], Walkable([]), Indexed([]), DataLoader(Rows(0))], ids=type)
def test_an_empty_loader_is_a_clear_error(tiny_run, empty):
    with pytest.raises(DataError, match="train loader gave no batch in epoch 1: it is empty"):
        train(tiny_run, empty)
    with pytest.raises(
        DataError, match=r"validate loader gave no batch: it is empty\. Look at the task's validate data"
    ):
        train(tiny_run, batches_of(), val=empty)


def test_an_empty_loader_says_that_it_dropped_the_only_batch(tiny_run):
    loader = DataLoader(Rows(3), batch_size=4, drop_last=True)
    with pytest.raises(DataError, match="drop_last = True drops the only batch, as the dataset has 3 samples"):
        train(tiny_run, loader)


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_an_empty_loader_is_an_error_of_every_command(tiny_run, command):
    task = SupervisedTask(torch.nn.Linear(4, 3), val=[], test=[], predict=[])
    with pytest.raises(DataError, match=f"the {command} loader gave no batch: it is empty"):
        tiny_run(task=task, commands=(command,))


# the library


def test_length_is_none_where_nothing_is_announced():
    assert length([1, 2]) == 2
    assert length(iter([])) is None
    assert length(DataLoader(Stream(3))) is None


@pytest.mark.parametrize(
    ("loader", "fixed"),
    [
        ([], True),
        ((), True),
        (Numbered([]), True),
        (DataLoader(Rows(3)), True),
        (DataLoader(Stream(3)), False),
        (Walkable([]), False),
    ],
    ids=["list", "tuple", "indexed", "DataLoader", "DataLoader of a stream", "iterable"],
)
def test_a_length_is_a_promise_of_sequences_and_of_loaders_over_them(loader, fixed):
    assert has_fixed_length(loader) is fixed


def test_walk_begins_anew_and_tells_the_loader_itself_the_epoch():
    class Told(Walkable):
        def set_epoch(self, epoch):
            self.batches = [epoch]

    assert [list(walk(Told([]), epoch)) for epoch in (0, 1)] == [[0], [1]]


def test_check_ended_is_quiet_when_everything_came():
    check_ended([1, 2], "train", 0, 2)

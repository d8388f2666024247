import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hookloop.control import Control
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.manager import PluginManager
from hookloop.metrics import MetricStore
from hookloop.options import RunOptions
from hookloop.records import Records
from hookloop.row_log import RowLog
from hookloop.run import Run


class OnDevice(torch.Tensor):
    """A tensor that says it is not on the host, and counts how often anybody reads it there."""

    reads = 0

    @property
    def is_cpu(self):
        return False

    def item(self):
        raise AssertionError("read on its own, which waits for the device once for every value")

    def tolist(self):
        OnDevice.reads += 1
        return torch.Tensor.tolist(self)


def on_device(value, dtype=torch.float32):
    return torch.tensor(value, dtype=dtype).as_subclass(OnDevice)


@pytest.fixture
def reads():
    OnDevice.reads = 0
    return lambda: OnDevice.reads


@pytest.fixture
def store():
    return MetricStore()


@pytest.fixture
def run(store):
    plugins = PluginManager(SPECIFICATIONS)
    return Run(
        config=RunOptions(),
        settings={},
        plugins=plugins,
        store=store,
        rows=RowLog(Records(Path(), writes=False), plugins),
        control=Control(),
        clock=lambda: 0.0,
        directory=Path(),
    )


def test_a_number_comes_back_as_a_float(store):
    store.add("train/loss", 0.1)
    assert store.fetch() == {"train/loss": 0.1}


def test_values_are_averaged_by_their_weights(store):
    store.add("val/loss", 1.0, 6)
    store.add("val/loss", 4.0, 3)
    store.add_tensor("val/loss", torch.tensor(10.0), 1)
    assert store.fetch() == {"val/loss": 2.8}


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(1, 512)), min_size=1, max_size=40))
def test_the_weighted_mean_is_that_of_all_values_at_once(pairs):
    store = MetricStore()
    for value, weight in pairs:
        store.add("x", value, weight)
    exact = math.fsum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs)
    assert store.fetch()["x"] == pytest.approx(exact, rel=1e-9, abs=1e-6)


def test_the_mean_of_what_weighs_nothing_is_nan(store):
    store.add("val/loss", 3.0, 0)
    assert math.isnan(store.fetch()["val/loss"])


def test_names_keep_the_order_in_which_they_were_first_logged(store):
    for name in ("train/loss", "lr", "train/accuracy", "lr", "train/loss"):
        store.add(name, 1.0)
    store.add_tensor("on/device", on_device(1.0))
    store.add("last", 1.0)
    assert list(store.fetch()) == ["train/loss", "lr", "train/accuracy", "on/device", "last"]


def test_fetching_starts_anew(store):
    assert not store
    store.add("train/loss", 1.0)
    store.add_tensor("train/loss", on_device(2.0))
    assert store
    store.fetch()
    assert not store
    assert store.fetch() == {}


def test_what_begins_with_a_prefix_can_be_forgotten(store):
    for name in ("val/loss", "val/f1", "valid", "train/val/loss"):
        store.add(name, 1.0)
    store.discard("val/")
    assert list(store.fetch()) == ["valid", "train/val/loss"]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_no_finite_number_is_kept_as_it_is(store, value):
    store.add("a", value)
    store.add_tensor("b", torch.tensor(value), 6)
    store.add_tensor("c", on_device(value), 6)
    assert [repr(each) for each in store.fetch().values()] == [repr(value)] * 3


def test_one_nan_shows_in_the_mean(store):
    store.add("train/loss", 1.0)
    store.add("train/loss", math.nan)
    assert math.isnan(store.fetch()["train/loss"])


EXACT = [
    (torch.float32, 0.1),
    (torch.float64, 0.1),
    (torch.bfloat16, 3.140625),
    (torch.float16, 0.0999755859375),
    (torch.int64, 2**53 - 1),
    (torch.uint8, 255),
    (torch.bool, True),
]


@pytest.mark.parametrize("make", [torch.tensor, on_device])
@pytest.mark.parametrize(("dtype", "value"), EXACT)
def test_a_tensor_of_any_dtype_comes_back_exactly_and_as_a_float(store, make, dtype, value):
    tensor = make(value, dtype=dtype)
    store.add_tensor("x", tensor)
    (number,) = store.fetch().values()
    assert type(number) is float
    assert number == torch.tensor(value, dtype=dtype).item()


def test_tensors_on_a_device_are_read_at_once_when_they_are_fetched(store, reads):
    for name, value, weight in (("a", 1.0, 1), ("b", 2.0, 1), ("a", 4.0, 2), ("b", 8.0, 5)):
        store.add_tensor(name, on_device(value), weight)
    store.add("a", 11.0, 1)
    assert reads() == 0
    assert store.fetch() == {"a": (1 + 2 * 4 + 11) / 4, "b": (2 + 5 * 8) / 6}
    assert reads() == 1


def test_there_is_one_copy_for_each_dtype(store, reads):
    for index in range(4):
        store.add_tensor("a", on_device(float(index), torch.float64))
        store.add_tensor("b", on_device(index, torch.int64))
    assert store.fetch() == {"a": 1.5, "b": 1.5}
    assert reads() == 2


def test_a_tensor_on_a_device_gives_no_gradient_and_keeps_no_graph(store):
    loss = on_device(3.0).requires_grad_() * 2
    store.add_tensor("train/loss", loss)
    ((kept, _),) = store._tensors["train/loss"]
    assert kept.grad_fn is None


def test_a_tensor_without_data_is_not_looked_at_before_it_is_fetched(store):
    store.add_tensor("train/loss", torch.ones((), device="meta"))
    with pytest.raises(NotImplementedError):
        store.fetch()


# run.log


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3.0),
        (True, 1.0),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.int64(7), 7.0),
        (np.bool_(True), 1.0),
        (np.array(2.5), 2.5),
        (torch.tensor(0.25), 0.25),
        (torch.tensor([[0.25]]), 0.25),
        (torch.tensor([True]), 1.0),
        (torch.nn.Parameter(torch.tensor(2.0)), 2.0),
        (on_device([0.25]), 0.25),
    ],
)
def test_anything_that_is_one_number_can_be_logged(run, value, expected):
    run.log("x", value)
    (number,) = run.store.fetch().values()
    assert type(number) is float
    assert number == expected


def test_logged_values_are_averaged_by_weight(run):
    run.log("x", 1, weight=3)
    run.log("x", on_device(5.0), weight=1)
    assert run.store.fetch() == {"x": 2.0}


@pytest.mark.parametrize("make", [torch.tensor, on_device])
def test_a_running_total_counts_as_it_was_when_it_was_logged(run, make):
    total = make(1.0, dtype=torch.float32)
    run.log("x", total)
    total += 10
    assert run.store.fetch() == {"x": 1.0}


def test_a_tensor_of_several_numbers_is_an_error_that_names_the_metric_and_the_shape(run):
    with pytest.raises(ValueError, match=r"run.log\('train/acc'\): wanted one number, got a tensor of shape \(2, 1\)"):
        run.log("train/acc", torch.zeros(2, 1))


def test_what_is_no_number_is_an_error(run):
    with pytest.raises(TypeError):
        run.log("train/acc", None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_logging_does_not_wait_for_the_gpu(run):
    value = torch.ones(3, device="cuda").sum()
    torch.cuda.set_sync_debug_mode("error")
    try:
        run.log("x", value)
        run.store.add_tensor("x", value * 2)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert run.store.fetch() == {"x": 4.5}

import pytest
import torch

from hookloop.testing.comparison import first_difference
from hookloop.testing.evidence import difference_by_observer

NAN = float("nan")


@pytest.mark.parametrize(
    "value",
    [
        1,
        1.5,
        NAN,
        "text",
        None,
        [1, (2.0, "a")],
        {"a": {"b": torch.tensor([NAN, -0.0])}},
        torch.ones(2, dtype=torch.bfloat16),
    ],
)
def test_the_same_values_are_equal(value):
    assert first_difference(value, value) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (0.0, -0.0),
        ([1], (1,)),
        ("1", 1),
        (True, 1),
        (torch.zeros(2), -torch.zeros(2)),
        (torch.zeros(2), torch.zeros(2, 1)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
        (torch.zeros(()), 0.0),
        (1.0, 1.0 + 2**-52),
    ],
)
def test_every_bit_and_the_type_count(one, other):
    assert first_difference(one, other) is not None


def test_the_place_of_the_first_difference_is_named():
    one = {"model": {"0.weight": [1.0, 2.0]}, "step": 3}
    other = {"model": {"0.weight": [1.0, 2.5]}, "step": 4}
    assert first_difference(one, other) == "model/0.weight/1: 2.0 and 2.5"
    assert first_difference([1, 2], [1], "list") == "list: 2 items and 1 items"
    assert first_difference({"a": 1}, {"b": 1}, "table") == "table/a: there and missing"
    assert first_difference(1, 2) == "the whole: 1 and 2"


def test_metrics_and_streams_that_an_observer_adds_are_no_difference():
    without = {"fit": {"metrics": {"train/loss": [(0, 1, 0.5)]}, "random numbers": {"python": 1}}, "losses": [1.0]}
    observed = {
        "fit": {
            "metrics": {"train/loss": [(0, 1, 0.5)], "lr/0": [(0, 1, 0.1)]},
            "random numbers": {"python": 1, "numpy": 2},
        },
        "losses": [1.0],
    }
    assert difference_by_observer(without, observed) is None
    observed["fit"]["metrics"].pop("train/loss")
    assert difference_by_observer(without, observed) == "fit/metrics/train/loss: there and missing"

"""Histograms of tensors."""

import math

import pytest
import torch

from hookloop_tensorboard import histogram
from hookloop_tensorboard.histogram import count


def test_it_counts_as_numpy_does():
    import numpy

    values = torch.randn(1000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    counted = count(values, 20)
    counts, edges = numpy.histogram(values.numpy(), bins=20)
    assert counted.counts == counts.tolist()
    assert counted.limits == pytest.approx(edges[1:].tolist())
    assert (counted.lowest, counted.highest) == (values.min(), values.max())
    assert counted.sum == pytest.approx(values.sum().item())
    assert counted.sum_squares == pytest.approx(values.square().sum().item())


def test_counting_in_parts_gives_the_same(monkeypatch):
    values = torch.linspace(-1, 1, 1001)
    whole = count(values, 10)
    monkeypatch.setattr(histogram, "CHUNK", 100)
    assert count(values, 10).counts == whole.counts


def test_values_that_are_not_finite_are_left_out_and_counted():
    counted = count(torch.tensor([0.0, 1.0, math.nan, math.inf, -math.inf]), 2)
    assert (counted.counts, counted.left_out) == ([1.0, 1.0], 3)


@pytest.mark.parametrize("values", [torch.zeros(0), torch.tensor([math.nan, math.inf])])
def test_without_a_finite_value_there_is_no_histogram(values):
    assert count(values, 5) is None


def test_equal_values_are_one_bin():
    counted = count(torch.full((3, 2), 2.5), 5)
    assert (counted.limits, counted.counts) == ([2.5], [6.0])


@pytest.mark.parametrize(
    "values",
    [
        torch.arange(10),
        torch.tensor([True, False]),
        torch.linspace(-2, 2, 9).half(),
        torch.linspace(-2, 2, 9).bfloat16(),
        torch.complex(torch.linspace(-2, 2, 9), torch.ones(9)),
        torch.tensor([3e38, -3e38]),
        torch.tensor([1e-45, 0.0]),
        torch.eye(3).to_sparse(),
    ],
    ids=["whole", "bool", "half", "bfloat16", "complex", "huge", "tiny", "sparse"],
)
def test_every_kind_of_number_can_be_counted(values):
    counted = count(values, 4)
    assert sum(counted.counts) in (values.numel(), 3)
    assert len(counted.counts) == len(counted.limits)

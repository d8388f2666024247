"""What the first batch tells, and what is said when it does not."""

import logging

import pytest
import torch

from hookloop import ConfigError
from hookloop_metrics.factory import MetricFactory
from hookloop_metrics.names import offered_names
from hookloop_metrics.reading import Reading, read

FLOAT, INT = torch.zeros, lambda *shape: torch.zeros(*shape, dtype=torch.long)


def made(name="f1", **options):
    return MetricFactory(name, *offered_names()[name], None)(**options)


@pytest.mark.parametrize(
    ("output", "target", "task", "count", "reading"),
    [
        (FLOAT(6, 3), INT(6), None, None, Reading("multiclass", 3)),
        (FLOAT(6, 3), INT(6, 1), None, None, Reading("multiclass", 3)),
        (FLOAT(6, 2), INT(6), None, None, Reading("multiclass", 2)),
        (FLOAT(6, 2), INT(6), "binary", None, Reading("binary")),
        (FLOAT(6, 3, 8), INT(6, 8), None, None, Reading("multiclass", 3)),
        (FLOAT(6, 8, 3), INT(6, 8), None, None, Reading("multiclass", 3)),
        (FLOAT(6, 4, 5, 5), INT(6, 5, 5), None, None, Reading("multiclass", 4)),
        (FLOAT(6), FLOAT(6), None, None, Reading("binary")),
        (FLOAT(6, 1), INT(6), None, None, Reading("binary")),
        (FLOAT(6), INT(6, 1), None, None, Reading("binary")),
        (FLOAT(6, 1), FLOAT(6, 1), None, None, Reading("binary")),
        (FLOAT(6), FLOAT(6), "multiclass", 2, Reading("multiclass", 2)),
        (FLOAT(6, 4), FLOAT(6, 4), None, None, Reading("multilabel", 4)),
        (FLOAT(6, 4), FLOAT(6, 4), "binary", None, Reading("binary")),
        (FLOAT(6, 1, 5, 5), INT(6, 1, 5, 5), None, None, Reading("binary")),
        (FLOAT(6, 4, 5, 5), INT(6, 4, 5, 5), "multilabel", None, Reading("multilabel", 4)),
        (INT(6), INT(6), "multiclass", 7, Reading("multiclass", 7)),
        (INT(6, 4), INT(6, 4), "multiclass", 7, Reading("multiclass", 7)),
        (INT(6), INT(6), "binary", None, Reading("binary")),
        (INT(6, 4), INT(6, 4), "multilabel", None, Reading("multilabel", 4)),
    ],
)
def test_shapes_tell_task_and_count(output, target, task, count, reading):
    assert read(output, target, task, count) == reading


@pytest.mark.parametrize(
    ("output", "target", "task", "count", "said"),
    [
        (FLOAT(6, 3), INT(6), None, 4, "4 classes or labels do not suit output (6, 3) of float32 with target (6,)"),
        (
            FLOAT(6, 3),
            INT(5),
            None,
            None,
            "output (6, 3) of float32 with target (5,) of int64: for classes, the output",
        ),
        (FLOAT(6, 3), INT(6), "binary", None, "task = 'binary' does not suit output (6, 3)"),
        (FLOAT(6, 3), INT(6), "multilabel", None, "task = 'multilabel' does not suit"),
        (FLOAT(6), INT(6), "multilabel", None, "task = 'multilabel' does not suit"),
        (FLOAT(6, 4), FLOAT(6, 4), "multiclass", None, "task = 'multiclass' does not suit"),
        (INT(6), INT(6), "multiclass", None, "labels do not tell how many there are. Give num_classes"),
        (INT(6, 3), INT(6, 3), None, None, "labels do not tell the task"),
        (FLOAT(6, 4, 5, 5), INT(6, 4, 5, 5), None, None, "this is 'binary' or 'multilabel'. Give task."),
        ({"logits": FLOAT(6)}, INT(6), None, None, "that are tensors, got dict and Tensor"),
    ],
)
def test_what_cannot_be_read_says_what_to_give(output, target, task, count, said):
    with pytest.raises(ConfigError) as caught:
        read(output, target, task, count)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "output", "target", "said"),
    [
        ({}, FLOAT(6, 3), torch.tensor([0, 1, 2, 3, 0, 0]), "F1Score does not suit output (6, 3) of float32"),
        ({}, FLOAT(6), torch.full((6,), 0.5), "read as binary: targets must be whole numbers"),
        (
            {"average": "macro"},
            FLOAT(6),
            INT(6),
            "'binary', and F1Score with `average` is for multiclass or multilabel",
        ),
        ({"threshold": 0.4}, FLOAT(6, 3), INT(6), "'multiclass', and F1Score with `threshold` is for binary"),
        ({"output": "probabilities"}, FLOAT(6) + 2, INT(6), "probabilities must lie between 0 and 1"),
    ],
)
def test_a_first_batch_that_does_not_suit_is_an_error(options, output, target, said):
    with pytest.raises(ConfigError) as caught:
        made(**options).update(output, target)
    assert said in str(caught.value)


def test_regression_of_unlike_shapes_is_an_error():
    with pytest.raises(ConfigError, match=r"MeanAbsoluteError does not suit output \(6, 2\) of float32 with target"):
        made("mae").update(FLOAT(6, 2), FLOAT(6, 3))


def test_logits_that_may_be_probabilities_are_warned_of_once(caplog):
    metric = made()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            metric.update(torch.tensor([0.2, 0.7]), torch.tensor([0, 1]))
            metric.compute()
            metric.reset()
    assert len(caplog.records) == 1
    assert "write output = 'probabilities'" in caplog.text


@pytest.mark.parametrize("options", [{"output": "logits"}, {"output": "probabilities"}])
def test_who_says_what_the_output_is_hears_nothing(caplog, options):
    metric = made(**options)
    metric.update(torch.tensor([0.2, 0.7]), torch.tensor([0, 1]))
    metric.compute()
    assert not caplog.records


def test_nothing_seen_is_nan_and_a_reset_forgets():
    metric = made("accuracy")
    assert metric.compute() != metric.compute()
    metric.update(torch.tensor([[9.0, 0.0]]), torch.tensor([1]))
    assert metric.compute() == 0
    metric.reset()
    metric.update(torch.tensor([[9.0, 0.0]]), torch.tensor([0]))
    assert metric.compute() == 1

"""The values against scikit-learn's, on random data; labels that never occur are among it."""

import math
import warnings

import numpy
import pytest
import torch
from sklearn import metrics as reference
from torch.nn import functional

from hookloop_metrics.factory import MetricFactory
from hookloop_metrics.names import offered_names

SEEDS = range(8)
SCORES = {
    "f1": reference.f1_score,
    "precision": reference.precision_score,
    "recall": reference.recall_score,
}


def value(name, batches, *, criterion=None, **options):
    """Return what the metric *name* computes of (output, target) pairs."""
    metric = MetricFactory(name, *offered_names()[name], criterion)(**options)
    for output, target in batches:
        metric.update(output, target)
    return torch.as_tensor(metric.compute()).numpy()


def halves(output, target):
    """Return the data as two batches of different sizes."""
    cut = len(output) // 3
    return [(output[:cut], target[:cut]), (output[cut:], target[cut:])]


def many_classes(seed, classes=5):
    """Return logits and targets; class 1 never occurs, class 3 is never said, and sometimes both of one."""
    generator = torch.Generator().manual_seed(seed)
    logits, target = torch.randn(40, classes, generator=generator), torch.randint(classes, (40,), generator=generator)
    target[target == 1] = 0
    logits[:, 3] = -9
    if seed % 2:
        logits[:, 1] = -9
    return logits, target


def yes_or_no(seed, labels=None):
    generator = torch.Generator().manual_seed(seed)
    shape = (30,) if labels is None else (30, labels)
    logits, target = torch.randn(shape, generator=generator), torch.randint(2, shape, generator=generator)
    if labels is not None:
        target[:, 0] = 0
        logits[:, 1] = -1
    return logits, target.float()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("average", ["macro", "micro", "weighted", "none"])
@pytest.mark.parametrize("name", SCORES)
def test_scores_of_classes_are_those_of_scikit_learn(name, average, seed):
    logits, target = many_classes(seed)
    said = logits.argmax(1)
    # A mean over classes leaves out those that neither occur nor are said, as scikit-learn's does by default.
    labels = range(5) if average == "none" else None
    wanted = SCORES[name](target, said, labels=labels, average=None if average == "none" else average, zero_division=0)
    assert value(name, halves(logits, target), average=average) == pytest.approx(wanted, abs=1e-6)


def test_scores_are_macro_averages_and_accuracy_the_share_of_right_answers():
    logits, target = many_classes(0)
    for name, score in SCORES.items():
        wanted = score(target, logits.argmax(1), average="macro", zero_division=0)
        assert value(name, halves(logits, target)) == pytest.approx(wanted, abs=1e-6)
    wanted = reference.accuracy_score(target, logits.argmax(1))
    assert value("accuracy", halves(logits, target)) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_f1_is_twice_the_product_of_precision_and_recall_over_their_sum(seed):
    batches = halves(*many_classes(seed))
    f1, p, r = (value(name, batches, average="none") for name in ("f1", "precision", "recall"))
    both = numpy.where(p + r > 0, p + r, 1)
    assert f1 == pytest.approx(2 * p * r / both, abs=1e-6)


@pytest.mark.parametrize("zero_division", [0, 1])
@pytest.mark.parametrize("name", SCORES)
def test_zero_division_is_what_a_score_without_cases_is(name, zero_division):
    logits, target = torch.tensor([[9.0, 0, 0, 0], [9, 0, 0, 0]]), torch.tensor([0, 1])
    wanted = SCORES[name](target, [0, 0], labels=range(4), average=None, zero_division=zero_division)
    got = value(name, [(logits, target)], average="none", zero_division=zero_division)
    assert got == pytest.approx(wanted)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_confusion_matrix_has_a_row_for_each_true_class(seed):
    logits, target = many_classes(seed)
    wanted = reference.confusion_matrix(target, logits.argmax(1), labels=range(5))
    assert (value("confusion_matrix", halves(logits, target)) == wanted).all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", [*SCORES, "accuracy", "roc_auc", "average_precision"])
@pytest.mark.parametrize("column", [False, True])
def test_two_classes_by_one_logit(name, seed, column):
    logits, target = yes_or_no(seed)
    said = (logits > 0).int()
    functions = {
        **SCORES,
        "accuracy": reference.accuracy_score,
        "roc_auc": reference.roc_auc_score,
        "average_precision": reference.average_precision_score,
    }
    wanted = functions[name](target, logits if name in ("roc_auc", "average_precision") else said)
    output = logits[:, None] if column else logits
    assert value(name, halves(output, target)) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SCORES)
def test_several_labels_a_sample(name, seed):
    logits, target = yes_or_no(seed, labels=4)
    wanted = SCORES[name](target, logits > 0, average="macro", zero_division=0)
    assert value(name, halves(logits, target)) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_roc_auc_and_average_precision_of_classes_that_all_occur(seed):
    logits, target = many_classes(seed)
    target[:5] = torch.arange(5)
    shares = logits.softmax(1)
    wanted = reference.roc_auc_score(target, shares, multi_class="ovr", average="macro")
    assert value("roc_auc", halves(logits, target)) == pytest.approx(wanted, abs=1e-5)
    wanted = reference.average_precision_score(functional.one_hot(target), shares, average="macro")
    assert value("average_precision", halves(logits, target)) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mean_of_average_precisions_leaves_out_classes_that_do_not_occur(seed):
    logits, target = many_classes(seed)
    occurring = [0, 2, 3, 4]
    one_hot, shares = functional.one_hot(target, 5)[:, occurring], logits.softmax(1)[:, occurring]
    with pytest.warns(UserWarning, match="one or more classes"):
        got = value("average_precision", halves(logits, target))
    assert got == pytest.approx(reference.average_precision_score(one_hot, shares, average="macro"), abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", [(24,), (24, 1), (24, 3)])
def test_errors_of_numbers(seed, shape):
    generator = torch.Generator().manual_seed(seed)
    output, target = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
    batches = halves(output, target)
    assert value("mae", batches) == pytest.approx(reference.mean_absolute_error(target, output), abs=1e-5)
    assert value("mse", batches) == pytest.approx(reference.mean_squared_error(target, output), abs=1e-5)
    assert value("rmse", batches) == pytest.approx(math.sqrt(reference.mean_squared_error(target, output)), abs=1e-5)
    assert value("r2", batches) == pytest.approx(reference.r2_score(target, output), abs=1e-4)


def test_a_column_and_a_row_of_numbers_are_not_spread_against_each_other():
    output, target = torch.arange(6.0)[:, None], torch.arange(6.0) + 1
    assert value("mae", [(output, target)]) == 1.0


def test_several_outputs_give_a_correlation_each():
    output = torch.randn(20, 2)
    assert value("pearson_corr_coef", halves(output, 3 * output - 1)) == pytest.approx([1, 1], abs=1e-5)


@pytest.mark.parametrize("place", ["last", "second", "single"])
def test_perplexity_is_the_exponential_of_the_mean_cross_entropy(place):
    generator = torch.Generator().manual_seed(0)
    logits, tokens = torch.randn(6, 5, 7, generator=generator), torch.randint(7, (6, 5), generator=generator)
    wanted = functional.cross_entropy(logits.flatten(0, 1), tokens.flatten()).exp().item()
    outputs = {"last": logits, "second": logits.movedim(-1, 1), "single": logits.flatten(0, 1)}
    target = tokens.flatten() if place == "single" else tokens
    assert value("perplexity", halves(outputs[place], target)) == pytest.approx(wanted, rel=1e-5)


def test_classes_may_stand_second_or_last():
    logits, target = many_classes(0)
    logits, target = logits.reshape(8, 5, 5)[:, :3], target.reshape(8, 5)[:, :3]
    wanted = reference.f1_score(target.flatten(), logits.argmax(-1).flatten(), average="macro")
    for output in (logits, logits.movedim(-1, 1)):
        assert value("f1", halves(output, target)) == pytest.approx(wanted, abs=1e-6)


def test_the_two_forms_of_two_classes_give_the_same():
    logits, target = yes_or_no(3)
    pair = torch.stack((torch.zeros(30), logits), 1)
    as_binary, as_pair = value("f1", [(logits, target)]), value("f1", [(pair, target.long())], task="binary")
    assert as_binary == as_pair
    macro = value("f1", [(logits, target)], task="multiclass", num_classes=2)
    assert macro == value("f1", [(pair, target.long())])
    assert macro == pytest.approx(reference.f1_score(target, logits > 0, average="macro"), abs=1e-6)


def test_labels_are_taken_where_the_table_says_how_many():
    logits, target = many_classes(0)
    labels = value("f1", [(logits.argmax(1), target)], task="multiclass", num_classes=5)
    assert labels == value("f1", [(logits, target)])


def test_half_precision_is_added_up_in_single():
    output, target = torch.full((3000,), 0.1, dtype=torch.bfloat16), torch.zeros(3000)
    assert value("mae", [(output, target)]) == pytest.approx(float(output[0]), rel=1e-4)


def test_no_batch_looks_like_probabilities_by_chance():
    """torchmetrics takes a batch of logits for probabilities when all of them happen to lie between 0 and 1."""
    inside, outside = torch.tensor([0.1, 0.4, 0.3]), torch.tensor([-2.0, 3.0])
    batches = [(outside, torch.tensor([0, 1])), (inside, torch.tensor([1, 1, 1]))]
    assert value("accuracy", batches) == 1.0


def test_probabilities_are_what_the_table_or_the_loss_says():
    shares, target = torch.tensor([0.1, 0.4, 0.9]), torch.tensor([0.0, 0.0, 1.0])
    assert value("accuracy", [(shares, target)], output="probabilities") == 1.0
    assert value("accuracy", [(shares, target)], criterion=functional.binary_cross_entropy) == 1.0
    assert value("accuracy", [(shares, target)], criterion=torch.nn.BCELoss()) == 1.0
    with warnings.catch_warnings():
        assert value("accuracy", [(shares, target)], output="logits") == pytest.approx(1 / 3)

"""Metrics in runs: by a file, by Python, on a device, and in several processes."""

import json
import subprocess
import sys

import pytest
import torch
import torchmetrics

from hookloop import ConfigError, SupervisedTask
from hookloop.testing import tiny_task
from hookloop_metrics.factory import MetricFactory
from hookloop_metrics.names import offered_names

TASK = """
import os
import torch
from hookloop import SupervisedTask

def build(shared=False):
    generator = torch.Generator().manual_seed(0)
    draw = lambda n: (torch.randn(n, 4, generator=generator), torch.randint(3, (n,), generator=generator))
    data = [draw(n) for n in (6, 6, 2, 5)]
    torch.manual_seed(1)
    val = data
    if shared:
        torch.distributed.init_process_group("gloo")
        # Shares of different size: three batches here, one there.
        val = data[:3] if os.environ["RANK"] == "0" else data[3:]
    return SupervisedTask(torch.nn.Linear(4, 3), train=data, val=val)

def right(output, target):
    return (output.argmax(1) == target).float().mean()

def offset(output, target, by):
    return by

class Count:
    def __init__(self, start=0):
        self.start = start
    def reset(self):
        self.batches = self.start
    def update(self, output, target):
        self.batches += 1
    def compute(self):
        return {"batches": self.batches}
"""

RUN = """
[run]
max_epochs = 1
device = "cpu"
threads = 1
[task]
use = "task.py:build"
[loss]
use = "cross_entropy"
[optimizer]
use = "sgd"
lr = 0.1
"""

METRICS = """
[metrics]
confusion_matrix = {}
accuracy = "task.py:right"
share = "accuracy"
[metrics.f1]
average = "macro"
[metrics.each]
use = "f1"
average = "none"
[metrics.kappa]
use = "torchmetrics:CohenKappa"
[metrics.jaccard_index]
[metrics.roc_auc]
"""

OWN = """
[metrics.offset]
use = "task.py:offset"
by = 3
[metrics.count]
use = "task.py:Count"
start = 10
"""


@pytest.fixture
def fit(tmp_path):
    """A function that runs a file's text and returns the exit code and what was printed, as JSON where it is."""

    def call(text, *words, before=()):
        (tmp_path / "task.py").write_text(TASK)
        (tmp_path / "run.toml").write_text(text)
        command = [sys.executable, "-m", *before, "hookloop", "fit", "run.toml", "--json", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, json.loads(done.stdout)["metrics"] if not done.returncode else done.stderr

    return call


def test_a_table_of_a_file_names_a_metric(fit):
    code, metrics = fit(RUN + METRICS + OWN)
    assert code == 0, metrics
    names = {name.removeprefix("val/") for name in metrics if name.startswith("val/")}
    matrix = {f"confusion_matrix/{true}/{said}" for true in range(3) for said in range(3)}
    several = {f"each/{label}" for label in range(3)}
    single = {"loss", "accuracy", "share", "offset", "f1", "kappa", "jaccard_index", "roc_auc", "count/batches"}
    assert names == matrix | several | single
    assert metrics["val/accuracy"] == pytest.approx(metrics["val/share"])
    assert (metrics["val/offset"], metrics["val/count/batches"]) == (3, 14)
    assert sum(metrics[f"val/{name}"] for name in matrix) == 19
    assert sum(metrics[f"val/{name}"] for name in several) / 3 == pytest.approx(metrics["val/f1"])


def test_two_processes_give_the_values_of_all_data(fit):
    _, alone = fit(RUN + METRICS)
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    code, together = fit(RUN + METRICS, "--set", "task.shared=true", "--run-dir", "shared", before=launcher)
    assert code == 0, together
    names = [name for name in alone if name.startswith("val/") and name != "val/loss"]
    assert len(names) == 18
    assert {name: together[name] for name in names} == pytest.approx({name: alone[name] for name in names}, rel=1e-5)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('[metrics.f1]\naverge = "macro"', "run.toml:14: metrics.f1.averge: unknown option. Did you mean 'average'?"),
        ('[metrics.f1]\naverage = "makro"', "metrics.f1: 'f1' refuses its options: Expected argument `average`"),
        ('[metrics.f1]\ntask = "multi"', "refuses its options: task = 'multi', and it exists for binary, multiclass"),
        ('[metrics.f1]\noutput = "logit"', "output = 'logit', expected 'logits' or 'probabilities'."),
        ('[metrics.f1]\ntask = "binary"\naverage = "macro"', "`average` cannot be given for task = 'binary'."),
        ("[metrics.f1]\nthreshold = 0.4\nnum_classes = 3", "`threshold`, `num_classes` cannot be given together"),
        ("[metrics.f1]\nnum_classes = 4", "4 classes or labels do not suit output (6, 3) of float32"),
        ("[metrics.f_beta_score]", "metrics.f_beta_score: needs the option 'beta'."),
        ("[metrics.f1_scor]", "there is no metric 'f1_scor'. Did you mean 'f1_score'?"),
        ('[metrics.x]\nuse = "torchmetrics:Accuracies"', "there is no 'Accuracies' in torchmetrics."),
        ('[metrics.x]\nuse = "torchmetrics:F1Score"\naverage = "makro"', "Expected argument `average`"),
    ],
)
def test_a_mistake_in_a_table_is_told(here, tmp_path, table, said):
    (tmp_path / "task.py").write_text(TASK)
    (tmp_path / "run.toml").write_text(RUN + table)
    code, text = here("fit", "run.toml")
    assert code == 2
    assert said in text


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """A function that runs the command line in this process and returns the exit code and what was said."""
    from hookloop.cli.main import run

    monkeypatch.chdir(tmp_path)
    return lambda *words: (run(list(words)), capsys.readouterr().err)


def test_an_error_of_the_first_batch_names_the_metric(tiny_run):
    with pytest.raises(ConfigError) as caught:
        tiny_run(["metrics"], metrics={"wrong": ("mae", {})}, epochs=1)
    assert "MeanAbsoluteError does not suit output (6, 3) of float32 with target (6,) of int64" in str(caught.value)
    assert caught.value.__notes__ == ["raised by the metric 'wrong'"]


def test_an_object_of_torchmetrics_is_taken_as_it_is(tiny_run):
    given = torchmetrics.F1Score(task="multiclass", num_classes=3, average="macro")
    metrics = tiny_run(["metrics"], metrics={"given": given, "f1": {}}, epochs=1).metrics
    assert metrics["val/given"] == metrics["val/f1"]


def test_each_evaluation_starts_anew(tiny_run):
    tiny_run(["metrics"], metrics={"confusion_matrix": {}}, epochs=3, commands=("fit", "test"))
    for result, prefix in ((tiny_run.results["fit"], "val"), (tiny_run.results["test"], "test")):
        assert sum(value for name, value in result.metrics.items() if name.startswith(f"{prefix}/conf")) == 12


def test_without_the_plugin_the_engines_accuracy_is_the_same(tiny_run):
    plain, offered = (tiny_run(plugins, metrics={"accuracy": {}}).metrics for plugins in ((), ("metrics",)))
    assert plain == pytest.approx(offered)


def test_the_loss_tells_that_the_model_gives_probabilities(tiny_run):
    model = torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.Sigmoid(), torch.nn.Flatten(0))
    batches = [(inputs, (classes > 0).float()) for inputs, classes in tiny_task().train_loader()]

    def right(output, target):
        return ((output > 0.5) == target).float().mean()

    result = tiny_run(
        ["metrics"],
        task=SupervisedTask(model, batches, batches),
        loss="bce",
        metrics={"accuracy": {}, "right": right},
        epochs=1,
    )
    assert result.metrics["val/accuracy"] == pytest.approx(result.metrics["val/right"])
    assert 0 < result.metrics["val/accuracy"] < 1


COUNTED = ["f1", "precision", "recall", "accuracy", "confusion_matrix", "cohen_kappa", "jaccard_index", "roc_auc"]
WAITING_FOR_LABELS = ["confusion_matrix", "jaccard_index", "matthews_corr_coef"]  # torchmetrics selects by a mask


@pytest.mark.parametrize("name", [*COUNTED, "average_precision", "specificity", "matthews_corr_coef"])
@pytest.mark.parametrize("form", ["binary", "multiclass", "multilabel"])
def test_no_batch_is_waited_for(name, form):
    """On the meta device there is nothing to read, so reading raises, just where another device would be waited for."""
    metric = MetricFactory(name, *offered_names()[name], None)()
    shape, wanted = {"binary": ((8,), (8,)), "multiclass": ((8, 3), (8,)), "multilabel": ((8, 3), (8, 3))}[form]
    if form not in metric.variants.classes or (form == "multilabel" and name in WAITING_FOR_LABELS):
        pytest.skip(f"there is no {form} {name}, or the page says that it waits")
    metric.to(torch.device("meta"))
    for _ in range(3):
        metric.update(torch.zeros(shape, device="meta"), torch.zeros(wanted, dtype=torch.long, device="meta"))


@pytest.mark.parametrize("name", ["mae", "rmse", "r2", "mean_absolute_percentage_error", "pearson_corr_coef"])
def test_no_batch_of_numbers_is_waited_for(name):
    metric = MetricFactory(name, *offered_names()[name], None)()
    metric.to(torch.device("meta"))
    for _ in range(3):
        metric.update(torch.zeros(8, device="meta"), torch.zeros(8, device="meta"))


def test_only_the_first_batch_is_checked():
    metric = MetricFactory("f1", *offered_names()["f1"], None)()
    metric.update(torch.randn(6, 3), torch.zeros(6, dtype=torch.long))
    assert metric.metric.validate_args is False
    kept = MetricFactory("f1", *offered_names()["f1"], None)(validate_args=True)
    kept.update(torch.randn(6, 3), torch.zeros(6, dtype=torch.long))
    assert kept.metric.validate_args is True


def test_counting_on_a_device_gives_what_bincount_gives():
    from hookloop_metrics.counting import CountingOnDevice

    numbers = torch.tensor([0, 2, 2, 4])
    with CountingOnDevice():
        counts = torch.bincount(numbers, minlength=6)
    assert counts.tolist() == torch.bincount(numbers, minlength=6).tolist()

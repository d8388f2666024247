"""Names, imports, and that the pages say what is there."""

import subprocess
import sys
from pathlib import Path

import pytest
import torchmetrics

from hookloop_metrics.factory import MetricFactory
from hookloop_metrics.names import SHORT_NAMES, class_names, offered_names, snake_case

ROOT = Path(__file__).parents[3]
FIRST = "import sys; from hookloop_metrics import Metrics; run = object();"


def test_neither_importing_nor_offering_imports_torch():
    code = f"{FIRST} Metrics().provide_metrics(run); assert not {{'torch', 'torchmetrics'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("AUROC", "auroc"),
        ("F1Score", "f1_score"),
        ("R2Score", "r2_score"),
        ("CohenKappa", "cohen_kappa"),
        ("BLEUScore", "bleu_score"),
        ("SQuAD", "squad"),
    ],
)
def test_a_class_is_offered_by_its_name_in_words(name, words):
    assert snake_case(name) == words
    assert offered_names()[words] == offered_names()[f"torchmetrics:{name}"] == (name, {})


def test_every_class_that_is_offered_exists_and_has_a_signature():
    names = list(class_names())
    assert len(names) > 50
    assert all(isinstance(getattr(torchmetrics, each), type) for each in names)
    for each in names:
        assert MetricFactory(each, each, {}, None).__signature__


def test_what_needs_more_than_a_pair_is_not_offered():
    assert not {"mean_metric", "metric_collection", "retrieval_map", "metric", "boot_strapper"} & offered_names().keys()


@pytest.mark.parametrize("page", ["plugins/hookloop-metrics/README.md", "docs/plugins/metrics.md"])
def test_the_pages_have_every_short_name(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in text for name in SHORT_NAMES)

"""Names of snapshots: templates, what is wrong with one, and what a directory cannot be called."""

import logging
import re
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookloop_checkpoint.naming import (
    COUNTERS,
    DEFAULT,
    LONGEST_BYTES,
    Namer,
    check_template,
    make_name,
    missing_keys,
    sanitised,
    unused_name,
)

VALUES = {"step": 120, "epoch": 3, "batch_index": 4, "samples": 960, "val/loss": 0.123456, "val-f1.macro": 0.5}


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (DEFAULT, "step-00000120"),
        ("epoch-{epoch}-{val/loss:.4f}", "epoch-3-0.1235"),
        ("{epoch}_{batch_index}_{samples}", "3_4_960"),
        ("{val-f1.macro:.2f}", "0.50"),
        ("{val/loss:.1e}", "1.2e-01"),
        ("{step:08}{{x}}", "00000120_x_"),
        ("best", "best"),
    ],
)
def test_a_template_is_filled_with_counters_and_metrics_whatever_their_names(template, name):
    assert make_name(check_template(template), VALUES) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a/b\\c d", "a_b_c_d"),
        ("../../etc", "_.._etc"),
        (".hidden", "hidden"),
        ("...", ""),
        ("nul\0byte\n", "nul_byte_"),
        ("модель-1", "модель-1"),
        ("x" * 999, "x" * LONGEST_BYTES),
    ],
)
def test_what_a_directory_cannot_be_called_is_replaced(text, name):
    assert sanitised(text) == name


def test_a_name_of_which_nothing_is_left_is_the_default():
    assert make_name("{val/word}", {**VALUES, "val/word": ""}) == "step-00000120"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("step-{step", "is no template"),
        ("step-}", "is no template"),
        ("{}", "'{}' names nothing"),
        ("{0}", "'{0}' names nothing"),
        ("{stepp}", "no counter 'stepp'. Did you mean 'step'?"),
        ("{epochs}", "Did you mean 'epoch'?"),
        ("{step:.2q}", "cannot be formatted"),
        ("{step:{epoch}}", "cannot be formatted"),
        ("{val/loss:d}", "cannot be formatted"),
        ("{step!r}", "'!r' has no meaning"),
        ("...", "leaves nothing of a name"),
        ("", "leaves nothing of a name"),
    ],
)
def test_a_template_that_cannot_work_is_refused_and_says_how_to_write_one(template, message):
    with pytest.raises(ValueError, match=re.escape("epoch-{epoch}-{val/loss:.4f}")) as caught:
        check_template(template)
    assert message in str(caught.value)


def test_no_attribute_of_a_value_can_be_reached_by_a_template():
    assert missing_keys("{step.__class__}", VALUES) == ["step.__class__"]


def test_a_taken_name_gets_the_step_and_then_a_number():
    taken = {"best", "best-step-00000007"}
    assert unused_name("new", 7, taken.__contains__) == "new"
    assert unused_name("best", 8, taken.__contains__) == "best-step-00000008"
    assert unused_name("best", 7, taken.__contains__) == "best-step-00000007-2"


def run_with(**metrics):
    return SimpleNamespace(**dict.fromkeys(COUNTERS, 5), metrics=metrics)


def test_a_metric_is_the_newest_known_and_that_of_these_weights_before_that(caplog):
    namer = Namer("{val/loss:.1f}", "best")
    run = run_with(**{"val/loss": 0.5})
    assert namer.name(run, {}, lambda *_: False) == "0.5"
    assert namer.name(run, {"val/loss": 0.7}, lambda *_: False) == "0.7"
    assert not caplog.records


def test_an_unknown_metric_falls_back_to_the_default_and_names_those_that_exist_once(caplog):
    caplog.set_level(logging.WARNING)
    namer = Namer("{val/los}", "best")
    run = run_with(**{"val/loss": 0.5, "train/loss": 1.0})
    assert [namer.name(run, {}, lambda *_: False) for _ in range(3)] == ["step-00000005"] * 3
    (record,) = caplog.records
    assert "best: there is no metric 'val/los' yet" in record.getMessage()
    assert "Did you mean 'val/loss'? Metrics so far: train/loss, val/loss" in record.getMessage()


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(), st.floats(), st.integers(0, 10**12))
def test_every_name_is_one_visible_directory_that_fits(text, value, step):
    values = {**VALUES, "step": step, "val/loss": value}
    name = make_name(text.replace("{", "{{").replace("}", "}}") + "{val/loss}", values)
    assert name
    assert "/" not in name
    assert "\0" not in name
    assert not name.startswith(".")
    assert len(name.encode()) <= LONGEST_BYTES

import dataclasses
from pathlib import Path

import pytest

from hookloop.interval import HOW_TO_WRITE, Interval
from hookloop.options import RunOptions, as_table, read_run_options


def problem(key, value):
    """Return what is said of one wrong option."""
    options, problems = read_run_options({key: value})
    assert list(problems) == [key]
    assert getattr(options, key, None) == getattr(RunOptions(), key, None)
    return problems[key]


def test_without_a_word_everything_has_its_default():
    options, problems = read_run_options({})
    assert options == RunOptions()
    assert not problems
    assert (options.max_epochs, options.max_steps, options.max_seconds) == (None, None, None)
    assert (options.device, options.precision, options.accumulate, options.seed) == ("auto", "fp32", 1, 0)
    assert (str(options.log_every), str(options.validate_every)) == ("50 steps", "1 epoch")


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("name", "digits", "digits"),
        ("seed", 7, 7),
        ("max_epochs", 3, 3),
        ("max_epochs", None, None),
        ("max_seconds", 90, 90.0),
        ("max_seconds", 0.5, 0.5),
        ("precision", "bf16-mixed", "bf16-mixed"),
        ("accumulate", 4, 4),
        ("clip_grad_norm", 1, 1.0),
        ("clip_grad_norm", None, None),
        ("log_every", "10 steps", Interval(10, "step")),
        ("log_every", Interval(2, "epoch"), Interval(2, "epoch")),
        ("validate_every", "never", None),
        ("validate_every", None, None),
        ("validate_every", "30 s", Interval(30, "second")),
        ("deterministic", True, True),
        ("runs_dir", Path("elsewhere"), "elsewhere"),
        ("run_dir", Path("runs") / "x", "runs/x"),
    ],
)
def test_an_option_is_read_as_its_type(key, value, wanted):
    options, problems = read_run_options({key: value})
    assert not problems
    assert getattr(options, key) == wanted
    assert type(getattr(options, key)) is type(wanted)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("max_epoch", 3, "unknown option. Did you mean 'max_epochs'?"),
        ("zzz", 3, "unknown option."),
        ("max_epochs", "3", "got '3' (a string), expected a whole number"),
        ("max_epochs", 3.0, "got 3.0 (a number), expected a whole number"),
        ("accumulate", True, "got True (true or false), expected a whole number"),
        ("accumulate", None, "got None (a NoneType), expected a whole number"),
        ("max_seconds", [1], "got [1] (a list), expected a number"),
        ("deterministic", 1, "got 1 (a whole number), expected true or false"),
        ("name", 3, "got 3 (a whole number), expected a string"),
        ("max_steps", 0, "got 0, expected more than 0"),
        ("max_seconds", float("nan"), "got nan, expected more than 0"),
        ("clip_grad_norm", -1.0, "got -1.0, expected more than 0"),
        ("clip_grad_value", 0, "got 0.0, expected more than 0"),
        ("threads", 0, "got 0, expected more than 0"),
        ("seed", -1, "got -1, expected 0 or more, below 2**63"),
        ("seed", 2**63, f"got {2**63}, expected 0 or more, below 2**63"),
        (
            "precision",
            "fp16_mixed",
            "got 'fp16_mixed', expected one of 'fp32', 'bf16-mixed', 'fp16-mixed'. Did you mean 'fp16-mixed'?",
        ),
        ("log_every", 10, f"got 10 (a whole number). {HOW_TO_WRITE}"),
        ("log_every", None, f"got None (a NoneType). {HOW_TO_WRITE}"),
        ("log_every", "never", f"'never' is not an interval. {HOW_TO_WRITE}"),
        ("log_every", "10", f"'10' has no unit. {HOW_TO_WRITE}"),
        ("validate_every", "1 epoc", f"'1 epoc': unknown unit 'epoc'. Did you mean 'epochs'? {HOW_TO_WRITE}"),
    ],
)
def test_a_wrong_option_says_what_was_expected(key, value, said):
    assert problem(key, value) == said


def test_all_wrong_options_are_told_at_once_and_the_right_ones_are_kept():
    options, problems = read_run_options({"max_epoch": 3, "seed": 7, "threads": -1, "log_every": "soon"})
    assert list(problems) == ["max_epoch", "threads", "log_every"]
    assert (options.seed, options.threads, str(options.log_every)) == (7, None, "50 steps")


def test_options_written_as_a_table_read_back_equal():
    options, _ = read_run_options({"max_steps": 9, "log_every": "1 epoch", "validate_every": "never", "run_dir": "x"})
    table = as_table(options)
    assert (table["log_every"], table["validate_every"]) == ("1 epoch", "never")
    assert not {"max_epochs", "max_seconds", "threads"} & set(table)
    assert read_run_options(table) == (options, {})


def test_every_option_is_told_of_in_the_docstring():
    assert all(field.name in (RunOptions.__doc__ or "") for field in dataclasses.fields(RunOptions))

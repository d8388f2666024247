"""Rows of numbers as JSON."""

import json
import math

import pytest

from hookloop.loggers import RowEncoder

ROWS = [
    {},
    {"train/loss": 0.1, "step": 3},
    {"train/loss": 1 / 3, "step": 4},
    {"step": 5, "train/loss": 5e-324},
    {'100 %d %% "quoted"\\\n é': -0.0, "large": 1.7976931348623157e308, "whole": 2.0},
    {'100 %d %% "quoted"\\\n é': 1e22, "large": 1e308, "whole": 1e308},
    {"train/loss": True},
    {},
]


def test_a_row_is_written_as_json_writes_it_whatever_the_rows_before():
    encoder = RowEncoder()
    for row in [*ROWS, *reversed(ROWS)]:
        assert encoder.encode(row) == json.dumps(row)


def test_what_json_has_no_word_for_is_a_text_that_float_reads():
    row = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 0.5}
    back = json.loads(RowEncoder().encode(row), parse_constant=pytest.fail)
    assert back == {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 0.5}
    assert repr([float(value) for value in back.values()]) == repr(list(row.values()))

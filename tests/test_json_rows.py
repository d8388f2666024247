"""Rows of numbers as JSON."""

import json
import math
import sys
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookloop.loggers import encode_row

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.booleans()


@given(st.dictionaries(st.text(), NUMBERS))
def test_a_row_is_one_line_from_which_json_reads_the_same_numbers(row):
    line = encode_row(row)
    assert b"\n" not in line
    assert repr(json.loads(line)) == repr(row)


def test_the_least_and_the_largest_numbers_are_the_same_when_read():
    row = {"least": 5e-324, "largest": sys.float_info.max, "zero": -0.0, "whole": 2.0, "huge": 2**70}
    assert repr(json.loads(encode_row(MappingProxyType(row)))) == repr(row)


def test_what_json_has_no_word_for_is_a_text_that_float_reads():
    row = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 0.5}
    back = json.loads(encode_row(row), parse_constant=pytest.fail)
    assert back == {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 0.5}
    assert repr([float(value) for value in back.values()]) == repr(list(row.values()))


def test_anything_else_is_a_text():
    assert json.loads(encode_row({"a": 1j})) == {"a": "1j"}


def test_a_name_that_utf_8_has_no_bytes_for_is_kept_all_the_same():
    row = {"\ud800": math.nan, "é": 0.5}
    assert json.loads(encode_row(row)) == {"\ud800": "NaN", "é": 0.5}

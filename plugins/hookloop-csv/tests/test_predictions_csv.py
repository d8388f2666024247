"""The plugin predictions in an engine, and the rows that it makes."""

import csv
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from hookloop import ConfigError, Engine, PluginError, SupervisedTask, hookimpl
from hookloop_csv import PredictionsCsv
from hookloop_csv.rows import RowError, output_rows, to_cpu, user_rows

ROWS = """
def named(batch, output):
    for i, row in zip(batch[1].tolist(), output):
        yield {"id": i, "class": row.argmax(), "confident": bool(row.max() > 0)}

def listed(batch, output):
    return [(int(i), row.max().item()) for i, row in zip(batch[1], output)]

def single(batch, output):
    return output.argmax(-1)

def shifting(batch, output):
    return [{"id": i} if i < 4 else {"id": i, "late": 1} for i in batch[1].tolist()]

def nothing(batch, output):
    return []

def wrong(batch, output):
    return 3

NUMBER = 7
"""


class Model(torch.nn.Module):
    """Doubles its input, so that the right answer is known."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return x * self.scale


def batches():
    x = torch.arange(15.0).reshape(5, 3)
    index = torch.arange(5)
    return [(x[:2], index[:2]), (x[2:4], index[2:4]), (x[4:], index[4:])]


def predict(tmp_path, *plugins, data=None, **options):
    task = SupervisedTask(Model(), predict=batches() if data is None else data)
    plugin = ("predictions", options)
    engine = Engine(task, plugins=[plugin, *plugins], run_dir=tmp_path / "run", overwrite=True, device="cpu")
    return engine.predict()


def rows(tmp_path, name="predictions.csv", **options):
    with (tmp_path / "run" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, **options))


@pytest.fixture
def functions(tmp_path):
    path = tmp_path / "my rows.py"
    path.write_text(ROWS)
    return f"{path}:"


def test_without_a_function_a_row_is_the_sample_and_the_output(tmp_path):
    predict(tmp_path)
    table = rows(tmp_path)
    assert list(table[0]) == ["sample", "output_0", "output_1", "output_2"]
    assert [row["sample"] for row in table] == ["0", "1", "2", "3", "4"]
    assert [float(row["output_2"]) for row in table] == [4.0, 10.0, 16.0, 22.0, 28.0]


def test_one_number_a_sample_is_one_column(tmp_path):
    predict(tmp_path, data=[(torch.tensor([0.5, 1.5]), None)])
    assert rows(tmp_path) == [{"sample": "0", "output": "1.0"}, {"sample": "1", "output": "3.0"}]


def test_a_function_in_a_file_gives_named_rows(tmp_path, functions):
    predict(tmp_path, rows=functions + "named")
    assert rows(tmp_path)[0] == {"id": "0", "class": "2", "confident": "True"}
    assert [row["id"] for row in rows(tmp_path)] == ["0", "1", "2", "3", "4"]


def test_a_relative_file_starts_from_the_current_directory(tmp_path, functions, monkeypatch):
    monkeypatch.chdir(tmp_path)
    predict(tmp_path, rows="my rows.py:single")
    assert rows(tmp_path) == [{"value": "2"}] * 5


def test_a_function_of_a_module_can_be_named(tmp_path):
    predict(tmp_path, rows="builtins:zip", data=[torch.tensor([1.0, 2.0])])
    assert rows(tmp_path) == [{"value_0": "1.0", "value_1": "2.0"}, {"value_0": "2.0", "value_1": "4.0"}]


def test_a_sequence_takes_its_names_from_the_header(tmp_path, functions):
    predict(tmp_path, rows=functions + "listed", header=["id", "highest"])
    assert rows(tmp_path)[1] == {"id": "1", "highest": "10.0"}


def test_a_sequence_without_a_header_is_numbered(tmp_path, functions):
    predict(tmp_path, rows=functions + "listed")
    assert list(rows(tmp_path)[0]) == ["value_0", "value_1"]


def test_single_values_are_one_column(tmp_path, functions):
    predict(tmp_path, rows=functions + "single")
    assert rows(tmp_path) == [{"value": "2"}] * 5


def test_a_name_that_appears_later_gets_a_column_of_its_own(tmp_path, functions):
    predict(tmp_path, rows=functions + "shifting")
    assert [row["late"] for row in rows(tmp_path)] == ["NA"] * 4 + ["1"]


def test_a_header_without_rows_is_still_written(tmp_path, functions):
    predict(tmp_path, rows=functions + "nothing", header=["id"])
    assert (tmp_path / "run" / "predictions.csv").read_text() == "id\n"


def test_separator_missing_and_file_are_options(tmp_path, functions):
    predict(tmp_path, rows=functions + "shifting", separator="\t", missing="-", file="out/p.tsv")
    assert [row["late"] for row in rows(tmp_path, "out/p.tsv", delimiter="\t")] == ["-"] * 4 + ["1"]


def test_each_prediction_begins_the_file_anew_with_one_header(tmp_path):
    plugin = PredictionsCsv(PredictionsCsv.Config())
    for _ in range(2):
        engine = Engine(
            SupervisedTask(Model(), predict=batches()), plugins=[plugin], run_dir=tmp_path / "run", overwrite=True
        )
        engine.predict()
        engine.predict()
        assert [row["sample"] for row in rows(tmp_path)] == ["0", "1", "2", "3", "4"]


def test_a_failed_prediction_keeps_what_it_has_and_closes_the_file(tmp_path):
    class Fail:
        @hookimpl
        def on_predict_batch_start(self, run, batch):
            if batch[1][0] == 4:
                raise ValueError

    with pytest.raises(PluginError):
        predict(tmp_path, Fail())
    assert [row["sample"] for row in rows(tmp_path)] == ["0", "1", "2", "3"]


def test_a_fit_leaves_no_file(tmp_path):
    task = SupervisedTask(torch.nn.Linear(3, 3), batches()[:1])
    Engine(
        task,
        loss=lambda output, target: output.sum(),
        optimizer="sgd",
        plugins=["predictions"],
        max_epochs=1,
        run_dir=tmp_path / "run",
    ).fit()
    assert not (tmp_path / "run" / "predictions.csv").exists()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("wrong", "returned int, not rows"),
        ("missing", "there is no 'missing' in"),
        ("NUMBER", "is of type int; a function is wanted"),
    ],
)
def test_a_function_that_does_not_fit_is_an_error_that_names_it(tmp_path, functions, function, message):
    with pytest.raises(PluginError, match=message):
        predict(tmp_path, rows=functions + function)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("no_such.py:rows", "there is no file 'no_such.py'"),
        ("no_such_module:rows", "there is no module 'no_such_module'"),
    ],
)
def test_a_function_that_is_not_there_fails_before_anything_is_built(tmp_path, location, message):
    class Built:
        @hookimpl
        def on_ready(self):
            raise AssertionError

    with pytest.raises(PluginError, match=message):
        predict(tmp_path, Built(), rows=location)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": "rows.py"}, "must be path/to/file.py:function"),
        ({"rows": "rows.py:a b"}, "must be path/to/file.py:function"),
        ({"header": []}, "header"),
        ({"file": "/x.csv"}, "inside of the run directory"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        predict(tmp_path, **options)


# Rows by themselves.


def test_samples_are_numbered_on_from_batch_to_batch():
    assert [row["sample"] for row in output_rows(torch.zeros(3, 2), 10)] == [10, 11, 12]


def test_more_dimensions_are_laid_out_flat():
    first = output_rows(torch.arange(8.0).reshape(1, 2, 2, 2), 0)[0]
    assert [first[f"output_{i}"] for i in range(8)] == list(range(8))


def test_whole_numbers_stay_whole():
    assert output_rows(torch.tensor([3, 4]), 0)[1] == {"sample": 1, "output": 4}


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"logits": torch.zeros(2)}, "is of type dict, not a tensor with a row for each sample"),
        (torch.tensor(1.0), "one number for the whole batch"),
        (torch.zeros(2, 3, 64, 64), "12288 values a sample"),
    ],
)
def test_what_has_no_row_for_each_sample_asks_for_a_function(output, message):
    with pytest.raises(RowError, match=f'{message}.*rows = "file.py:function"'):
        output_rows(output, 0)


def test_a_row_that_does_not_fit_the_header_is_an_error():
    with pytest.raises(RowError, match="f gave a row of 2 values for a header of 3: a, b, c"):
        user_rows([(1, 2)], ("a", "b", "c"), "f")
    with pytest.raises(RowError, match="f gave z, which the header lacks: a"):
        user_rows([{"a": 1, "z": 2}], ("a",), "f")
    with pytest.raises(RowError, match="f returned dict, not rows"):
        user_rows({"a": 1}, None, "f")


def test_tensors_in_any_structure_are_moved_and_lose_their_graph():
    Pair = namedtuple("Pair", "left right")

    @dataclass
    class Output:
        logits: Any
        note: str

    given = torch.ones(2, requires_grad=True) * 2
    moved = to_cpu({"a": [given, (given, "text")], "b": Pair(given, 1), "c": Output(given, "x")})
    found = [moved["a"][0], moved["a"][1][0], moved["b"].left, moved["c"].logits]
    assert not any(tensor.requires_grad for tensor in found)
    assert moved["b"].right == 1
    assert moved["c"].note == "x"
    assert moved["a"][1][1] == "text"

"""The plugin csv in an engine: which rows there are, and what a resumed run makes of them."""

import csv
import json
import math
import time
from pathlib import Path

import pytest
import torch

from hookloop import ConfigError, Engine, PluginError, SupervisedTask, hookimpl


class Log:
    """Logs a number that tells the step."""

    role = "observer"

    @hookimpl
    def on_step_end(self, run):
        run.log("train/mark", run.step / 4)


class Late:
    """Logs a metric that appears only after step 3."""

    role = "observer"

    @hookimpl
    def on_step_end(self, run):
        if run.step > 3:
            run.log("a/late", run.step)


def engine(tmp_path, *plugins, options=None, batches=4, val=None, directory="run", **run):
    generator = torch.Generator().manual_seed(0)
    batch = (torch.randn(8, 4, generator=generator), torch.randn(8, 1, generator=generator))
    torch.manual_seed(0)
    task = SupervisedTask(torch.nn.Linear(4, 1), [batch] * batches, val=val and [batch] * val, test=[batch])
    defaults = {"max_epochs": 2, "log_every": "2 steps", "overwrite": True, "device": "cpu"}
    return Engine(
        task,
        loss="mse",
        optimizer=("sgd", {"lr": 0.01}),
        plugins=[("csv", options or {}), Log(), *plugins],
        run_dir=tmp_path / directory,
        **{**defaults, **run},
    )


def rows(tmp_path, name="metrics.csv", directory="run", **options):
    with (tmp_path / directory / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, **options))


def column(tmp_path, wanted, **options):
    return [row[wanted] for row in rows(tmp_path, **options)]


def test_there_is_a_row_for_each_logging_boundary_in_the_run_directory(tmp_path):
    engine(tmp_path).fit()
    assert list(rows(tmp_path)[0]) == ["step", "epoch", "seconds", "train/loss", "train/mark"]
    assert column(tmp_path, "step") == ["2", "4", "6", "8"]
    assert column(tmp_path, "train/mark") == ["0.375", "0.875", "1.375", "1.875"]


def test_a_step_has_one_row_and_validation_joins_that_of_the_last_step(tmp_path):
    engine(tmp_path, val=1).fit()
    assert column(tmp_path, "step") == ["2", "4", "6", "8"]
    assert column(tmp_path, "epoch") == ["0", "1", "1", "2"]
    assert [value == "NA" for value in column(tmp_path, "val/loss")] == [True, False, True, False]
    assert "NA" not in column(tmp_path, "train/loss")


def test_the_row_of_an_epochs_last_step_counts_the_epoch_without_a_validation_too(tmp_path):
    engine(tmp_path).fit()
    assert column(tmp_path, "epoch") == ["0", "1", "1", "2"]


def test_validation_in_mid_epoch_has_no_row_of_its_own(tmp_path):
    engine(tmp_path, val=1, validate_every="1 step", log_every="1 step").fit()
    assert column(tmp_path, "step") == [str(step) for step in range(1, 9)]
    assert "NA" not in column(tmp_path, "val/loss")


def test_values_are_those_of_the_engines_own_log(tmp_path):
    result = engine(tmp_path, val=1, log_every="1 step").fit()
    own: dict[int, dict[str, float]] = {}
    for row in map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()):
        own.setdefault(row["step"], {}).update(row)
    for row in rows(tmp_path):
        for name in ("train/loss", "train/mark", "val/loss"):
            assert row[name] == "NA" or float(row[name]) == own[int(row["step"])][name]
    assert float(rows(tmp_path)[-1]["val/loss"]) == result.metrics["val/loss"]


def test_a_metric_that_appears_later_gets_a_column_of_its_own(tmp_path):
    engine(tmp_path, Late()).fit()
    assert list(rows(tmp_path)[0])[-1] == "a/late"
    assert column(tmp_path, "a/late") == ["NA", "4.0", "5.5", "7.5"]
    assert column(tmp_path, "train/mark") == ["0.375", "0.875", "1.375", "1.875"]


@pytest.mark.parametrize(
    ("every", "steps"),
    [
        ("1 epoch", ["5", "10", "15"]),
        ("4 steps", ["4", "8", "12"]),
        ("1 step", [str(step) for step in range(1, 16)]),
        ("40 samples", ["5", "10", "15"]),
    ],
)
def test_rows_can_be_asked_for_less_often(tmp_path, every, steps):
    engine(tmp_path, options={"every": every}, batches=5, max_epochs=3, log_every="1 step").fit()
    assert column(tmp_path, "step") == steps


def test_a_row_between_two_logging_boundaries_waits_for_values(tmp_path):
    engine(tmp_path, options={"every": "3 steps"}, batches=20, max_epochs=1, log_every="5 steps").fit()
    assert column(tmp_path, "step") == ["5", "10", "15", "20"]


def test_a_row_of_an_epoch_has_the_newest_value_of_each_metric(tmp_path):
    engine(tmp_path, options={"every": "1 epoch"}, val=1, log_every="1 step").fit()
    assert column(tmp_path, "train/mark") == ["1.0", "2.0"]
    assert "NA" not in column(tmp_path, "val/loss")


@pytest.mark.parametrize("options", [{}, {"every": "1 step"}])
def test_what_is_logged_when_a_run_stops_between_two_boundaries_is_in_the_last_row(tmp_path, options):
    class Stop:
        role = "actor"

        @hookimpl
        def on_step_end(self, run):
            if run.step == 3:
                run.request_stop("enough")

    result = engine(tmp_path, Stop(), options=options).fit()
    assert [row["step"] for row in result.history] == [2, 3]
    assert column(tmp_path, "step") == ["2", "3"]
    assert float(column(tmp_path, "train/loss")[1]) == result.metrics["train/loss"]


def test_separator_missing_and_file_are_options(tmp_path):
    engine(tmp_path, Late(), options={"separator": ";", "missing": "", "file": "tables/all.csv"}).fit()
    first = rows(tmp_path, "tables/all.csv", delimiter=";")[0]
    assert first["a/late"] == ""
    assert not (tmp_path / "run" / "metrics.csv").exists()


def test_rows_that_come_fast_are_on_disk_soon_however_long_the_next_step_takes(tmp_path):
    class Hang:
        role = "observer"

        @hookimpl
        def on_step_start(self, run):
            deadline = time.monotonic() + 10
            while run.step == 3 and len(rows(tmp_path)) < 3:
                assert time.monotonic() < deadline, rows(tmp_path)
                time.sleep(0.01)

    engine(tmp_path, Hang(), log_every="1 step", max_epochs=1).fit()
    assert len(rows(tmp_path)) == 4


def test_a_row_that_comes_alone_is_on_disk_when_the_boundary_is_over(tmp_path):
    seen = []

    class Slow:
        role = "observer"

        @hookimpl
        def on_step_start(self, run):
            if run.step:
                seen.append(len(rows(tmp_path)))
            time.sleep(0.15)

    engine(tmp_path, Slow(), log_every="1 step", max_epochs=1).fit()
    assert seen == [1, 2, 3]


def test_nan_and_infinity_are_written_as_such(tmp_path):
    class Odd:
        @hookimpl
        def on_step_end(self, run):
            run.log("nan", math.nan)
            run.log("inf", -math.inf)

    engine(tmp_path, Odd(), max_epochs=1).fit()
    assert rows(tmp_path)[0]["nan"] == "nan"
    assert rows(tmp_path)[0]["inf"] == "-inf"


def test_a_metric_with_the_name_of_a_counter_does_not_replace_it(tmp_path):
    class Epoch:
        @hookimpl
        def on_step_end(self, run):
            run.log("epoch", 99)

    engine(tmp_path, Epoch(), max_epochs=1).fit()
    assert column(tmp_path, "epoch") == ["0", "1"]
    assert column(tmp_path, "logged/epoch") == ["99.0", "99.0"]


def test_a_failed_run_keeps_its_rows_and_closes_the_file(tmp_path):
    class Fail:
        @hookimpl
        def on_step_start(self, run):
            if run.step == 5:
                raise ValueError

    with pytest.raises(PluginError):
        engine(tmp_path, Fail()).fit()
    assert column(tmp_path, "step") == ["2", "4"]


def test_another_rank_writes_nothing(tmp_path):
    class SecondRank:
        before = ("csv",)

        @hookimpl
        def on_run_start(self, run):
            run.rank = 1

        @hookimpl
        def on_ready(self, run):
            run.plugins.unregister("second-rank")

    first = engine(tmp_path, SecondRank(), batches=1, max_epochs=1)
    first.fit()
    assert not (tmp_path / "run" / "metrics.csv").exists()


# Resuming.


def without_seconds(table):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in table]


class SaveAfterFirstEpoch:
    """Takes the state where a checkpoint would: in `persist`, before the row of the step is written."""

    role = "observer"
    state = None

    @hookimpl
    def persist(self, run):
        if run.epoch == 1 and self.state is None:
            run.flush_rows()
            model = {name: each.clone() for name, each in run.model.state_dict().items()}
            plugins = json.loads(json.dumps(run.plugins.state_dict()))
            self.state = {"counters": run.counters(), "model": model, "plugins": plugins}


@pytest.mark.parametrize("options", [{}, {"every": "3 steps"}, {"every": "1 epoch"}, {"every": "40 samples"}])
@pytest.mark.parametrize("log_every", ["1 step", "2 steps", "3 steps"])
def test_a_killed_and_resumed_run_has_the_table_of_one_that_never_stopped(tmp_path, options, log_every):
    run = {"options": options, "val": 1, "log_every": log_every, "max_epochs": 3}
    engine(tmp_path, directory="whole", **run).fit()
    save = SaveAfterFirstEpoch()
    killed = engine(tmp_path, save, **{**run, "max_epochs": 2}).fit()
    engine(tmp_path, **{**run, "overwrite": False}).fit(resume={**killed.state, **save.state})
    assert without_seconds(rows(tmp_path)) == without_seconds(rows(tmp_path, directory="whole"))


def test_rows_newer_than_the_resumed_step_are_dropped(tmp_path):
    first = engine(tmp_path, max_epochs=1).fit()
    path = tmp_path / "run" / "metrics.csv"
    with path.open("a") as file:
        file.write("6,1,9.0,0.5,0.5\n8,2,9.0,0.5,0.5\n")
    engine(tmp_path, overwrite=False).fit(resume=first.state)
    assert column(tmp_path, "step") == ["2", "4", "6", "8"]
    assert column(tmp_path, "train/mark") == ["0.375", "0.875", "1.375", "1.875"]


def test_a_resumed_run_keeps_the_rows_before_it(tmp_path):
    first = engine(tmp_path, max_epochs=1).fit()
    before = (tmp_path / "run" / "metrics.csv").read_text()
    engine(tmp_path, overwrite=False).fit(resume=first.state)
    assert (tmp_path / "run" / "metrics.csv").read_text().startswith(before)


def test_a_resumed_run_with_another_metric_is_not_misaligned(tmp_path):
    first = engine(tmp_path, max_epochs=1).fit()
    engine(tmp_path, Late(), val=1, overwrite=False).fit(resume=first.state)
    table = rows(tmp_path)
    assert list(table[0]) == ["step", "epoch", "seconds", "train/loss", "train/mark", "a/late", "val/loss"]
    assert [row["a/late"] for row in table] == ["NA", "NA", "5.5", "7.5"]
    assert [row["train/mark"] for row in table] == ["0.375", "0.875", "1.375", "1.875"]


def test_a_plugin_that_joins_a_resumed_run_goes_on_with_the_file(tmp_path):
    first = engine(tmp_path, max_epochs=1).fit()
    state = {**first.state, "plugins": {}}
    engine(tmp_path, overwrite=False, options={"every": "1 epoch"}).fit(resume=state)
    assert column(tmp_path, "step") == ["2", "4", "8"]


def test_a_run_from_the_start_begins_the_file_anew(tmp_path):
    engine(tmp_path, Late()).fit()
    engine(tmp_path, max_epochs=1).fit()
    assert column(tmp_path, "step") == ["2", "4"]
    assert "a/late" not in rows(tmp_path)[0]


def test_a_test_after_a_fit_joins_the_row_of_the_last_step(tmp_path):
    trained = engine(tmp_path, options={"every": "1 epoch"})
    trained.fit()
    result = trained.test()
    assert column(tmp_path, "step") == ["4", "8"]
    assert [row["test/loss"] for row in rows(tmp_path)] == ["NA", repr(result.metrics["test/loss"])]


def test_a_test_in_the_directory_of_a_run_drops_no_row(tmp_path):
    engine(tmp_path).fit()
    engine(tmp_path, overwrite=False).test()
    assert column(tmp_path, "step") == ["2", "4", "6", "8", "0"]


def test_a_file_that_is_something_else_is_not_touched(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.csv").write_text("name,price\ntea,3\n")
    with pytest.raises(PluginError, match=r"a row has no 'step'\. Move the file away"):
        engine(tmp_path).fit()
    assert (tmp_path / "run" / "metrics.csv").read_text() == "name,price\ntea,3\n"


def test_two_instances_need_two_files(tmp_path):
    with pytest.raises(PluginError, match=r"two plugins write metrics.csv: give \[plugins\.\w+\] a 'file'"):
        engine(tmp_path, ("epochs", {"use": "csv", "every": "1 epoch"})).fit()
    engine(tmp_path, ("epochs", {"use": "csv", "every": "1 epoch", "file": "epochs.csv"})).fit()
    assert column(tmp_path, "step", name="epochs.csv") == ["4", "8"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"file": "/tmp/metrics.csv"}, "inside of the run directory"),
        ({"file": "../metrics.csv"}, "inside of the run directory"),
        ({"file": ""}, "inside of the run directory"),
        ({"separator": ", "}, "one character"),
        ({"separator": '"'}, "quotation mark"),
        ({"every": "5 stepps"}, "unknown unit"),
        ({"seperator": ";"}, "separator"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        engine(tmp_path, options=options).fit()
    assert not Path(tmp_path / "run").exists()


def test_an_instance_can_be_used_again(tmp_path):
    from hookloop_csv import MetricsCsv

    plugin = MetricsCsv(MetricsCsv.Config())
    for name in ("a", "b"):
        first = engine(tmp_path, directory=name, max_epochs=1)
        first.plugins = [plugin, Log()]
        first.fit()
        assert column(tmp_path, "step", directory=name) == ["2", "4"]

"""The layout of Keras's CSVLogger: compared with Keras's own, and without what goes wrong there."""

import contextlib
import csv
import importlib.util
import json
import math
import os
import signal
import subprocess
import sys

import pytest
import torch

from hookloop import ConfigError, Engine, PluginError, SupervisedTask, hookimpl, snapshots
from hookloop_csv.epochs import Mean, Names

needs_keras = pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="needs keras")

KERAS = """
import sys, json
import keras, numpy as np
from keras.callbacks import CSVLogger

data, path, validates = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3] == "True"
x, y, vx, vy, weight, bias = (np.array(data[name], "float32") for name in ("x", "y", "vx", "vy", "weight", "bias"))
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse", metrics=["mae"])
model.layers[0].set_weights([weight.T, bias])
held_out = {"validation_data": (vx, vy), "validation_batch_size": 6} if validates else {}
model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0, callbacks=[CSVLogger(path)], **held_out)
"""


class AbsoluteError:
    """Logs what Keras would as ``mae``."""

    role = "observer"

    @hookimpl
    def on_batch_end(self, run):
        run.log("train/mae", (run.output - run.batch[1]).abs().mean(), weight=len(run.batch[1]))


def data():
    generator = torch.Generator().manual_seed(0)
    shapes = {"x": (36, 4), "y": (36, 1), "vx": (6, 4), "vy": (6, 1), "weight": (1, 4), "bias": (1,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def engine(tmp_path, *plugins, options=None, validates=True, directory="run", **run):
    given = data()
    model = torch.nn.Linear(4, 1)
    model.load_state_dict({"weight": given["weight"], "bias": given["bias"]})
    train = list(zip(given["x"].split(8), given["y"].split(8), strict=True))  # the last batch is a half
    task = SupervisedTask(model, train, val=[(given["vx"], given["vy"])] if validates else None, test=train[:1])
    defaults = {"max_epochs": 3, "log_every": "2 steps", "overwrite": True, "device": "cpu"}
    return Engine(
        task,
        loss="mse",
        optimizer=("sgd", {"lr": 0.05}),
        metrics={"mae": lambda output, target: (output - target).abs().mean()} if validates else {},
        plugins=[("csv", {"layout": "keras", **(options or {})}), AbsoluteError(), *plugins],
        run_dir=tmp_path / directory,
        **{**defaults, **run},
    )


def table(tmp_path, directory="run", name="metrics.csv"):
    with (tmp_path / directory / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@needs_keras
@pytest.mark.parametrize("validates", [True, False])
def test_header_and_rows_are_those_of_kerass_own_logger(tmp_path, validates):
    engine(tmp_path, validates=validates).fit()
    given, theirs = tmp_path / "data.json", tmp_path / "keras.csv"
    given.write_text(json.dumps({name: tensor.tolist() for name, tensor in data().items()}))
    subprocess.run(
        [sys.executable, "-c", KERAS, str(given), str(theirs), str(validates)],
        env=os.environ | {"KERAS_BACKEND": "torch"},
        check=True,
        timeout=120,
    )
    with theirs.open(newline="") as file:
        wanted = list(csv.DictReader(file))
    got = table(tmp_path)
    assert list(got[0]) == list(wanted[0])
    assert [row["epoch"] for row in got] == [row["epoch"] for row in wanted] == ["0", "1", "2"]
    for mine, keras in zip(got, wanted, strict=True):
        for column in list(mine)[1:]:
            assert mine[column] == keras[column] == "NA" or float(mine[column]) == pytest.approx(
                float(keras[column]), rel=1e-4
            ), column


def test_there_is_a_row_an_epoch_from_0_with_sorted_columns(tmp_path):
    engine(tmp_path).fit()
    rows = table(tmp_path)
    assert list(rows[0]) == ["epoch", "loss", "mae", "val_loss", "val_mae"]
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert "NA" not in {value for row in rows for value in row.values()}


def test_the_loss_is_the_mean_of_the_epoch_however_often_it_is_logged(tmp_path):
    for directory, log_every in (("a", "1 step"), ("b", "3 steps"), ("c", "1 epoch")):
        engine(tmp_path, directory=directory, log_every=log_every).fit()
    for rows in zip(*(table(tmp_path, directory) for directory in "abc"), strict=True):
        losses = [float(row["loss"]) for row in rows]
        assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)


def test_epochs_without_a_validation_have_none(tmp_path):
    engine(tmp_path, validate_every="2 epochs").fit()
    rows = table(tmp_path)
    assert list(rows[0]) == ["epoch", "loss", "mae", "val_loss", "val_mae"]
    assert [row["val_loss"] == "NA" for row in rows] == [True, False, True]


class Late:
    """Logs a metric that appears only in the second epoch; Keras drops such a one."""

    role = "observer"

    @hookimpl
    def on_epoch_end(self, run):
        if run.epoch > 1:
            run.log("a/late", run.epoch)


def test_a_metric_that_appears_later_gets_a_column_of_its_own(tmp_path):
    engine(tmp_path, Late()).fit()
    rows = table(tmp_path)
    assert list(rows[0]) == ["epoch", "loss", "mae", "val_loss", "val_mae", "a/late"]
    assert [row["a/late"] for row in rows] == ["NA", "2.0", "3.0"]
    assert all(float(row["val_mae"]) for row in rows)


def test_a_second_fit_with_another_metric_is_not_misaligned_and_counts_on(tmp_path):
    """Keras, append=True: the new column stands under the old ones, and epochs begin at 0 again."""
    first = engine(tmp_path, max_epochs=1).fit()
    before = (tmp_path / "run" / "metrics.csv").read_text()
    engine(tmp_path, Late(), overwrite=False).fit(resume=first.state)
    rows = table(tmp_path)
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert ",".join(rows[0].values()) == before.splitlines()[1] + ",NA"
    assert [row["a/late"] for row in rows] == ["NA", "2.0", "3.0"]


class SaveAndStop:
    """Takes the state that a run can go on from in the *number*-th boundary, and ends the run two boundaries later."""

    role = "observer"

    def __init__(self, number):
        self.number, self.state = number, None

    @hookimpl
    def persist(self, run):
        self.number -= 1
        if self.number == 0:
            self.state = snapshots.copy_state(snapshots.take(run))
        if self.number == -2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("saved_at", range(1, 17, 2))
def test_a_killed_and_resumed_run_has_the_table_of_one_that_never_stopped(tmp_path, saved_at):
    engine(tmp_path, Late(), directory="whole").fit()
    save = SaveAndStop(saved_at)
    with contextlib.suppress(KeyboardInterrupt):
        engine(tmp_path, Late(), save).fit()
    engine(tmp_path, Late(), overwrite=False).fit(resume=save.state)
    assert table(tmp_path) == table(tmp_path, "whole")


def test_a_validation_that_a_signal_cut_short_joins_the_row_of_its_epoch_later(tmp_path):
    class Preempt:
        role = "observer"

        @hookimpl
        def on_validation_start(self, run):
            if run.epoch == 2:
                signal.raise_signal(signal.SIGTERM)

    engine(tmp_path, directory="whole").fit()
    preempted = engine(tmp_path, Preempt()).fit()
    assert [row["val_loss"] == "NA" for row in table(tmp_path)] == [False, True]
    engine(tmp_path, overwrite=False).fit(resume=preempted.state)
    assert table(tmp_path) == table(tmp_path, "whole")


def test_a_run_from_the_start_begins_the_file_anew(tmp_path):
    engine(tmp_path, Late()).fit()
    engine(tmp_path, max_epochs=1).fit()
    assert [list(row) for row in table(tmp_path)] == [["epoch", "loss", "mae", "val_loss", "val_mae"]]


def test_a_partial_epoch_has_no_row(tmp_path):
    engine(tmp_path, max_steps=7).fit()
    assert [row["epoch"] for row in table(tmp_path)] == ["0"]


def test_the_file_is_closed_and_whole_when_a_run_fails(tmp_path):
    class Fail:
        @hookimpl
        def on_step_end(self, run):
            if run.step == 8:
                raise ValueError

    failing = engine(tmp_path, Fail())
    with pytest.raises(PluginError):
        failing.fit()
    assert [row["epoch"] for row in table(tmp_path)] == ["0"]


def test_evaluations_on_their_own_write_nothing(tmp_path):
    trained = engine(tmp_path)
    trained.fit()
    before = (tmp_path / "run" / "metrics.csv").read_text()
    trained.test()
    trained.validate()
    assert (tmp_path / "run" / "metrics.csv").read_text() == before
    engine(tmp_path, directory="alone").test()
    assert not (tmp_path / "alone" / "metrics.csv").exists()


def test_an_instance_can_be_used_again(tmp_path):
    from hookloop_csv import MetricsCsv

    plugin = MetricsCsv(MetricsCsv.Config(layout="keras"))
    for name in ("a", "b"):
        each = engine(tmp_path, directory=name)
        each.plugins = [plugin]
        each.fit()
        assert [row["epoch"] for row in table(tmp_path, name)] == ["0", "1", "2"]


def test_a_file_of_the_other_layout_is_not_touched(tmp_path):
    first = engine(tmp_path, options={"layout": "steps"}, max_epochs=1).fit()
    before = (tmp_path / "run" / "metrics.csv").read_text()
    with pytest.raises(PluginError, match=r"something else than one row an epoch.*Move the file away"):
        engine(tmp_path, overwrite=False).fit(resume=first.state)
    assert (tmp_path / "run" / "metrics.csv").read_text() == before


def test_both_layouts_can_be_written_at_once(tmp_path):
    engine(tmp_path, ("steps", {"use": "csv", "file": "steps.csv"})).fit()
    assert len(table(tmp_path)) == 3
    assert list(table(tmp_path, name="steps.csv")[0])[:3] == ["step", "epoch", "seconds"]


def test_an_interval_is_refused_in_a_layout_that_has_its_own(tmp_path):
    with pytest.raises(ConfigError, match="has a row for each epoch: leave 'every' out"):
        engine(tmp_path, options={"every": "3 steps"}).fit()


def test_separator_missing_and_file_are_options(tmp_path):
    engine(tmp_path, Late(), options={"separator": ";", "missing": "-", "file": "out/log.csv"}).fit()
    header, first, *_ = (tmp_path / "run" / "out" / "log.csv").read_text().splitlines()
    assert header == "epoch;loss;mae;val_loss;val_mae;a/late"
    assert first.endswith(";-")


# Names and means by themselves.


def test_metrics_have_kerass_names():
    names = ["train/loss", "val/loss", "val/f1/macro", "lr/adamw", "lr/adamw/2", "system/cpu", "alone"]
    assert Names().of(names) == {
        "train/loss": "loss",
        "val/loss": "val_loss",
        "val/f1/macro": "val_f1/macro",
        "lr/adamw": "learning_rate",
        "lr/adamw/2": "lr/adamw/2",
        "system/cpu": "system/cpu",
        "alone": "alone",
    }


def test_no_two_metrics_share_a_column_whichever_comes_first():
    names = Names()
    assert names.of(["loss", "train/loss", "train/epoch"]) == {
        "train/loss": "loss",
        "loss": "logged/loss",
        "train/epoch": "train/epoch",
    }
    assert names.of(["train/logged/loss"])["train/logged/loss"] == "train/logged/loss"
    assert names.of(["epoch"]) == {"epoch": "logged/epoch"}


def test_one_value_is_given_back_to_the_bit_and_several_by_their_weight():
    mean = Mean()
    mean.add(0.1, 3)
    assert mean.value() == 0.1
    mean.add(0.5, 1)
    assert mean.value() == pytest.approx(0.2)
    mean.add(99.0, 0)  # logged when no sample was seen since
    assert mean.value() == pytest.approx(0.2)
    assert Mean(*mean.parts()).value() == mean.value()


def test_a_value_without_samples_stands_until_there_are_some():
    mean = Mean()
    mean.add(0.25, 0)
    assert mean.value() == 0.25
    mean.add(0.75, 2)
    assert mean.value() == 0.75


def test_nan_stays_nan():
    mean = Mean()
    mean.add(math.nan, 2)
    mean.add(1.0, 2)
    assert math.isnan(mean.value())

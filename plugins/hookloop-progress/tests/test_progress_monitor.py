"""The plugin progress-monitor: steps against epochs."""

import torch

from hookloop import Engine, SkipStep, SupervisedTask, hookimpl


def fit(tmp_path, *plugins, resume=None, **run):
    batch = (torch.ones(4, 2), torch.ones(4, 1))
    task = SupervisedTask(torch.nn.Linear(2, 1), [batch] * 5, val=[batch])
    plugins = ["progress-monitor", *plugins]
    defaults = {"max_epochs": 3, "run_dir": tmp_path / "run", "device": "cpu"}
    return Engine(task, loss="mse", optimizer="sgd", plugins=plugins, **{**defaults, **run}).fit(resume=resume)


def points(result):
    rows = [row for row in result.history if "progress/steps" in row]
    return [(row["step"], row["epoch"], row["progress/steps"], row["progress/epochs"]) for row in rows]


def test_there_is_a_point_at_the_end_of_each_epoch(tmp_path):
    assert points(fit(tmp_path)) == [(5, 1, 5.0, 1.0), (10, 2, 10.0, 2.0), (15, 3, 15.0, 3.0)]


def test_steps_that_were_skipped_are_not_counted(tmp_path):
    class Skip:
        @hookimpl
        def on_step_start(self, run):
            if run.epoch == 1 and run.batch_index == 2:
                raise SkipStep

    assert [point[2] for point in points(fit(tmp_path, Skip()))] == [5.0, 9.0, 14.0]


def test_an_epoch_that_was_cut_short_has_none(tmp_path):
    assert [point[2] for point in points(fit(tmp_path, max_steps=8))] == [5.0]


def test_a_resumed_run_counts_on(tmp_path):
    first = fit(tmp_path, max_epochs=1)
    assert points(fit(tmp_path, resume=first.state)) == [(5, 1, 5.0, 1.0), (10, 2, 10.0, 2.0), (15, 3, 15.0, 3.0)]

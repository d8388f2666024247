"""The plugin progress-reporter: a line for each event, on each rank."""

import logging
import os
import subprocess
import sys

import torch

from hookloop import Engine, SupervisedTask, hookimpl
from hookloop_progress import ProgressReporter
from hookloop_progress.reporter import log

WORKER = """
import logging, os, sys
import torch
import torch.distributed as dist
from hookloop import Engine, SupervisedTask

torch.set_num_threads(1)
logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
dist.init_process_group("gloo")
batch = (torch.ones(4, 2), torch.ones(4, 1))
task = SupervisedTask(torch.nn.Linear(2, 1), [batch] * 2, val=[batch])
run = {"max_epochs": 1, "run_dir": sys.argv[1], "device": "cpu"}
Engine(task, loss="mse", optimizer="sgd", plugins=["progress-reporter"], **run).fit()
dist.destroy_process_group()
"""

FIT = """
on_run_start: epoch 0, step 0, batch 0
on_ready: epoch 0, step 0, batch 0
on_fit_start: epoch 0, step 0, batch 0
on_epoch_start: epoch 0, step 0, batch 0
on_fetch_start: epoch 0, step 0, batch 0
on_step_start: epoch 0, step 0, batch 0
on_step_end: epoch 0, step 1, batch 1
on_fetch_start: epoch 0, step 1, batch 1
on_step_start: epoch 0, step 1, batch 1
on_step_end: epoch 0, step 2, batch 2
on_fetch_start: epoch 0, step 2, batch 2
on_train_epoch_end: epoch 0, step 2, batch 2
on_validation_start: epoch 1, step 2, batch 0
on_validation_batch_start: epoch 1, step 2, batch 0
on_validation_batch_end: epoch 1, step 2, batch 1
on_validation_end: epoch 1, step 2, batch 1
on_epoch_end: epoch 1, step 2, batch 2
on_fit_end: epoch 1, step 2, batch 2
on_run_end: epoch 1, step 2, batch 2
""".strip().splitlines()


def test_both_of_two_ranks_say_where_they_are(tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launcher, str(tmp_path / "worker.py"), str(tmp_path / "run")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        mine = [line for line in done.stdout.splitlines() if line.startswith(f"rank {rank} ")]
        assert mine == [f"rank {rank} at {line}" for line in FIT]


def engine(tmp_path, *plugins):
    batch = (torch.ones(4, 2), torch.ones(4, 1))
    task = SupervisedTask(torch.nn.Linear(2, 1), [batch], test=[batch], predict=[batch])
    run = {"max_epochs": 1, "run_dir": tmp_path / "run", "device": "cpu"}
    return Engine(task, loss="mse", optimizer="sgd", plugins=plugins, **run)


def events(caplog):
    return [record.getMessage().split()[3].rstrip(":") for record in caplog.records]


def test_tests_and_predictions_are_told_of(tmp_path, caplog):
    engine(tmp_path, "progress-reporter").test()
    assert events(caplog)[2:6] == ["on_test_start", "on_test_batch_start", "on_test_batch_end", "on_test_end"]
    caplog.clear()
    engine(tmp_path, "progress-reporter").predict()
    assert "on_predict_batch_end" in events(caplog)


def test_an_event_is_told_of_before_another_plugin_may_hang_in_it(tmp_path, caplog):
    told = []

    class Look:
        @hookimpl
        def on_step_start(self):
            told.append(events(caplog)[-1])

    engine(tmp_path, Look(), "progress-reporter").fit()
    assert told == ["on_step_start"]


def test_the_log_is_as_it_was_when_the_run_is_over(tmp_path, caplog):
    reporter = ProgressReporter()
    for name in "ab":
        engine(tmp_path / name, reporter).fit()
    assert log.level == logging.NOTSET
    assert events(caplog).count("on_run_end") == 2

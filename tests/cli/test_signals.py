"""Ctrl-C and SIGTERM while a command trains, and what a Ctrl-C that comes again and again finds to break."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

WAITING = """
import time
from pathlib import Path
from hookloop import SupervisedTask
from task import build as build_task

class Waiting(SupervisedTask):
    def train_step(self, batch):
        Path("started").touch()
        time.sleep(0.02)
        return super().train_step(batch)

def build():
    return build_task(task=Waiting)
"""

PRESSING = """
import os, signal
from hookloop import hookimpl

class Pressing:
    @hookimpl
    def on_step_end(self):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
"""

HANGING = """
import sys, threading, time
from hookloop.__main__ import main
code = main()
threading.Thread(target=time.sleep, args=(100,)).start()
print("ended", flush=True)
sys.exit(code)
"""


@contextmanager
def process(*command, **options):
    """Run *command* and kill it in the end: where SIGINT is ignored, as in a shell's background jobs, it goes on."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, *command], **pipes, **options) as child:
        try:
            yield child
        finally:
            child.kill()


@contextmanager
def training(files, *words):
    """Run the command in a directory where a plugin waits in each step, and yield the process when it trains."""
    (files / "waiting.py").write_text(WAITING)
    more = ["--set", "task.use=waiting.py:build", "--set", "run.max_epochs=100000", *words]
    with process("-m", "hookloop", "fit", "run.toml", *more, cwd=files) as child:
        deadline = time.monotonic() + 60
        while not (files / "started").exists() and time.monotonic() < deadline and child.poll() is None:
            time.sleep(0.05)
        yield child


@pytest.mark.parametrize(
    ("number", "code", "outcome"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "preempted")]
)
def test_a_signal_ends_training_at_the_next_step_with_a_code_of_its_own(files, number, code, outcome):
    with training(files, "--json") as child:
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (code, "")
    assert (json.loads(out)["outcome"], json.loads(out)["exit_code"]) == (outcome, code)


def test_a_second_ctrl_c_is_told_of_as_well(files):
    (files / "pressing.py").write_text(PRESSING)
    with process("-m", "hookloop", "fit", "run.toml", "-p", "pressing.py:Pressing", "--json", cwd=files) as child:
        out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (130, "interrupted\n")
    assert (json.loads(out)["outcome"], json.loads(out)["exit_code"]) == ("interrupted", 130)


@pytest.mark.parametrize("interval_seconds", [0.004, 0.1])
def test_ctrl_c_again_and_again_breaks_neither_the_record_nor_the_end_of_python(files, interval_seconds):
    with training(files, "--run-dir", "a") as child:
        while child.poll() is None:
            child.send_signal(signal.SIGINT)
            time.sleep(interval_seconds)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert err in ("", "interrupted\n")
    record = json.loads((files / "a" / "run.json").read_text())
    assert record["outcome"] == "interrupted"
    log = files / "a" / "metrics.jsonl"
    rows = log.read_text().splitlines() if log.exists() else []  # nothing is logged before the first step is over
    assert [json.loads(row)["step"] for row in rows] == list(range(1, record["counters"]["step"] + 1))


def test_an_end_of_python_that_hangs_can_be_broken_off(tmp_path):
    with process("-c", HANGING, "--version", cwd=tmp_path, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as child:
        while child.stdout.readline() != "ended\n":
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert child.poll() is None
        time.sleep(1)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (0, "")

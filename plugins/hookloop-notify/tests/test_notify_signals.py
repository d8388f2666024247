"""A real command line that is sent a signal: the message goes out before the process ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

TASK = """
import time
import torch
from hookloop import SupervisedTask

class Slow(SupervisedTask):
    def train_step(self, batch):
        time.sleep(0.01)
        return super().train_step(batch)

def build():
    return Slow(torch.nn.Linear(3, 1), train=[(torch.zeros(4, 3), torch.zeros(4, 1)) for _ in range(4000)])
"""

CONFIG = """
[run]
name = "slow"
max_epochs = 1
log_every = "1 step"
device = "cpu"
threads = 1
run_dir = "run"
[task]
use = "task.py:build"
[loss]
use = "mse"
[optimizer]
use = "sgd"
lr = 0.1
[plugins.notify]
on = ["preempted", "interrupted"]
body = "{outcome} {reason}"
[plugins.notify.webhook]
url = { env = "HOOK_URL" }
[plugins.notify.command]
args = ["tee", "told.txt"]
"""


def start(place, options=""):
    (place / "task.py").write_text(TASK)
    (place / "run.toml").write_text(CONFIG.replace("[plugins.notify]\n", f"[plugins.notify]\n{options}"))
    command = [sys.executable, "-m", "hookloop", "fit", "run.toml"]
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=place, env=variables, stderr=subprocess.PIPE, text=True)
    log = place / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (log.exists() and log.read_bytes().count(b"\n") >= 5):
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (signal.SIGTERM, 143, "slow: preempted by SIGTERM\n\npreempted SIGTERM\n"),
        (signal.SIGUSR1, 143, "slow: preempted by SIGUSR1\n\npreempted SIGUSR1\n"),
        (signal.SIGINT, 130, "slow: interrupted after\n\ninterrupted \n"),
    ],
    ids=["SIGTERM", "SIGUSR1", "SIGINT"],
)
def test_a_signal_is_told_before_the_process_ends(tmp_path, hook, number, code, text):
    process = start(tmp_path)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    told = [json.loads(request.data)["text"] for request in hook.requests]
    assert [re.sub(r"after [\d:]+", "after", each) for each in told] == [text]
    assert (tmp_path / "told.txt").read_text() == told[0]
    assert "warning" not in err


def test_a_preempted_process_ends_soon_although_the_webhook_hangs(tmp_path, silent_port, monkeypatch):
    monkeypatch.setenv("HOOK_URL", f"http://127.0.0.1:{silent_port}/T024BE7LD-B0123456")
    process = start(tmp_path, "timeout_seconds = 100\nattempt_seconds = 100\n")
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert time.monotonic() - begun < 60  # the grace is 5
    assert (tmp_path / "told.txt").read_text().startswith("slow: preempted by SIGTERM")
    # The thread may have given up just in time, or not.
    assert re.search(
        rf"webhook http://127.0.0.1:{silent_port}(: it did not answer in time| has not answered for 5)", err
    )
    assert "T024BE7LD" not in err

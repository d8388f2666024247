"""The plugin ``slow-rank``: two real processes, of which one is slow."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from hookloop import ConfigError
from hookloop_profiler.marks import marks_for
from hookloop_profiler.slow_rank import BusyTimes, SlowRank, judge

SCRIPT = """
import os, time, torch
import torch.distributed as dist
from hookloop import Engine, SupervisedTask

torch.set_num_threads(1)
dist.init_process_group("gloo")
rank = dist.get_rank()

class Slow(SupervisedTask):
    def train_step(self, batch):
        time.sleep(0.05 * rank)
        return super().train_step(batch)

batch = (torch.ones(6, 4), torch.zeros(6, dtype=torch.long))
Engine(Slow(torch.nn.Linear(4, 3), [batch] * 4), loss="cross_entropy", optimizer="sgd",
       plugins=[("slow-rank", {"every": "2 steps"})], max_epochs=1, log_every="2 steps", device="cpu", run_dir="run",
       seed=1).fit()
dist.destroy_process_group()
"""


def test_the_slow_one_of_two_processes_is_named(tmp_path):
    """Under a real launcher, over gloo, with a rank that is really slow."""
    (tmp_path / "train.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "train.py"]
    environment = {**os.environ, "HOOKLOOP_PLUGINS": "slow-rank", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    compared = [row for row in rows if "time/slowest_rank" in row]
    assert [row["step"] for row in compared] == [2, 4]
    assert [row["time/slowest_rank"] for row in compared] == [1, 1]
    assert all(0.02 < row["time/rank_gap_seconds"] < 5 for row in compared)
    said = [line for line in done.stderr.splitlines() if "slow-rank: rank 1 is busy" in line]
    assert len(said) == 2  # by rank 0 alone


@pytest.fixture
def compared(monkeypatch):
    """What this process told the other one, which is busy for a hundredth of a second more."""
    told = []

    def all_gather_object(everyone, own, group=None):
        told.append(own)
        everyone[:] = [own, own + 0.01]

    monkeypatch.setattr("torch.distributed.all_gather_object", all_gather_object)
    return told


def drive(clock, seconds=1, **options):
    """Train three steps by hand, each of which waits twice as long for data as it is in the forward pass."""
    plugin = SlowRank(SlowRank.Config(**options))
    logged = {}
    run = SimpleNamespace(
        world_size=2, rank=0, device=torch.device("cpu"), clock=clock, host_group=None, step=0, epoch=0, samples=0,
        log=logged.__setitem__,
    )  # fmt: skip
    times = BusyTimes(marks_for(run.device, clock), clock, plugin.compare_if_due)
    plugin.reset()
    plugin.times = times
    for run.step in range(1, 4):
        times.on_fetch_start(run)
        clock.advance(2 * seconds)
        times.on_fetch_end(run, None)
        times.on_forward_start(run, None)
        clock.advance(seconds)
        times.on_forward_end(run, None)
        clock.advance(100)
        if run.step == 2:
            times.on_optimizer_step_skipped(run)
        else:
            times.on_step_end(run)
    return logged


def test_what_is_compared_is_waiting_for_data_and_the_forward_pass(fake_clock, compared):
    logged = drive(fake_clock, every="3 steps")
    assert compared == [3.0]
    assert logged == {"time/rank_gap_seconds": pytest.approx(0.01), "time/slowest_rank": 1}


def test_what_is_told_is_exact_after_ten_days_of_uptime(fake_clock, compared):
    """TNT: the clock itself travels, as float32 (2.1)."""
    fake_clock.advance(864_000)
    drive(fake_clock, seconds=1e-3, every="3 steps")
    assert compared == [pytest.approx(3e-3, abs=1e-9)]


def test_each_comparison_is_of_the_steps_since_the_last(fake_clock, compared):
    drive(fake_clock, every="1 step")
    assert compared == [3.0, 3.0]


def test_durations_are_compared_in_full_precision():
    """TNT: clocks of different machines, as float32, which is 62 ms wide after ten days (2.1)."""
    gap, slowest = judge([864_000.0, 864_000.001, 863_999.999])
    assert gap == pytest.approx(0.002)
    assert slowest == 1


def test_one_process_has_nobody_to_compare_with(tiny_run, messages):
    result = tiny_run([("slow-rank", {"every": "1 step"})])
    assert "time/slowest_rank" not in result.metrics
    assert "only one process" in messages("INFO")[0]


@pytest.mark.parametrize("options", [{"every": "0 steps"}, {"every": "10 s"}, {"tolerance": 1}])
def test_what_processes_would_not_agree_on_is_refused(tiny_run, options):
    with pytest.raises(ConfigError):
        tiny_run([("slow-rank", options)])

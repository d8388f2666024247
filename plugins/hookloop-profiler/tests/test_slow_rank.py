"""The plugin ``slow-rank``: two real processes, of which one is slow."""

import json
import subprocess
import sys

import pytest

from hookloop import ConfigError
from hookloop_profiler.slow_rank import judge

SCRIPT = """
import sys, time, torch
import torch.distributed as dist
from hookloop import Engine, SupervisedTask
rank, folder = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)

class Slow(SupervisedTask):
    def train_step(self, batch):
        time.sleep(0.05 * rank)
        return super().train_step(batch)

batch = (torch.ones(6, 4), torch.zeros(6, dtype=torch.long))
task = Slow(torch.nn.Linear(4, 3), [batch] * 4)
Engine(task, loss="cross_entropy", optimizer="sgd", plugins=[("slow-rank", {"every": "2 steps"})], max_epochs=1,
       log_every="2 steps", device="cpu", run_dir=f"{folder}/run", seed=1).fit()
dist.destroy_process_group()
"""


def test_the_slow_one_of_two_processes_is_named(tmp_path):
    command = [sys.executable, "-c", SCRIPT]
    both = [
        subprocess.Popen([*command, str(rank), str(tmp_path)], stderr=subprocess.PIPE, text=True) for rank in (0, 1)
    ]
    said = [each.communicate(timeout=120)[1] for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    compared = [row for row in rows if "time/slowest_rank" in row]
    assert [row["step"] for row in compared] == [2, 4]
    assert [row["time/slowest_rank"] for row in compared] == [1, 1]
    assert all(0.02 < row["time/rank_gap_seconds"] < 5 for row in compared)
    assert "slow-rank: rank 1 is busy" in said[0]
    assert "slow-rank" not in said[1]


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

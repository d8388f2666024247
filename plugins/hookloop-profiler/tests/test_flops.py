"""The plugin ``flops``."""

import pytest
import torch

from hookloop import SupervisedTask

FORWARD = 2 * 4 * 3  # a sample of a product of (n, 4) and (4, 3)
SAMPLE = 2 * FORWARD  # forward, and backward to the weights


def task():
    sizes = (6, 6, 2)
    data = [(torch.ones(size, 4), torch.zeros(size, dtype=torch.long)) for size in sizes]
    return SupervisedTask(torch.nn.Linear(4, 3), data, data)


def series(result, name):
    return [row[name] for row in result.history if name in row]


def test_a_step_is_counted_and_the_rate_and_share_follow(tiny_run, fake_clock, passing):
    plugins = [passing("on_batch_start", 2), ("flops", {"warmup_steps": 0, "peak_tflops": 1e-9})]
    result = tiny_run(plugins, task=task, clock=fake_clock, epochs=2)
    assert series(result, "flops/per_step") == [6 * SAMPLE]
    assert series(result, "flops/per_sample") == [SAMPLE]
    assert series(result, "flops/per_second") == [SAMPLE * samples / 2 for samples in (6, 2, 6, 6, 2)]
    assert series(result, "flops/mfu") == pytest.approx([SAMPLE * samples / 2 / 1000 for samples in (6, 2, 6, 6, 2)])


def test_it_is_counted_anew_and_that_step_has_no_rate(tiny_run, fake_clock, passing):
    plugins = [passing("on_batch_start", 2), ("flops", {"warmup_steps": 0, "recount_every_steps": 3})]
    result = tiny_run(plugins, task=task, clock=fake_clock, epochs=2)
    assert series(result, "flops/per_step") == [6 * SAMPLE] * 2
    assert len(series(result, "flops/per_second")) == 4


def test_without_a_peak_there_is_no_share_and_it_is_said(tiny_run, messages):
    result = tiny_run(["flops"], task=task)
    assert "flops/mfu" not in result.metrics
    assert "peak_tflops" in messages("INFO")[0]

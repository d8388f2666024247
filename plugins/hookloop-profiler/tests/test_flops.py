"""The plugin ``flops``."""

from types import SimpleNamespace

import pytest
import torch

from hookloop import ConfigError, SupervisedTask
from hookloop_profiler.flops import Flops
from hookloop_profiler.peaks import PEAKS, kind_of, peak_of

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


def test_operations_that_are_known_are_not_counted(tiny_run, fake_clock, passing):
    options = {"warmup_steps": 0, "peak_tflops": 1e-9, "per_sample": 100}
    result = tiny_run([passing("on_batch_start", 2), ("flops", options)], task=task, clock=fake_clock, epochs=1)
    assert series(result, "flops/per_second") == [300, 100]
    assert series(result, "flops/per_step") == []


def test_the_warm_up_is_left_out_of_the_rates(tiny_run, fake_clock, acting):
    seconds = iter([100, 100, 2, 2, 2, 2])
    slow = acting("on_batch_start", lambda run: fake_clock.advance(next(seconds)))
    result = tiny_run([("slow", slow), ("flops", {"warmup_steps": 1})], task=task, clock=fake_clock, epochs=2)
    assert series(result, "flops/per_second") == [SAMPLE * samples / 2 for samples in (2, 6, 6, 2)]


def test_neither_validation_nor_what_lies_between_epochs_is_time_of_training(tiny_run, fake_clock, passing):
    plugins = [
        passing("on_batch_start", 2),
        passing("on_validation_batch_start", 50),
        passing("on_epoch_end", 70),
        ("flops", {"warmup_steps": 0}),
    ]
    result = tiny_run(plugins, task=task, clock=fake_clock, epochs=2, validate_every="1 step")
    assert series(result, "flops/per_second") == [SAMPLE * samples / 2 for samples in (6, 2, 6, 6, 2)]


def test_accumulated_micro_batches_are_counted_together(tiny_run):
    result = tiny_run(["flops"], task=task, epochs=1, accumulate=2)
    assert series(result, "flops/per_step") == [12 * SAMPLE]
    assert series(result, "flops/per_sample") == [SAMPLE]


# The peak, and the share of it.


def test_without_a_peak_there_is_no_share_and_it_is_said_once(tiny_run, messages):
    result = tiny_run(["flops"], task=task)
    assert "flops/mfu" not in result.metrics
    assert [each for each in messages("INFO") if "flops" in each] == [
        "flops: no flops/mfu: the peak of 'cpu' is not known here: peak_tflops says it"
    ]


@pytest.mark.parametrize(
    ("name", "fp32", "tf32", "bf16", "fp16"),
    [
        ("NVIDIA H100 80GB HBM3", 67, 494.7, 989, 989),
        ("NVIDIA H100 PCIe", 51, 378, 756, 756),
        ("NVIDIA H200", 67, 494.7, 989, 989),
        ("NVIDIA A100-SXM4-40GB", 19.5, 156, 312, 312),
        ("NVIDIA A100-SXM4-80GB", 19.5, 156, 312, 312),
        ("A100-SXM-80GB", 19.5, 156, 312, 312),
        ("NVIDIA A100 80GB PCIe", 19.5, 156, 312, 312),
        ("NVIDIA A100-PCIE-40GB", 19.5, 156, 312, 312),
        ("NVIDIA L4", 30.3, 60, 121, 121),
        ("NVIDIA L40S", 91.6, 183, 362, 362),
        ("Tesla V100-SXM2-16GB", 15.7, None, None, 125),
        ("Tesla V100-PCIE-32GB", 14, None, None, 112),
        ("Tesla T4", 8.1, None, None, 65),
        ("NVIDIA GeForce RTX 4090", 82.6, 82.6, 165.2, 165.2),
        ("AMD Instinct MI300X", 163.4, 653.7, 1307, 1307),
    ],
)
def test_a_card_is_known_by_the_name_that_torch_gives_it(name, fp32, tf32, bf16, fp16):
    expected = {"fp32": fp32, "tf32": tf32, "bf16": bf16, "fp16": fp16}
    for kind, tera in expected.items():
        assert peak_of(name, kind) == (None if tera is None else pytest.approx(tera * 1e12))


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA H20",  # no H200
        "NVIDIA H800",
        "NVIDIA H100 80GB HBM2e",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",  # a seventh of the card
        "NVIDIA A100-SXM4-40GB MIG 3g.20gb",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 3090 Ti",
        "NVIDIA A10M",
        "NVIDIA T400 4GB",
        "NVIDIA L400",
        "Quadro V100",
        "",
    ],
)
def test_a_relative_of_a_known_card_is_not_known(name):
    """A share of the peak of another card would be wrong, which is worse than none."""
    assert peak_of(name, "fp16") is None


def test_no_card_is_listed_as_faster_in_a_wider_type():
    for fp32, tf32, bf16, fp16 in PEAKS.values():
        assert fp16 >= bf16 >= tf32
        assert not tf32 or tf32 >= fp32


def described(precision="fp32", model=None):
    return SimpleNamespace(precision=precision, model=model or torch.nn.Linear(2, 2))


def test_what_is_multiplied_is_the_precision_of_the_run_or_the_type_of_the_model():
    assert kind_of(described("bf16-mixed")) == "bf16"
    assert kind_of(described("fp16-mixed")) == "fp16"
    assert kind_of(described(model=torch.nn.Linear(2, 2).bfloat16())) == "bf16"
    assert kind_of(described(model=torch.nn.Linear(2, 2).half())) == "fp16"
    assert kind_of(described(model=torch.nn.Linear(2, 2).double())) is None
    mixture = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).half())
    assert kind_of(described(model=mixture)) is None


def test_float32_is_tf32_where_torch_may_round(monkeypatch):
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "highest")
    assert kind_of(described()) == "fp32"
    assert kind_of(described(model=torch.nn.Conv2d(1, 1, 1))) == "tf32"
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    assert kind_of(described()) == "tf32"

    def refuse():
        raise RuntimeError("mix of the legacy and new APIs")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuse)
    assert kind_of(described()) == "tf32"


@pytest.mark.parametrize(
    ("name", "precision", "peak"),
    [("NVIDIA H100 80GB HBM3", "bf16-mixed", 989e12), ("NVIDIA H100 80GB HBM3", "fp32", 67e12),
     ("NVIDIA H20", "bf16-mixed", None), ("Tesla T4", "bf16-mixed", None)],
)  # fmt: skip
def test_the_peak_is_that_of_the_card_in_what_is_multiplied(monkeypatch, messages, name, precision, peak):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "highest")
    run = described(precision)
    run.device, run.rank = torch.device("cuda", 0), 0
    assert Flops(Flops.Config()).find_peak(run) == peak
    assert len([each for each in messages("INFO") if name in each]) == (peak is None)
    assert Flops(Flops.Config(peak_tflops=2)).find_peak(run) == 2e12


@pytest.mark.parametrize("options", [{"peak_tflops": 0}, {"per_sample": 0}, {"recount_every_steps": 0}])
def test_impossible_numbers_are_refused(tiny_run, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        tiny_run([("flops", options)])

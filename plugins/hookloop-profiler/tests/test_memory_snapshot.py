"""The plugin ``memory-snapshot``, where there is no CUDA device, and against a stand-in for torch's recorder."""

from types import SimpleNamespace

import pytest
import torch

from hookloop import ConfigError
from hookloop_profiler import memory_snapshot
from hookloop_profiler.memory_snapshot import MemorySnapshot, is_out_of_memory


def test_without_a_cuda_device_it_says_so_and_rests(tiny_run, messages):
    result = tiny_run([("memory-snapshot", {"stop_step": 2})])
    assert result.outcome == "completed"
    assert len([each for each in messages("INFO") if "rests" in each]) == 1
    assert not (result.directory / "profile").exists()


@pytest.mark.parametrize(
    "options",
    [{"start_step": -1}, {"start_step": 2, "stop_step": 2}, {"stop_step": 0}, {"out_of_memory": False},
     {"start_step": 2, "out_of_memory": False}],
)  # fmt: skip
def test_the_five_impossible_choices_are_refused(tiny_run, options):
    with pytest.raises(ConfigError):
        tiny_run([("memory-snapshot", options)])


@pytest.fixture
def recorder(monkeypatch):
    """The calls that the allocator of a CUDA device would get."""
    calls = []
    fake = SimpleNamespace(
        _record_memory_history=lambda **given: calls.append(given),
        _dump_snapshot=lambda path: calls.append(path.rpartition("/")[2]),
    )
    monkeypatch.setattr(memory_snapshot, "memory", lambda: fake)
    return calls


def drive(tmp_path, steps, error=None, **options):
    plugin = MemorySnapshot(MemorySnapshot.Config(**options))
    plugins = SimpleNamespace(name_of=lambda plugin: "memory-snapshot")
    run = SimpleNamespace(plugins=plugins, device=torch.device("cuda"), rank=0, step=0, directory=tmp_path)
    plugin.on_run_start(run)
    plugin.prepare_model(run)
    for run.step in range(1, steps + 1):
        plugin.on_step_end(run)
    if error is not None:
        plugin.on_exception(run, error)
    plugin.on_run_end()


def test_it_is_written_at_its_step_and_then_over(recorder, tmp_path):
    drive(tmp_path, 5, start_step=1, stop_step=3, out_of_memory=False, max_entries=7)
    assert recorder == [{"max_entries": 7}, "step3-rank0.pickle", {"enabled": None}]


def test_an_exhausted_memory_is_written_before_the_run_fails(recorder, tmp_path):
    drive(tmp_path, 2, error=torch.OutOfMemoryError("no memory left"))
    assert recorder == [{"max_entries": 100_000}, "oom-rank0.pickle", {"enabled": None}]


def test_another_error_is_no_reason_for_a_snapshot(recorder, tmp_path):
    drive(tmp_path, 2, error=RuntimeError("boom"))
    assert recorder == [{"max_entries": 100_000}, {"enabled": None}]
    assert not is_out_of_memory(RuntimeError("boom"))


def test_a_torch_that_cannot_record_ends_no_run(monkeypatch, tmp_path, messages):
    monkeypatch.setattr(memory_snapshot, "memory", lambda: SimpleNamespace())
    drive(tmp_path, 3, stop_step=2)
    assert "rests, as torch cannot record" in messages("WARNING")[0]


def test_a_snapshot_that_cannot_be_written_ends_no_run(recorder, tmp_path, messages):
    (tmp_path / "profile").write_text("in the way")
    drive(tmp_path, 3, stop_step=2)
    assert "could not be written" in messages("WARNING")[0]
    assert recorder[-1] == {"enabled": None}

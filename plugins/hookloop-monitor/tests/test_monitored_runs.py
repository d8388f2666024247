"""Whole runs with the monitor: what is logged, what is written, what goes wrong and how it ends."""

import json
import logging
import subprocess
import sys
import threading
import time

import psutil
import pynvml
import pytest

from hookloop import ConfigError, PluginHookError, hookimpl
from hookloop_monitor import Monitor
from hookloop_monitor.allocator import AllocatorReader
from hookloop_monitor.gpu import GpuReader
from hookloop_monitor.host import HostReader
from hookloop_monitor.processes import ProcessReader, WorkerReader
from hookloop_monitor.session import place_of
from hookloop_monitor.visible import Place

SECOND = "GPU-bbbbbbbb-1111-1111-1111-111111111111"


def sampler_threads():
    return [thread for thread in threading.enumerate() if thread.name == "hookloop-monitor"]


def samples(rows):
    return [row for row in rows if "event" not in row]


def events(rows, kind):
    return [row for row in rows if row.get("event") == kind]


def last(result, name):
    return next(row[name] for row in reversed(result.history) if name in row)


def test_samples_are_logged_at_the_next_boundary_in_four_statistics(monitored, no_driver):
    result, _ = monitored()
    logged = [row for row in result.history if "system/process/rss_bytes" in row]
    assert len(logged) >= 3
    for row in logged:
        name = "system/process/rss_bytes"
        assert row[f"{name}/min"] <= row[name] <= row[f"{name}/max"]
        assert row[f"{name}/last"] > 0
    assert last(result, "system/memory_total_bytes") > 0
    assert not any(name.startswith("system/memory_total_bytes/") for row in result.history for name in row)


def test_what_is_logged_is_what_the_timeline_has_since_the_last_boundary(monitored, no_driver):
    result, rows = monitored(log_every="25 steps")
    name = "system/memory_used_bytes"
    logged = next(row for row in result.history if name in row)
    seen = [row[name] for row in samples(rows) if row["step"] <= 25]
    assert logged[f"{name}/min"] in seen
    assert logged[f"{name}/max"] in seen
    assert logged[f"{name}/min"] == min(seen[: seen.index(logged[f"{name}/last"]) + 1])


def test_chosen_statistics_alone_are_logged(monitored, no_driver):
    result, _ = monitored(statistics=["max"])
    names = {name for row in result.history for name in row if "process/rss" in name}
    assert names == {"system/process/rss_bytes/max"}


def test_the_timeline_has_the_rate_that_was_asked_for(monitored, no_driver):
    _, rows = monitored()
    times = [row["time"] for row in samples(rows)]
    assert len(times) >= 5
    assert sorted(times) == times
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)


def test_without_a_timeline_no_file_is_written(tiny_run, no_driver):
    result = tiny_run([("monitor", {"timeline": False})])
    assert not (result.directory / "system.jsonl").exists()


def test_cores_are_read_on_request(monitored, no_driver):
    _, rows = monitored(per_core=True)
    assert any("system/cpu0_percent" in row for row in samples(rows))


def test_the_cards_are_those_that_are_visible(monitored, driver, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    result, rows = monitored()
    assert last(result, "system/gpu0/power_watts") == 200
    assert not any("gpu1" in name for row in result.history for name in row)
    (event,) = events(rows, "cards")
    assert event["cards"] == [{"label": "gpu0", "name": "Fake A", "uuid": SECOND}]
    assert driver.fake_opened() == 0


def test_no_cards_are_read_when_none_are_wanted(monitored, driver):
    monitored(gpus="none")
    assert driver.fake_calls() == 0


def test_the_run_goes_on_when_nvml_dies_in_the_middle(monitored, driver, caplog):
    class Kill:
        @hookimpl
        def on_step_end(self, run):
            if run.step == 10:
                driver.fake_fail(b"*", -1, pynvml.NVML_ERROR_UNINITIALIZED, 0)

    result, rows = monitored(Kill())
    assert (result.outcome, result.step) == ("completed", 25)
    powers = ["system/gpu0/power_watts" in row for row in samples(rows)]
    assert powers[0] is True
    assert powers[-1] is False
    assert all("system/memory_used_bytes" in row for row in samples(rows))
    assert sum("is lost" in record.getMessage() for record in caplog.records) == 2
    assert sampler_threads() == []


def test_a_lost_card_is_an_event_of_the_timeline(monitored, driver):
    driver.fake_fail(b"nvmlDeviceGetPowerUsage", 1, pynvml.NVML_ERROR_GPU_IS_LOST, 1)
    _, rows = monitored()
    assert "gpu1 (Fake A) is lost" in events(rows, "notice")[0]["text"]


def test_a_value_that_could_not_be_read_is_absent_and_never_zero(monitored, driver):
    driver.fake_fail(b"nvmlDeviceGetUtilizationRates", -1, pynvml.NVML_ERROR_NOT_SUPPORTED, 0)
    result, rows = monitored()
    assert not any("utilization" in name for row in [*result.history, *rows] for name in row)


def test_everything_is_read_on_the_samplers_thread_and_nothing_on_the_one_that_trains(monitored, driver, monkeypatch):
    """TNT: runs nvidia-smi for every sample, on the thread that trains (2.1)."""
    threads = set()

    def watched(read):
        def call(*given, **named):
            threads.add(threading.current_thread().name)
            return read(*given, **named)

        return call

    for reader in (HostReader, ProcessReader, WorkerReader, GpuReader):
        monkeypatch.setattr(reader, "read", watched(reader.read))
    monkeypatch.setattr(pynvml, "nvmlInit", watched(pynvml.nvmlInit))
    monkeypatch.setattr(subprocess, "Popen", None)
    result, _ = monitored()
    assert "system/gpu0/power_watts" in {name for row in result.history for name in row}
    assert threads == {"hookloop-monitor"}


def test_training_and_validation_are_on_one_timeline_that_never_goes_back(monitored, no_driver):
    """TNT: samples of both are one series, by two counters of steps (2.1)."""

    class SlowValidation:
        @hookimpl
        def on_validation_batch_end(self):
            time.sleep(0.15)

    result, rows = monitored(SlowValidation(), steps=8, epochs=3, log_every="2 steps")
    for series in (samples(rows), [row for row in result.history if "system/memory_percent" in row]):
        assert [row["step"] for row in series] == sorted(row["step"] for row in series)
        assert [row["time"] for row in series] == sorted(row["time"] for row in series)
    assert {8, 16, 24} <= {row["step"] for row in samples(rows)}


def test_without_a_driver_everything_else_is_read(monitored, no_driver, monkeypatch):
    """TNT: a missing nvidia-smi drops the allocator's figures as well (2.1)."""
    allocator = AllocatorReader({"allocated_bytes": lambda: 7})
    monkeypatch.setattr("hookloop_monitor.session.open_allocator", lambda device: allocator)
    result, _ = monitored()
    names = {name for row in result.history for name in row}
    assert {"system/allocator/allocated_bytes", "system/memory_percent", "system/process/rss_bytes"} <= names


def test_a_container_that_hides_everything_ends_no_run(monitored, no_driver, monkeypatch, caplog):
    def hidden(*given, **named):
        raise PermissionError("/proc is hidden")

    for name in ("virtual_memory", "cpu_times", "swap_memory", "disk_usage", "disk_io_counters", "net_io_counters",
                 "getloadavg", "Process"):  # fmt: skip
        monkeypatch.setattr(psutil, name, hidden)
    result, rows = monitored()
    assert result.outcome == "completed"
    assert events(rows, "end")[0]["summary"] == {}
    notices = [row["text"] for row in events(rows, "notice")]
    assert len(notices) == len(set(notices)) == 10  # nine parts, and the driver
    assert "the load cannot be read: PermissionError: /proc is hidden" in notices


def test_a_process_that_may_start_no_thread_trains_without_samples(tiny_run, no_driver, monkeypatch, caplog):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert tiny_run(["monitor"]).outcome == "completed"
    assert "monitor: nothing is sampled: can't start new thread" in caplog.text


def test_a_command_with_closed_standard_streams_is_monitored(tmp_path, read_timeline):
    (tmp_path / "job.py").write_text(
        "from hookloop.testing import tiny_task\n\ndef build():\n    return tiny_task(3)\n"
    )
    (tmp_path / "run.toml").write_text(
        '[run]\nmax_epochs = 1\ndevice = "cpu"\n[task]\nuse = "job.py:build"\n[loss]\nuse = "cross_entropy"\n'
        '[optimizer]\nuse = "sgd"\nlr = 0.1\n[plugins.monitor]\n'
    )
    command = f"exec {sys.executable} -m hookloop fit run.toml --run-dir run <&- >&- 2>&-"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, check=False, timeout=120)
    assert done.returncode == 0
    assert [row.get("event") for row in read_timeline(tmp_path / "run")][-1] == "end"


# Warnings.


def test_a_threshold_warns_once_and_again_after_it_was_back(monitored, driver, caplog):
    class Heat:
        @hookimpl
        def on_step_end(self, run):
            driver.fake_temperature(0, 90 if run.step < 15 or run.step > 25 else 60)

    caplog.set_level(logging.INFO, "hookloop.monitor")
    _, rows = monitored(Heat(), steps=40, warn={"system/gpu0/temperature_celsius": "> 85"})
    texts = [row["text"] for row in rows if row.get("event") in ("warning", "back")]
    beyond, back = (
        "system/gpu0/temperature_celsius is 90, > 85",
        "system/gpu0/temperature_celsius is 60, no longer > 85",
    )
    assert texts == [beyond, back, beyond]
    warned = [record.getMessage() for record in caplog.records if "> 85" in record.getMessage()]
    assert warned[0].startswith(f"monitor: {beyond}, at step ")
    assert len(warned) == 3


def test_a_threshold_of_what_was_never_read_is_told_at_the_end(monitored, no_driver, caplog):
    monitored(warn={"system/memory_percen": "> 99"})
    assert "nothing was read under 'system/memory_percen'. Did you mean 'system/memory_percent'?" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warn": {"system/load_1_minute": "85"}}, "must be one of >, >=, <, <= and a number"),
        ({"warn": {"load": "> 85"}}, "must begin with 'system/'"),
        ({"interval_seconds": 0.01}, "a number of at least 0.1"),
        ({"statistics": []}, "at least 1"),
        ({"gpus": "mine"}, "'own', 'visible', 'all' or 'none'"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(tiny_run, options, message):
    with pytest.raises(ConfigError, match=message):
        tiny_run([("monitor", options)])


def test_two_monitors_do_not_write_one_file(tiny_run):
    with pytest.raises(PluginHookError, match=r"two plugins write system\.jsonl") as caught:
        tiny_run(["monitor", ("second", {"use": "monitor"})])
    assert "timeline = false" in str(caught.value)


# Ends.


def test_the_end_says_peak_memory_mean_utilisation_and_energy(monitored, driver, caplog):
    class Work:
        @hookimpl
        def on_step_end(self, run):
            driver.fake_energy(0, 5_000_000 + run.step * 360_000)
            driver.fake_used(0, (1 + (run.step == 10) * 3) << 30)
            time.sleep(0.12 if run.step == 10 else 0)

    caplog.set_level(logging.INFO, "hookloop.monitor")
    _, rows = monitored(Work())
    line = next(message for message in caplog.messages if "gpu0, Fake A" in message)
    assert "mean utilisation 10%" in line
    assert "peak memory 4 of 8 GiB" in line
    assert "peak temperature 40 °C" in line
    assert "energy 2." in line
    summary = events(rows, "end")[0]["summary"]
    assert summary["system/gpu0/memory_used_bytes/max"] == 4 << 30
    assert 2 < summary["system/energy_wh"] <= 2.5
    assert any("this process" in message for message in caplog.messages)


class Explode:
    def __init__(self, error):
        self.error = error

    @hookimpl
    def on_step_end(self, run):
        if run.step == 8:
            raise self.error


@pytest.mark.parametrize("error", [ValueError("boom"), KeyboardInterrupt()], ids=["exception", "interrupt"])
def test_no_thread_is_left_however_the_run_ends(tiny_run, driver, error):
    directory = tiny_run.directory / "run"
    with pytest.raises((PluginHookError, KeyboardInterrupt)):
        tiny_run([("monitor", {"interval_seconds": 0.1}), Explode(error)], steps=20, run_dir=directory)
    assert sampler_threads() == []
    assert driver.fake_opened() == 0
    end = json.loads((directory / "system.jsonl").read_text().splitlines()[-1])
    assert end["outcome"] == ("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")


def test_a_run_that_fails_before_the_monitor_started_ends_quietly(tiny_run, driver):
    class Early:
        before = ("monitor",)

        @hookimpl
        def on_ready(self):
            raise ValueError

    with pytest.raises(PluginHookError):
        tiny_run(["monitor", Early()])
    assert sampler_threads() == []


def test_one_instance_can_be_used_for_run_after_run(tiny_run, no_driver):
    plugin = Monitor(Monitor.Config(interval_seconds=0.1))
    for _ in range(2):
        assert tiny_run([("monitor", plugin)]).outcome == "completed"
    assert sampler_threads() == []


def test_a_disk_that_is_full_ends_the_timeline_and_not_the_run(tiny_run, no_driver, caplog):
    class Full:
        before = ("monitor",)

        @hookimpl
        def on_run_start(self, run):
            (run.directory / "system.jsonl").symlink_to("/dev/full")

    assert tiny_run([("monitor", {"interval_seconds": 0.1}), Full()]).outcome == "completed"
    assert caplog.text.count("system.jsonl cannot be written, and ends here") == 1


def test_a_resumed_run_goes_on_with_the_timeline(tiny_run, no_driver, read_timeline):
    class Resumed:
        before = ("monitor",)

        @hookimpl
        def on_run_start(self, run):
            run.attempt = 1

    directory = tiny_run.directory / "run"
    tiny_run(["monitor"], run_dir=directory)
    with (directory / "system.jsonl").open("a") as file:
        file.write('{"torn')
    tiny_run(["monitor", Resumed()], run_dir=directory, overwrite=True)
    assert len(events(read_timeline(directory), "start")) == 2
    tiny_run(["monitor"], run_dir=directory, overwrite=True)
    assert len(events(read_timeline(directory), "start")) == 1


# Several processes of a machine.


def test_another_rank_of_the_machine_reads_only_itself(tiny_run, driver, monkeypatch):
    class SecondRank:
        before = ("monitor",)

        @hookimpl
        def on_run_start(self, run):
            run.rank = 1
            monkeypatch.setenv("LOCAL_RANK", "1")
            monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")

    result = tiny_run(["monitor", SecondRank()])
    assert driver.fake_calls() == 0
    rows = [json.loads(line) for line in (result.directory / "system.rank1.jsonl").read_text().splitlines()]
    (sample, *_) = samples(rows)
    assert "system/process/rss_bytes" in sample
    assert "system/memory_used_bytes" not in sample


def test_the_place_of_a_process_is_what_its_launcher_says(tiny_run):
    seen = []

    class Look:
        @hookimpl
        def on_ready(self, run):
            seen.append(place_of(run, {"LOCAL_RANK": "3", "LOCAL_WORLD_SIZE": "x"}))

    tiny_run([Look()])
    assert seen == [Place(local_rank=3, local_world_size=1)]

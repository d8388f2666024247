"""Readings of machine, process and workers, against /proc and against what was done."""

import multiprocessing
import os
import time
from pathlib import Path

import psutil
import pytest

from hookloop_monitor.cgroup import Limits
from hookloop_monitor.host import HostReader, busy_and_all
from hookloop_monitor.processes import ProcessReader, WorkerReader

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
TICKS = os.sysconf("SC_CLK_TCK")
MIB = 2**20


def burn(cpu_seconds):
    end = time.process_time() + cpu_seconds
    while time.process_time() < end:
        pass


def proc_cpu_seconds():
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def proc_memory():
    pairs = (line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}


@linux
def test_the_cpu_of_the_process_is_what_it_burned():
    reader = ProcessReader()
    begun, before = time.monotonic(), proc_cpu_seconds()
    reader.read(begun)
    burn(0.6)
    time.sleep(0.2)
    ended, after = time.monotonic(), proc_cpu_seconds()
    percent = reader.read(ended)["process/cpu_percent"]
    assert percent == pytest.approx(100 * (after - before) / (ended - begun), abs=100 * 3 / TICKS)
    assert percent * (ended - begun) / 100 == pytest.approx(0.6, abs=0.1)


@linux
def test_the_memory_of_the_process_is_that_of_proc_and_grows_by_what_it_takes():
    reader = ProcessReader()
    before = reader.read(0.0)["process/rss_bytes"]
    block = bytearray(b"x" * 64 * MIB)
    after = reader.read(1.0)["process/rss_bytes"]
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert after == pytest.approx(resident, abs=2 * MIB)
    assert after - before == pytest.approx(len(block), abs=8 * MIB)


@linux
def test_the_cpu_of_the_machine_is_that_of_proc(tmp_path):
    def proc():
        fields = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        whole = sum(fields[:8])
        return whole - fields[3] - fields[4], whole

    reader = HostReader(tmp_path, limits=Limits())
    before = proc()
    reader.read(0.0)
    burn(0.5)
    percent = reader.read(1.0)["cpu_percent"]
    after = proc()
    assert percent == pytest.approx(100 * (after[0] - before[0]) / (after[1] - before[1]), abs=6)


@linux
def test_the_memory_of_the_machine_is_that_of_proc(tmp_path):
    values, proc = HostReader(tmp_path, limits=Limits()).read(0.0), proc_memory()
    assert values["memory_total_bytes"] == proc["MemTotal"]
    assert values["memory_available_bytes"] == pytest.approx(proc["MemAvailable"], abs=256 * MIB)
    assert values["swap_total_bytes"] == proc["SwapTotal"]


def test_rates_are_absent_in_the_first_reading_and_never_zero(tmp_path):
    reader = HostReader(tmp_path, per_core=True)
    first = reader.read(0.0)
    assert not any(name.endswith(("cpu_percent", "per_second")) for name in first)
    seen = set()
    for second in range(1, 100):  # the clock of a core that rests may stand for a while
        time.sleep(0.1)
        seen |= reader.read(float(second)).keys()
        if {"cpu_percent", "cpu0_percent"} <= seen:
            break
    assert {"cpu_percent", "cpu0_percent"} <= seen


def test_network_and_disk_are_rates(tmp_path):
    reader = HostReader(tmp_path)
    reader.read(0.0)
    values = reader.read(1.0)
    if psutil.disk_io_counters() is not None:
        assert values["disk_written_bytes_per_second"] >= 0
    if any(name not in ("lo", "lo0") for name in psutil.net_io_counters(pernic=True)):
        assert values["network_received_bytes_per_second"] >= 0
    assert values["disk_free_bytes"] == pytest.approx(psutil.disk_usage(str(tmp_path)).free, rel=0.05)


def test_a_guests_time_is_not_counted_twice():
    times = {"user": 5.0, "idle": 3.0, "iowait": 2.0, "guest": 1.0}
    assert busy_and_all(times) == (5.0, 10.0)


# Workers.


def work(started, block_bytes):
    block = bytearray(b"x" * block_bytes)
    started.set()
    while block:
        burn(0.05)


def test_workers_are_summed_up_and_absent_when_they_are_gone():
    reader = WorkerReader()
    assert not any(name.startswith("workers/") for name in reader.read(0.0))
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    started = context.Event()
    worker = context.Process(target=work, args=(started, 32 * MIB))
    worker.start()
    try:
        started.wait(30)
        assert "workers/count" not in reader.read(0.5)
        reader.look_again()
        begun = time.monotonic()
        first = reader.read(begun)
        time.sleep(0.5)
        second = reader.read(time.monotonic())
        assert reader.pids() == {os.getpid(), worker.pid}
    finally:
        worker.kill()
        worker.join()
    assert first["workers/count"] == 1
    assert first["workers/rss_bytes"] > 32 * MIB
    assert "workers/cpu_percent" not in first
    assert 10 < second["workers/cpu_percent"] < 130
    assert "workers/count" not in reader.read(time.monotonic() + 1)
    assert "workers/count" not in reader.read(time.monotonic() + 20)


# Containers.


def test_inside_limits_memory_and_cpu_are_those_of_the_container(tmp_path):
    (tmp_path / "memory.current").write_text(f"{300 * MIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {100 * MIB}\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 1000000\n")
    limits = Limits(400 * MIB, (tmp_path, 2), 0.5, (tmp_path, 2))
    reader = HostReader(tmp_path, limits=limits)
    first = reader.read(0.0)
    (tmp_path / "cpu.stat").write_text("usage_usec 1250000\n")
    second = reader.read(1.0)
    assert first["memory_used_bytes"] == 200 * MIB
    assert first["memory_total_bytes"] == 400 * MIB
    assert first["memory_percent"] == 50
    assert first["cpu_limit_cores"] == 0.5
    assert second["cpu_percent"] == pytest.approx(50)


def unreadable(*given, **named):
    raise FileNotFoundError("/proc/gone")


PARTS = {
    "cpu_times": ("the CPU", "load_1_minute"),
    "virtual_memory": ("the memory", "load_1_minute"),
    "swap_memory": ("the swap", "memory_percent"),
    "disk_usage": ("the disk", "memory_percent"),
    "disk_io_counters": ("the disks' traffic", "disk_free_bytes"),
    "net_io_counters": ("the network", "disk_free_bytes"),
    "getloadavg": ("the load", "disk_free_bytes"),
}


@pytest.mark.parametrize("function", PARTS)
def test_a_part_that_a_container_hides_leaves_the_others(tmp_path, monkeypatch, function):
    monkeypatch.setattr(psutil, function, unreadable)
    failed = []
    reader = HostReader(tmp_path, limits=Limits(), failed=lambda name, error: failed.append(name))
    values = reader.read(0.0)
    hidden, still_there = PARTS[function]
    assert failed == [hidden]
    assert still_there in values


def test_a_machine_that_shows_no_disk_has_no_traffic(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    reader = HostReader(tmp_path)
    reader.read(0.0)
    assert not any("disk_read" in name or "disk_written" in name for name in reader.read(1.0))


def test_a_machine_without_network_cards_but_the_loopback_has_no_traffic(tmp_path, monkeypatch):
    counters = psutil.net_io_counters(pernic=True)
    monkeypatch.setattr(psutil, "net_io_counters", lambda pernic: {"lo": next(iter(counters.values()))})
    reader = HostReader(tmp_path)
    reader.read(0.0)
    assert not any("network" in name for name in reader.read(1.0))


def test_a_group_without_statistics_leaves_the_figures_of_the_machine(tmp_path):
    limits = Limits(400 * MIB, (tmp_path, 2), 0.5, (tmp_path, 2))
    values = HostReader(tmp_path, limits=limits).read(0.0)
    assert values["memory_total_bytes"] == psutil.virtual_memory().total
    assert "cpu_limit_cores" not in values

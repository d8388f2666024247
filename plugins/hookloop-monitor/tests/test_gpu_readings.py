"""Cards through the true pynvml binding and a library that says what it is told to."""

import logging
import os

import pynvml
import pytest

from hookloop_monitor.cards import Card
from hookloop_monitor.gpu import CardReader, EnergyMeter, GpuReader, available
from hookloop_monitor.metrics import METRICS
from hookloop_monitor.notices import Notices
from hookloop_monitor.opening import open_gpus
from hookloop_monitor.visible import Place

GIB = 2**30


def opened(environ=None, choice="own", place=None, **more):
    said = []
    reader = open_gpus(choice, place or Place(), environ or {}, Notices(said.append), **more)
    return reader, said


@pytest.fixture
def reader(driver):
    reader, said = opened()
    reader.said = said
    yield reader
    if driver.fake_opened():
        reader.close()


def test_every_reading_is_in_the_unit_of_its_name(reader):
    first = {name.removeprefix("gpu0/"): v for name, v in reader.read(0.0, slow=True).items() if "gpu0/" in name}
    assert first == {
        "utilization_percent": 10,
        "memory_utilization_percent": 5,
        "memory_used_bytes": GIB,
        "memory_free_bytes": 6.5 * GIB,
        "memory_total_bytes": 8 * GIB,
        "memory_percent": 12.5,
        "power_watts": 100,
        "power_limit_watts": 300,
        "temperature_celsius": 40,
        "sm_clock_mhz": 1410,
        "memory_clock_mhz": 1215,
        "fan_percent": 30,
        "pcie_sent_bytes_per_second": 1000 * 1024,
        "pcie_received_bytes_per_second": 2000 * 1024,
        "throttled_by_power": 0,
        "throttled_by_heat": 0,
        "throttled_by_hardware": 0,
        "ecc_corrected_errors": 3,
        "ecc_uncorrected_errors": 0,
        "energy_wh": 0,
    }


def test_both_cards_are_read_with_their_own_values(reader):
    values = reader.read(0.0)
    assert (values["gpu0/utilization_percent"], values["gpu1/utilization_percent"]) == (10, 50)
    assert (values["gpu0/power_watts"], values["gpu1/power_watts"]) == (100, 200)


def test_slow_metrics_are_read_only_when_asked_for(reader):
    names = {name.partition("/")[2] for name in reader.read(0.0, slow=False)}
    assert "temperature_celsius" in names
    assert not names & {"fan_percent", "sm_clock_mhz", "pcie_sent_bytes_per_second", "ecc_corrected_errors"}


def test_processes_are_never_asked_for_without_being_requested(reader, driver):
    driver.fake_fail(b"nvmlDeviceGetComputeRunningProcesses_v3", -1, pynvml.NVML_ERROR_GPU_IS_LOST, 0)
    reader.read(0.0, slow=True)
    assert reader.said == []


def test_processes_on_request(driver):
    driver.fake_user(os.getpid())
    driver.fake_user(1)
    reader, _ = opened(pids=lambda: {os.getpid()})
    values = reader.read(0.0, slow=True)
    assert (values["gpu0/processes"], values["gpu0/own_memory_bytes"]) == (2, GIB / 4)
    reader.close()


def test_processes_of_another_namespace_leave_the_own_memory_absent(driver):
    driver.fake_user(1)
    reader, _ = opened(pids=lambda: {os.getpid()})
    values = reader.read(0.0, slow=True)
    assert values["gpu0/processes"] == 1
    assert "gpu0/own_memory_bytes" not in values
    reader.close()


def test_throttle_reasons_tell_trouble_from_idleness(reader, driver):
    driver.fake_reasons(0, 0x20)
    driver.fake_reasons(1, 0x4 | 0x1)
    values = reader.read(0.0, slow=True)
    assert (values["gpu0/throttled_by_heat"], values["gpu0/throttled_by_power"]) == (1, 0)
    assert (values["gpu1/throttled_by_heat"], values["gpu1/throttled_by_power"]) == (0, 1)


# What cannot be read.


def test_an_unsupported_metric_is_said_once_absent_and_asked_for_no_more(reader, driver, caplog):
    driver.fake_fail(b"nvmlDeviceGetFanSpeed", 0, pynvml.NVML_ERROR_NOT_SUPPORTED, 0)
    driver.fake_fail(b"nvmlDeviceGetTotalEccErrors", 0, pynvml.NVML_ERROR_NOT_SUPPORTED, 0)
    caplog.set_level(logging.INFO, "hookloop.monitor")
    for second in range(3):
        values = reader.read(second, slow=True)
        assert "gpu0/fan_percent" not in values
        assert values["gpu1/fan_percent"] == 30
        assert values["gpu0/temperature_celsius"] == 40
    assert reader.said == ["gpu0 (Fake A) does not give fan, ECC errors: not supported"]
    assert len(caplog.records) == 1


def test_a_missing_permission_is_a_warning(reader, driver, caplog):
    driver.fake_fail(b"nvmlDeviceGetPowerUsage", -1, pynvml.NVML_ERROR_NO_PERMISSION, 0)
    values = [reader.read(second) for second in range(2)]
    assert not any("power" in name for name in values[1])
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "Insufficient Permissions" in reader.said[0]


def test_a_card_that_falls_off_the_bus_is_said_once_and_the_other_goes_on(reader, driver):
    driver.fake_fail(b"*", 1, pynvml.NVML_ERROR_GPU_IS_LOST, 0)
    for second in range(3):
        values = reader.read(second)
        assert values["gpu0/power_watts"] == 100
        assert not any(name.startswith("gpu1/") for name in values)
    assert reader.said == ["gpu1 (Fake A) is lost, and read no more: GPU is lost"]


def test_a_lost_card_is_left_alone(reader, driver):
    driver.fake_fail(b"*", -1, pynvml.NVML_ERROR_GPU_IS_LOST, 0)
    reader.read(0.0)
    before = driver.fake_calls()
    assert reader.read(1.0) == {}
    assert driver.fake_calls() == before


def test_a_card_that_does_not_answer_for_a_while_is_asked_again(reader, driver):
    driver.fake_fail(b"*", 0, pynvml.NVML_ERROR_UNKNOWN, 0)
    assert not any(name.startswith("gpu0/") for name in reader.read(0.0))
    driver.fake_mend()
    answers = ["gpu0/power_watts" in reader.read(second) for second in range(1, 5)]
    assert answers == [False, True, True, True]
    assert len(reader.said) == 1


def test_the_rests_of_a_card_that_does_not_answer_grow(reader, driver):
    driver.fake_fail(b"*", 0, pynvml.NVML_ERROR_TIMEOUT, 0)
    driver.fake_fail(b"*", 1, pynvml.NVML_ERROR_GPU_IS_LOST, 0)
    asked = []
    for second in range(16):
        before = driver.fake_calls()
        reader.read(second)
        asked.append(driver.fake_calls() > before)
    assert [second for second, was in enumerate(asked) if was] == [0, 2, 5, 10]


def test_a_value_that_is_not_available_is_absent(reader, driver):
    driver.fake_used(0, 2**64 - 1)
    driver.fake_power(0, 2**32 - 1)
    driver.fake_energy(0, 2**64 - 1)
    values = reader.read(0.0)
    assert not {"gpu0/memory_used_bytes", "gpu0/memory_percent", "gpu0/power_watts", "gpu0/energy_wh"} & values.keys()
    assert not available(float("nan"))


def test_an_old_driver_without_the_newer_functions_is_read_by_the_older_ones(reader, driver):
    missing = pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
    driver.fake_fail(b"nvmlDeviceGetMemoryInfo_v2", -1, missing, 0)
    driver.fake_fail(b"nvmlDeviceGetTemperatureV", -1, missing, 0)
    values = reader.read(0.0)
    assert (values["gpu0/memory_used_bytes"], values["gpu0/temperature_celsius"]) == (GIB, 40)
    assert reader.said == []


def test_a_binding_without_a_function_is_a_metric_that_is_not_supported(reader, monkeypatch):
    monkeypatch.delattr(pynvml, "nvmlDeviceGetPcieThroughput")
    reader.read(0.0, slow=True)
    assert "gpu0 (Fake A) does not give PCIe throughput: not supported" in reader.said


# Opening and closing.


def test_nvml_is_given_back(driver):
    reader, _ = opened()
    assert driver.fake_opened() == 1
    reader.close()
    assert driver.fake_opened() == 0


def test_nvml_that_has_died_can_be_closed(driver):
    reader, _ = opened()
    driver.fake_fail(b"*", -1, pynvml.NVML_ERROR_UNINITIALIZED, 0)
    reader.close()


def test_nvml_is_given_back_when_the_cards_cannot_be_listed(driver):
    driver.fake_fail(b"nvmlDeviceGetCount_v2", -1, pynvml.NVML_ERROR_UNKNOWN, 0)
    with pytest.raises(pynvml.NVMLError):
        opened()
    assert driver.fake_opened() == 0


@pytest.mark.parametrize(("index", "level"), [(None, "INFO"), (0, "WARNING")])
def test_no_driver_is_a_warning_only_to_who_trains_on_a_card(no_driver, caplog, index, level):
    caplog.set_level(logging.INFO, "hookloop.monitor")
    assert opened(place=Place(device_index=index))[0] is None
    assert [record.levelname for record in caplog.records] == [level]
    assert "no GPU is read" in caplog.text


def test_the_driver_says_why_it_does_not_start(driver):
    driver.fake_fail(b"nvmlInitWithFlags", -1, pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, 0)
    assert opened()[1][0].startswith("no GPU is read: NVML does not start")


def test_a_machine_without_the_library(driver):
    driver.fake_fail(b"nvmlInitWithFlags", -1, pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, 0)
    assert opened()[1] == ["no GPU is read: there is no NVIDIA driver on this machine"]


# Energy.


def test_energy_is_the_difference_of_the_cards_own_count(reader, driver):
    reader.read(0.0)
    driver.fake_energy(0, 5_000_000 + 3_600_000)
    assert reader.read(10.0)["gpu0/energy_wh"] == 1.0


def test_without_a_count_energy_is_summed_up_from_power(reader, driver):
    driver.fake_fail(b"nvmlDeviceGetTotalEnergyConsumption", -1, pynvml.NVML_ERROR_NOT_SUPPORTED, 0)
    reader.read(0.0)
    driver.fake_power(0, 300_000)
    assert reader.read(36.0)["gpu0/energy_wh"] == pytest.approx(200 * 36 / 3600)


def test_a_count_that_was_set_back_keeps_what_was_used():
    meter = EnergyMeter()
    watt_hours = [meter.add({"energy_joules": joules}, 0.0) for joules in (7200, 10800, 0, 3600)]
    assert watt_hours == [0, 1, 1, 2]


def test_a_reader_of_no_cards_reads_nothing(driver):
    closed = []
    reader = GpuReader(pynvml, [], closed.append)
    assert reader.read(0.0) == {}
    reader.close()
    assert closed == [pynvml]


def test_a_card_of_which_nothing_is_asked_gives_nothing():
    card = Card("gpu0", None, None, "name", "GPU-0")
    assert CardReader(pynvml, card, (), Notices()).read(0.0, slow=True) == {}
    assert len({metric.name for metric in METRICS}) == len(METRICS)

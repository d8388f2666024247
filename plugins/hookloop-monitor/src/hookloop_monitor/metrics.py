"""What is read of a card: a function for each call of NVML, which gives names and values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from hookloop_monitor.cards import Card
from hookloop_monitor.nvml import ABSENT, FUNCTION_NOT_FOUND, error_code

Reading = Mapping[str, float | None]

# Bits of the reasons for which a card runs slower than it could; idleness and clocks that a user chose are no trouble.
POWER, HEAT, HARDWARE = 0x04 | 0x80, 0x20 | 0x40, 0x08
PCIE_SENT, PCIE_RECEIVED = 0, 1
CLOCK_SM, CLOCK_MEMORY = 1, 2
ECC_CORRECTED, ECC_UNCORRECTED, ECC_SINCE_START = 0, 1, 0
SENSOR = 0


@dataclass(frozen=True)
class Metric:
    """One call of NVML: what to call it in a message, how to make it, and whether it is among the slow ones."""

    name: str
    read: Callable[[Any, Card], Reading]
    slow: bool = False


def scaled(value: int, factor: float) -> float | None:
    """Return *value* in another unit, None where NVML says that there is none."""
    return None if value in ABSENT else value * factor


def utilization(nvml: Any, card: Card) -> Reading:
    """Return how much of the last sample period the card, and its memory's bus, were in use."""
    rates = nvml.nvmlDeviceGetUtilizationRates(card.handle)
    return {"utilization_percent": rates.gpu, "memory_utilization_percent": rates.memory}


def memory(nvml: Any, card: Card) -> Reading:
    """Return the memory without what the driver keeps for itself, as nvidia-smi shows it."""
    try:
        info = nvml.nvmlDeviceGetMemoryInfo(card.handle, version=nvml.nvmlMemory_v2)
    except nvml.NVMLError as error:
        if error_code(error) != FUNCTION_NOT_FOUND:
            raise
        info = nvml.nvmlDeviceGetMemoryInfo(card.handle)
    return {"memory_used_bytes": info.used, "memory_free_bytes": info.free, "memory_total_bytes": info.total}


def power(nvml: Any, card: Card) -> Reading:
    """Return the power that the board draws."""
    return {"power_watts": scaled(nvml.nvmlDeviceGetPowerUsage(card.board), 1e-3)}


def energy(nvml: Any, card: Card) -> Reading:
    """Return the energy that the board has used since the driver was loaded."""
    return {"energy_joules": scaled(nvml.nvmlDeviceGetTotalEnergyConsumption(card.board), 1e-3)}


def temperature(nvml: Any, card: Card) -> Reading:
    """Return the temperature of the chip."""
    try:
        return {"temperature_celsius": nvml.nvmlDeviceGetTemperatureV(card.board, SENSOR)}
    except (nvml.NVMLError, AttributeError) as error:
        if isinstance(error, nvml.NVMLError) and error_code(error) != FUNCTION_NOT_FOUND:
            raise
        return {"temperature_celsius": nvml.nvmlDeviceGetTemperature(card.board, SENSOR)}


def power_limit(nvml: Any, card: Card) -> Reading:
    """Return the power that the board may draw."""
    return {"power_limit_watts": scaled(nvml.nvmlDeviceGetEnforcedPowerLimit(card.board), 1e-3)}


def sm_clock(nvml: Any, card: Card) -> Reading:
    """Return the clock of the multiprocessors."""
    return {"sm_clock_mhz": nvml.nvmlDeviceGetClockInfo(card.board, CLOCK_SM)}


def memory_clock(nvml: Any, card: Card) -> Reading:
    """Return the clock of the memory."""
    return {"memory_clock_mhz": nvml.nvmlDeviceGetClockInfo(card.board, CLOCK_MEMORY)}


def fan(nvml: Any, card: Card) -> Reading:
    """Return the speed of the fan, in parts of its highest."""
    return {"fan_percent": nvml.nvmlDeviceGetFanSpeed(card.board)}


def pcie(nvml: Any, card: Card) -> Reading:
    """Return what went over the bus: NVML counts for 20 ms, in kilobytes a second."""
    sent = nvml.nvmlDeviceGetPcieThroughput(card.board, PCIE_SENT)
    received = nvml.nvmlDeviceGetPcieThroughput(card.board, PCIE_RECEIVED)
    return {"pcie_sent_bytes_per_second": scaled(sent, 1024), "pcie_received_bytes_per_second": scaled(received, 1024)}


def throttle(nvml: Any, card: Card) -> Reading:
    """Return 1 for each reason for which the card runs slower than it could, else 0."""
    reasons = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(card.board)
    bits = {"throttled_by_power": POWER, "throttled_by_heat": HEAT, "throttled_by_hardware": HARDWARE}
    return {name: float(bool(reasons & mask)) for name, mask in bits.items()}


def ecc(nvml: Any, card: Card) -> Reading:
    """Return the errors of the memory since the driver was loaded."""
    kinds = {"ecc_corrected_errors": ECC_CORRECTED, "ecc_uncorrected_errors": ECC_UNCORRECTED}
    return {name: nvml.nvmlDeviceGetTotalEccErrors(card.board, kind, ECC_SINCE_START) for name, kind in kinds.items()}


METRICS = (
    Metric("utilization", utilization),
    Metric("memory", memory),
    Metric("power", power),
    Metric("energy", energy),
    Metric("temperature", temperature),
    Metric("power limit", power_limit, slow=True),
    Metric("SM clock", sm_clock, slow=True),
    Metric("memory clock", memory_clock, slow=True),
    Metric("fan", fan, slow=True),
    Metric("PCIe throughput", pcie, slow=True),
    Metric("throttle reasons", throttle, slow=True),
    Metric("ECC errors", ecc, slow=True),
)


def processes(pids: Callable[[], Collection[int]]) -> Metric:
    """Return the metric of what the processes *pids* use of a card; the query takes milliseconds.

    In a container NVML may number processes as the machine does; then none of them is ours, and nothing is known.
    """

    def read(nvml: Any, card: Card) -> Reading:
        users, ours = nvml.nvmlDeviceGetComputeRunningProcesses(card.handle), pids()
        used = [each.usedGpuMemory for each in users if each.pid in ours]
        total = sum(used) if used and None not in used else None
        return {"processes": len(users), "own_memory_bytes": total}

    return Metric("processes", read, slow=True)

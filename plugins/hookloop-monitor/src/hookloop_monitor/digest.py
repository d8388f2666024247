"""What a whole run came to: peak memory, mean utilisation, energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hookloop_monitor.window import Spread

GIB = 2**30


def digest(spreads: Mapping[str, Spread], labels: Mapping[str, str]) -> list[str]:
    """Return lines for people; *spreads* are those of the whole run, *labels* the cards' label → name."""
    lines = [join("this machine", host_facts(spreads)), join("this process", process_facts(spreads))]
    lines += [join(f"{label}, {name}", card_facts(spreads, f"system/{label}/")) for label, name in labels.items()]
    return [line for line in lines if line]


def join(subject: str, facts: Sequence[str]) -> str:
    """Return one line; an empty one without facts."""
    return f"{subject}: {', '.join(facts)}" if facts else ""


def host_facts(spreads: Mapping[str, Spread]) -> list[str]:
    """Return what is to be said of the machine."""
    return [
        *mean(spreads, "system/cpu_percent", "CPU", "%"),
        *peak_bytes(spreads, "system/memory_used_bytes", "memory", "system/memory_total_bytes"),
    ]


def process_facts(spreads: Mapping[str, Spread]) -> list[str]:
    """Return what is to be said of the process, its workers, and its part of the device's memory."""
    return [
        *mean(spreads, "system/process/cpu_percent", "CPU", "% of a core"),
        *peak_bytes(spreads, "system/process/rss_bytes", "memory"),
        *peak_bytes(spreads, "system/workers/rss_bytes", "memory of its workers"),
        *peak_bytes(spreads, "system/allocator/peak_allocated_bytes", "memory allocated on the device"),
    ]


def card_facts(spreads: Mapping[str, Spread], prefix: str) -> list[str]:
    """Return what is to be said of a card."""
    energy = spreads.get(prefix + "energy_wh")
    return [
        *mean(spreads, prefix + "utilization_percent", "utilisation", "%"),
        *peak_bytes(spreads, prefix + "memory_used_bytes", "memory", prefix + "memory_total_bytes"),
        *peak(spreads, prefix + "temperature_celsius", "temperature", " °C"),
        *mean(spreads, prefix + "power_watts", "power", " W"),
        *([] if energy is None else [f"energy {energy.last:.3g} Wh"]),
    ]


def mean(spreads: Mapping[str, Spread], name: str, noun: str, unit: str) -> list[str]:
    """Return the mean of a metric, when it was read at all."""
    return [f"mean {noun} {spreads[name].mean:.3g}{unit}"] if name in spreads else []


def peak(spreads: Mapping[str, Spread], name: str, noun: str, unit: str) -> list[str]:
    """Return the highest value of a metric, when it was read at all."""
    return [f"peak {noun} {spreads[name].max:.3g}{unit}"] if name in spreads else []


def peak_bytes(spreads: Mapping[str, Spread], name: str, noun: str, total: str = "") -> list[str]:
    """Return the highest value of a metric in GiB, and of how many."""
    if name not in spreads:
        return []
    of = f" of {spreads[total].last / GIB:.3g}" if total in spreads else ""
    return [f"peak {noun} {spreads[name].max / GIB:.3g}{of} GiB"]


def energy_wh(spreads: Mapping[str, Spread], labels: Mapping[str, str]) -> float | None:
    """Return the energy of all cards, or None when none of them tells."""
    known = [spreads[name].last for label in labels if (name := f"system/{label}/energy_wh") in spreads]
    return sum(known) if known else None

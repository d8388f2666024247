"""Which cards CUDA shows to this process, in which order: what ``CUDA_VISIBLE_DEVICES`` means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Choice = Literal["own", "visible", "all", "none"]

VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"


@dataclass(frozen=True)
class Place:
    """Where this process stands on its machine, and what CUDA told it of the cards that it sees.

    Attributes:
        local_rank, local_world_size: the number of this process on the machine, and how many there are.
        device_index: of the card that this process trains on, as CUDA counts; None when it is no CUDA card.
        uuids: of the cards that CUDA shows, in its order; empty where nobody can say without starting CUDA.
    """

    local_rank: int = 0
    local_world_size: int = 1
    device_index: int | None = None
    uuids: Sequence[str] = ()

    @property
    def shares_cards(self) -> bool:
        """Whether this process sees the cards of all of its machine's ranks, so that one can read for all."""
        return self.device_index is None or len(self.uuids) >= self.local_world_size

    def reads(self, choice: Choice) -> bool:
        """Return whether this process reads any cards."""
        if choice == "none":
            return False
        return self.local_rank == 0 or (choice != "all" and not self.shares_cards)

    def indices(self, choice: Choice, count: int) -> range:
        """Return which of *count* visible cards are read."""
        if choice != "own" or self.device_index is None:
            return range(count)
        if self.local_world_size > 1 and self.shares_cards:
            return range(min(count, self.local_world_size))
        return range(self.device_index, min(count, self.device_index + 1))


def visible_ids(environ: Mapping[str, str], count: int) -> list[str]:
    """Return the visible ones of *count* cards by number or UUID, in CUDA's order, by CUDA's rules.

    A list ends at the first entry that is no card; one that names a card twice shows none.
    """
    text = environ.get(VISIBLE)
    if text is None:
        return [str(index) for index in range(count)]
    ids: list[str] = []
    for entry in text.split(","):
        identifier = entry.strip()
        if not identifier.startswith(("GPU-", "MIG-")):
            # As strtoul reads it: digits, whatever comes behind.
            match = re.match(r"\+?(\d+)", identifier)
            if match is None or int(match[1]) >= count:
                break
            identifier = str(int(match[1]))
        ids.append(identifier)
    return ids if len(set(ids)) == len(ids) else []


def order_is_certain(environ: Mapping[str, str], names: Sequence[str]) -> bool:
    """Return whether CUDA numbers the cards of *names* as NVML does, which goes by the bus.

    CUDA puts the fastest first, unless it is told not to.
    """
    return environ.get(ORDER) == "PCI_BUS_ID" or len(set(names)) <= 1

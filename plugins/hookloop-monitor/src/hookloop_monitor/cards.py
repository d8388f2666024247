"""Finds the cards to read in NVML, which knows nothing of ``CUDA_VISIBLE_DEVICES``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hookloop_monitor.notices import Notices
from hookloop_monitor.visible import Choice, Place, order_is_certain, visible_ids

MIG_PREFIX, GPU_PREFIX = "MIG-", "GPU-"


@dataclass(frozen=True)
class Card:
    """A GPU, or the MIG instance of one.

    Attributes:
        label: what its metrics are called by, such as ``gpu0``: the number is CUDA's, or NVML's among all cards.
        handle: NVML's, of the instance if it is one. ``board``: of the GPU as a whole.
        name, uuid: as NVML gives them.
    """

    label: str
    handle: Any
    board: Any
    name: str
    uuid: str

    @property
    def is_instance(self) -> bool:
        """Whether this is a MIG instance, which has memory of its own and the rest in common with others."""
        return self.uuid.startswith(MIG_PREFIX)


def find_cards(nvml: Any, choice: Choice, place: Place, environ: Mapping[str, str], notices: Notices) -> list[Card]:
    """Return the cards to read, in the order of their labels; one that NVML does not give is told of and left out."""
    boards = dict(all_boards(nvml, notices))
    if choice == "all":
        return [make_card(nvml, f"gpu{index}", board) for index, board in boards.items()]
    uuids = {text(nvml.nvmlDeviceGetUUID(board)): board for board in boards.values()}
    ids = visible_ids(environ, max(boards, default=-1) + 1)
    if place.uuids:
        ids = [known(uuid, uuids) for uuid in place.uuids]
    elif any(each.isdecimal() for each in ids):
        names = [text(nvml.nvmlDeviceGetName(board)) for board in boards.values()]
        if not order_is_certain(environ, names):
            notices.say(
                "the cards differ, and CUDA may number them in another order than NVML does: "
                "set CUDA_DEVICE_ORDER=PCI_BUS_ID"
            )
    cards = []
    for index in place.indices(choice, len(ids)):
        try:
            cards.append(make_card(nvml, f"gpu{index}", find_handle(nvml, ids[index], boards, uuids)))
        except (nvml.NVMLError, LookupError) as error:
            notices.say(f"gpu{index} ({ids[index]}) is not read: {error}")
    return cards


def all_boards(nvml: Any, notices: Notices) -> Iterator[tuple[int, Any]]:
    """Yield number and handle of each GPU of the machine that answers."""
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            yield index, nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError as error:
            notices.say(f"GPU {index} of this machine does not answer: {error}")


def known(uuid: str, uuids: Mapping[str, Any]) -> str:
    """Return CUDA's *uuid*, which has no prefix, as NVML writes it: what is not a GPU is an instance of one."""
    bare = uuid.removeprefix(GPU_PREFIX).removeprefix(MIG_PREFIX)
    return GPU_PREFIX + bare if GPU_PREFIX + bare in uuids else MIG_PREFIX + bare


def find_handle(nvml: Any, identifier: str, boards: Mapping[int, Any], uuids: Mapping[str, Any]) -> Any:
    """Return the handle of a card by number, UUID, or the beginning of one; LookupError when that is no single one."""
    if identifier.isdecimal():
        return first_instance(nvml, boards[int(identifier)])
    if identifier.startswith(MIG_PREFIX):
        return nvml.nvmlDeviceGetHandleByUUID(identifier.encode())
    matches = [board for uuid, board in uuids.items() if uuid.startswith(identifier)]
    if len(matches) != 1:
        raise LookupError(f"{len(matches)} cards have a UUID that begins so")
    return first_instance(nvml, matches[0])


def first_instance(nvml: Any, board: Any) -> Any:
    """Return the handle of what CUDA uses of a GPU: the first instance when it is divided, else itself."""
    try:
        divided, _ = nvml.nvmlDeviceGetMigMode(board)
        return nvml.nvmlDeviceGetMigDeviceHandleByIndex(board, 0) if divided else board
    except nvml.NVMLError:
        return board


def make_card(nvml: Any, label: str, handle: Any) -> Card:
    """Return the card of *handle*, which may be that of an instance."""
    uuid = text(nvml.nvmlDeviceGetUUID(handle))
    board = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle) if uuid.startswith(MIG_PREFIX) else handle
    return Card(label, handle, board, text(nvml.nvmlDeviceGetName(handle)), uuid)


def text(value: str | bytes) -> str:
    """Return a text of NVML's, which was bytes in old versions of the binding."""
    return value.decode() if isinstance(value, bytes) else value

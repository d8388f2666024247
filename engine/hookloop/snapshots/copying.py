"""Rebuilding a state: a copy that training cannot change any more, or one that is compact enough for a file.

On the way every value is checked to be one that can be read back without running code. A state that cannot is found
when it is saved, by its place in the state, and not when a run is resumed from it.
"""

from __future__ import annotations

import io
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import torch

from hookloop.errors import SnapshotError
from hookloop.snapshots import shards

PLAIN = {type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size}
TENSOR_OVERHEAD_BYTES, STATE_OVERHEAD_BYTES = 512, 16 * 1024
Place = tuple[Any, ...]
TensorFunction = Callable[[torch.Tensor], torch.Tensor]


def copy_state(state: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of *state* on the CPU that later updates in place do not reach.

    Two names of one tensor stay two names of one; of a view only what it shows is copied, and of a tensor that is
    shared out among processes the part that this one holds. Raises SnapshotError, which
    names the place, for a value that could not be read back without running code.
    """
    copies = Copies()
    whole, parts = shards.separate(state)
    copied: dict[str, Any] = rebuild(whole, copies)
    copies.wait()
    return shards.put_back(copied, shards.copied(parts)) if parts else copied


def compact(value: Any) -> Any:
    """Return *value* with each view of a larger tensor copied: a file would hold all of the larger one."""
    copies = Copies(is_wanted=shows_a_part)
    compacted = rebuild(value, copies)
    copies.wait()
    return compacted


def size_of(state: dict[str, Any]) -> int:
    """Return about how many bytes *state* takes on disk. Raises SnapshotError as `copy_state` does."""
    sizes_bytes: dict[Hashable, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        sizes_bytes[identity(tensor)] = stored_bytes(tensor) + TENSOR_OVERHEAD_BYTES
        return tensor

    rebuild(state, note)
    return sum(sizes_bytes.values()) + STATE_OVERHEAD_BYTES


def stored_bytes(tensor: torch.Tensor) -> int:
    """Return how many bytes a file keeps of *tensor*; 0 where that is not known before it is written."""
    if tensor.layout != torch.strided or tensor.is_meta:
        return 0
    # What is expanded shows more than there is.
    return min(tensor.untyped_storage().nbytes(), tensor.numel() * tensor.element_size())


class Copies:
    """Copies tensors to the CPU, each one once. *is_wanted* tells which; the others are left as they are."""

    def __init__(self, is_wanted: Callable[[torch.Tensor], bool] = lambda _: True) -> None:
        self.is_wanted = is_wanted
        self.made: dict[Hashable, torch.Tensor] = {}
        self.devices: set[torch.device] = set()

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the copy of *tensor*."""
        if not self.is_wanted(tensor):
            return tensor
        key = identity(tensor)
        if key not in self.made:
            self.made[key] = self.copy(tensor)
        return self.made[key]

    def copy(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a new copy of *tensor*; from a CUDA device it is complete after `wait`."""
        source = tensor.detach()
        if source.is_cuda and source.layout == torch.strided:
            copied = torch.empty_like(source, device="cpu", pin_memory=True).copy_(source, non_blocking=True)
            self.devices.add(source.device)
        else:
            copied = source.clone() if source.device.type in ("cpu", "meta") else source.cpu()
        if isinstance(tensor, torch.nn.Parameter):
            return torch.nn.Parameter(copied, requires_grad=tensor.requires_grad)
        return copied.requires_grad_(tensor.requires_grad)

    def wait(self) -> None:
        """Return once all copies are complete."""
        for device in self.devices:
            torch.cuda.current_stream(device).synchronize()


def identity(tensor: torch.Tensor) -> Hashable:
    """Return what two names of one tensor have in common: a state dict makes a new object for each of them."""
    if tensor.layout != torch.strided or tensor.is_meta or not tensor.numel():
        return id(tensor)
    return (
        type(tensor),
        tensor.device,
        tensor.untyped_storage().data_ptr(),
        tensor.storage_offset(),
        tensor.shape,
        tensor.stride(),
        tensor.dtype,
        tensor.requires_grad,
        tensor.is_conj(),
        tensor.is_neg(),
    )


def shows_a_part(tensor: torch.Tensor) -> bool:
    """Return whether *tensor* is a view of a larger storage."""
    if tensor.layout != torch.strided or tensor.is_meta:
        return False
    return tensor.untyped_storage().nbytes() > tensor.numel() * tensor.element_size()


def rebuild(value: Any, tensor: TensorFunction, place: Place = ()) -> Any:
    """Return *value* with all containers made anew and *tensor* called for each tensor in it."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind in (torch.Tensor, torch.nn.Parameter):
        return tensor(value)
    if kind in (dict, OrderedDict, Counter):
        return rebuild_mapping(value, tensor, place)
    if kind in (list, tuple):
        return kind(
            each if type(each) in PLAIN else rebuild(each, tensor, (*place, index)) for index, each in enumerate(value)
        )
    if kind is set:
        return {rebuild(each, tensor, place) for each in value}
    return through_file(value, place)


def rebuild_mapping(value: Any, tensor: TensorFunction, place: Place) -> Any:
    """Return the mapping *value* anew, with what a state dict has as attribute: the versions of its modules."""
    for key in value:
        if type(key) not in PLAIN:
            rebuild(key, tensor, (*place, key))
    items = {key: rebuild(each, tensor, (*place, key)) for key, each in value.items()}
    if type(value) is dict:
        return items
    rebuilt = type(value)(items)
    if type(value) is OrderedDict:
        vars(rebuilt).update(rebuild_mapping(vars(value), tensor, place))
    return rebuilt


def through_file(value: Any, place: Place) -> Any:
    """Return *value* as it comes back from a file, which makes it a copy. Raises SnapshotError when it does not."""
    file = io.BytesIO()
    try:
        torch.save(value, file)
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the methods of an object of any class raise
        kind = type(value)
        raise SnapshotError(
            f"{describe(place)} is a {kind.__module__}.{kind.__qualname__}, which cannot be read back without running "
            "code: keep tensors, numbers, strings, and dicts, lists, tuples and sets of them in a state."
        ) from error


def describe(place: Place) -> str:
    """Return *place* as words: ``state['plugins']['ema']['state']``."""
    return "state" + "".join(f"[{key!r}]" for key in place)

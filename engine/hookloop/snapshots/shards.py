"""Tensors of which each process holds a part: taking them out of a state, and laying a state out as a run has them."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from hookloop.errors import SnapshotError

if TYPE_CHECKING:
    from hookloop.run import Run

KEYS = ("model", "optimizers")  # where a state may have such tensors
Place = tuple[Any, ...]
Swap = Callable[[Place, torch.Tensor], torch.Tensor]
Shards = dict[str, Any]  # key, as in model.0.weight, to DTensor
Counterpart = Callable[[Place], Any]  # the DTensor that a run has at a place, or None


def is_shard(value: object) -> bool:
    """Return whether *value* is a DTensor. Nobody can have made one without importing the module, which takes long."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(value, module.DTensor)


def walk(value: Any, swap: Swap, place: Place = ()) -> Any:
    """Return *value* with *swap* called for each tensor in its dicts, lists and tuples."""
    if isinstance(value, torch.Tensor):
        return swap(place, value)
    if type(value) in (dict, OrderedDict):
        walked = type(value)((key, walk(each, swap, (*place, key))) for key, each in value.items())
        if isinstance(value, OrderedDict):
            vars(walked).update(vars(value))  # a state dict has the versions of its modules there
        return walked
    if type(value) in (list, tuple):
        return type(value)(walk(each, swap, (*place, index)) for index, each in enumerate(value))
    return value


def is_sharded(state: Mapping[str, Any]) -> bool:
    """Return whether the model or an optimizer of *state* has tensors of which each process holds a part."""
    return any(shards_in({key: state[key]}) for key in KEYS if key in state)


def shards_in(state: Mapping[str, Any]) -> list[Place]:
    """Return the places of the DTensors in *state*."""
    places: list[Place] = []

    def note(place: Place, tensor: torch.Tensor) -> torch.Tensor:
        if is_shard(tensor):
            places.append(place)
        return tensor

    if "torch.distributed.tensor" in sys.modules:
        walk(dict(state), note)
    return places


def key_of(place: Place) -> str:
    """Return *place* as one name, ``optimizers.0.state.3.exp_avg``."""
    return ".".join(map(str, place))


def separate(state: Mapping[str, Any]) -> tuple[dict[str, Any], Shards]:
    """Return *state* with an empty tensor in the place of each DTensor, and these by name.

    Raises SnapshotError for one that cannot be saved so.
    """
    shards: Shards = {}
    if not shards_in(state):
        return dict(state), shards

    def take(place: Place, tensor: torch.Tensor) -> torch.Tensor:
        if not is_shard(tensor):
            return tensor
        check(place, tensor, shards)
        shards[key_of(place)] = tensor.detach()
        return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")

    return walk(dict(state), take), shards


def check(place: Place, tensor: Any, shards: Shards) -> None:
    """Raise SnapshotError, which names the *place*, for a DTensor that could not be put back there."""
    if place[0] not in KEYS:
        raise SnapshotError(
            f"state{''.join(f'[{each!r}]' for each in place)} is a DTensor, and only those of the model and its "
            "optimizers are saved in parts: let state_dict() give .full_tensor() of it."
        )
    if any(placement.is_partial() for placement in tensor.placements):
        raise SnapshotError(f"{key_of(place)} is a DTensor of sums that were not added up yet: reduce it first.")
    if key_of(place) in shards:
        raise SnapshotError(f"two DTensors of the state are called {key_of(place)}: rename one.")


def copied(shards: Shards) -> Shards:
    """Return copies on the CPU of the parts that this process holds."""
    return {key: each.clone() if each.device.type == "cpu" else each.to("cpu") for key, each in shards.items()}


def put_back(skeleton: Mapping[str, Any], shards: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `separate`."""

    def put(place: Place, tensor: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = shards.get(key_of(place), tensor) if tensor.is_meta else tensor
        return found

    restored: dict[str, Any] = walk(dict(skeleton), put)
    return restored


def counterparts(run: Run) -> Counterpart:
    """Return what finds the DTensor of *run* at a place; for the state of an optimizer, that of its parameter."""
    model = {name: each for name, each in run.model.state_dict().items() if is_shard(each)}
    optimized = [[each for group in optimizer.param_groups for each in group["params"]] for optimizer in run.optimizers]

    def find(place: Place) -> Any:
        if place[0] == "model":
            return model.get(place[1])
        if len(place) < 5 or place[2] != "state" or not place[1] < len(optimized):
            return None
        parameters = optimized[place[1]]
        found = parameters[place[3]] if place[3] < len(parameters) else None
        return found.detach() if found is not None and is_shard(found) else None

    return find


def lay_out(state: Mapping[str, Any], counterpart: Counterpart) -> dict[str, Any]:
    """Return *state* with whole tensors shared out where the run has a DTensor of that shape; nothing is sent."""

    def share(place: Place, tensor: torch.Tensor) -> torch.Tensor:
        own = counterpart(place)
        return shared(tensor, own) if own is not None and own.shape == tensor.shape else tensor

    return {key: walk(value, share, (key,)) if key in KEYS else value for key, value in state.items()}


def shared(tensor: torch.Tensor, own: Any) -> torch.Tensor:
    """Return the whole *tensor* as a DTensor of which each process holds the part that it holds of *own*."""
    if is_shard(tensor):
        return tensor
    cut: torch.Tensor = everywhere(tensor, own).redistribute(placements=own.placements)  # sends nothing
    return cut


def everywhere(tensor: torch.Tensor, own: Any) -> Any:
    """Return *tensor* as a DTensor of which each process of the mesh of *own* holds all."""
    from torch.distributed.tensor import DTensor, Replicate

    mesh = own.device_mesh
    return DTensor.from_local(tensor.to(own.device), mesh, [Replicate()] * mesh.ndim, run_check=False)

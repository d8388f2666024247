import collections
import enum
from pathlib import Path

import numpy as np
import pytest
import torch

from hookloop import SnapshotError, snapshots


def test_later_updates_in_place_do_not_reach_the_copy():
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.5)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optimizers": [optimizer.state_dict()], "log": {"rows": [1]}}
    copied = snapshots.copy_state(state)
    weight = copied["model"]["weight"].clone()
    momentum = copied["optimizers"][0]["state"][0]["exp_avg"].clone()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state["log"]["rows"].append(2)
    optimizer.param_groups[0]["lr"] = 0.0
    assert torch.equal(copied["model"]["weight"], weight)
    assert torch.equal(copied["optimizers"][0]["state"][0]["exp_avg"], momentum)
    assert not torch.equal(model.weight, weight)
    assert copied["log"]["rows"] == [1]
    assert copied["optimizers"][0]["param_groups"][0]["lr"] == 0.5


def test_two_names_of_one_tensor_stay_one_and_two_tensors_stay_two():
    tied = torch.nn.Linear(2, 2, bias=False)
    state = {"model": torch.nn.ModuleList([tied, tied]).state_dict(), "other": tied.weight.detach().clone()}
    copied = snapshots.copy_state(state)
    one, two = copied["model"].values()
    assert one is two
    assert one is not tied.weight
    assert copied["other"] is not one


def test_a_tensor_and_its_conjugate_stay_two():
    number = torch.tensor([1 + 2j])
    copied = snapshots.copy_state({"x": number, "y": number.conj()})
    assert copied["y"].item() == 1 - 2j


def test_of_a_view_only_what_it_shows_is_copied():
    large = torch.arange(1_000_000)
    copied = snapshots.copy_state({"view": large[5:8], "same": large[5:8], "next": large[6:9]})
    assert copied["view"].untyped_storage().nbytes() == 24
    assert copied["same"] is copied["view"]
    assert copied["next"].tolist() == [6, 7, 8]


def test_the_copy_has_neither_graph_nor_the_containers_of_the_original():
    parameter = torch.nn.Parameter(torch.ones(2))
    state = {
        "p": parameter,
        "list": [{"a": (1, [2])}],
        "set": {1},
        "bytes": bytearray(b"a"),
        "c": collections.Counter("a"),
    }
    copied = snapshots.copy_state(state)
    assert copied["p"].is_leaf
    assert copied["p"].requires_grad
    for key in ("list", "set", "bytes", "c"):
        assert copied[key] == state[key]
        assert copied[key] is not state[key]
    assert copied["list"][0]["a"][1] is not state["list"][0]["a"][1]


def test_the_versions_of_the_modules_in_a_state_dict_are_copied():
    state = torch.nn.Sequential(torch.nn.BatchNorm1d(2)).state_dict()
    copied = snapshots.copy_state({"model": state})["model"]
    assert copied._metadata == state._metadata
    assert copied._metadata is not state._metadata


class Colour(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [
        np.ones(2),
        np.float64(1.0),
        Colour.RED,
        Path("x"),
        range(3),
        collections.deque(),
        collections.defaultdict(list),
        frozenset(),
        len,
        torch.nn.Linear(1, 1),
        torch.Generator(),
        {Path("key"): 1},
        torch.__version__,
        (each for each in ()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_read_back_is_refused_with_its_place_and_type(value):
    with pytest.raises(
        SnapshotError, match=r"^state\['plugins'\]\['mine'\]\[0\](\[PosixPath\('key'\)\])? is a [\w.]+, which"
    ):
        snapshots.copy_state({"plugins": {"mine": [value]}})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_copy_from_a_cuda_device_is_complete_and_pinned_when_it_returns():
    tensor = torch.arange(10_000_000, device="cuda")
    copied = snapshots.copy_state({"x": tensor, "view": tensor[3:5]})
    tensor.zero_()
    assert copied["x"].is_pinned()
    assert torch.equal(copied["x"], torch.arange(10_000_000))
    assert copied["view"].tolist() == [3, 4]

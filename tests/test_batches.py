import dataclasses
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from hookloop.batches import INPUT_NAMES, TARGET_NAMES, batch_size, first_tensor, move, parts, pick

Pair = namedtuple("Pair", ["image", "label"])
META = torch.device("meta")  # a device that every machine has, and that is not the one on which tensors are made


@dataclasses.dataclass
class Sample:
    image: torch.Tensor
    label: Any
    source: str = "here"


@dataclasses.dataclass
class Counted:
    image: torch.Tensor
    pixels: int = dataclasses.field(init=False)

    def __post_init__(self):
        self.pixels = self.image.numel()


def zeros(*shape):
    return torch.zeros(*shape)


@pytest.mark.parametrize(
    "batch",
    [
        zeros(5, 2),
        (zeros(5, 2), zeros(3)),
        [zeros(5), zeros(3)],
        {"ids": ["a", "b"], "image": zeros(5, 2), "label": zeros(3)},
        Pair(zeros(5, 2), zeros(3)),
        Sample(zeros(5, 2), zeros(3)),
        {"views": [{"left": (zeros(5), zeros(3))}]},
        ["text", None, {"x": zeros(5)}],
    ],
)
def test_the_first_dimension_of_the_first_tensor_is_the_size_of_a_batch(batch):
    assert batch_size(batch) == 5


@pytest.mark.parametrize("batch", [torch.tensor(3.0), (torch.tensor(3.0), zeros(4)), {}, (), "text", None, 7, Sample])
def test_a_batch_without_a_first_dimension_counts_as_one_sample(batch):
    assert batch_size(batch) == 1


def test_the_first_tensor_is_found_however_deep_it_lies():
    tensor = zeros(1)
    assert first_tensor(["text", {"deep": Sample(tensor, zeros(2))}]) is tensor
    assert first_tensor(["text", {"deep": None}]) is None


def test_the_members_of_a_batch_are_those_of_a_collection_or_a_dataclass_object():
    tensor = zeros(1)
    assert list(parts((tensor, "text"))) == [tensor, "text"]
    assert list(parts({"a": 1, "b": 2})) == [1, 2]
    assert list(parts(Sample(tensor, 3))) == [tensor, 3, "here"]
    assert list(parts("text")) == []
    assert list(parts(Sample)) == []


@pytest.mark.parametrize(
    "batch",
    [
        (zeros(2), zeros(3)),
        [zeros(2), zeros(3)],
        Pair(zeros(2), zeros(3)),
        {"image": zeros(2), "label": zeros(3)},
        OrderedDict(label=zeros(3), image=zeros(2)),
        UserDict(image=zeros(2)),
        MappingProxyType({"image": zeros(2)}),
        Sample(zeros(2), zeros(3)),
        Sample(zeros(2), ("nested", {"mask": zeros(3)})),
    ],
)
def test_every_tensor_of_a_batch_is_moved_and_its_type_stays(batch):
    moved = move(batch, META)
    assert type(moved) is type(batch)
    assert {each.device for each in tensors(moved)} == {META}
    assert len(tensors(moved)) == len(tensors(batch))
    assert {each.device.type for each in tensors(batch)} == {"cpu"}


def tensors(batch):
    own = batch.data if isinstance(batch, UserDict) else batch
    if isinstance(own, torch.Tensor):
        return [own]
    return [tensor for part in parts(own) for tensor in tensors(part)]


def test_what_else_a_batch_holds_stays_as_it_is():
    moved = move({"id": "seven", "count": 7, "nothing": None, "kind": Sample, "image": zeros(2)}, META)
    assert (moved["id"], moved["count"], moved["nothing"], moved["kind"]) == ("seven", 7, None, Sample)
    assert list(moved) == ["id", "count", "nothing", "kind", "image"]


def test_a_mapping_keeps_what_else_it_knows():
    batch = defaultdict(list, image=zeros(2))
    moved = move(batch, META)
    assert (moved["image"].device, batch["image"].device.type) == (META, "cpu")
    assert moved["new"] == []


def test_a_dataclass_derives_its_other_fields_anew():
    moved = move(Counted(zeros(2, 3)), META)
    assert (moved.image.device, moved.pixels) == (META, 6)


def test_what_has_a_method_to_is_asked_to_move_itself():
    class Moving(dict):
        place = None

        def to(self, device):
            self.place = device
            return self

    batch = Moving(image=zeros(2))
    assert move([batch], META) == [batch]
    assert batch.place == META
    # Its sizes have to stay on the CPU, so that moving member by member would break it.
    assert move(pack_sequence([zeros(3), zeros(2)]), META).batch_sizes.device.type == "cpu"


def test_a_member_that_is_called_to_is_no_method():
    edge = namedtuple("Edge", ["start", "to"])(zeros(2), zeros(2))
    assert move(edge, META).to.device == META


@pytest.mark.parametrize(
    ("batch", "index", "names", "wanted"),
    [
        (("x", "y"), 0, INPUT_NAMES, "x"),
        (["x", "y", "z"], 1, TARGET_NAMES, "y"),
        (Pair("x", "y"), 1, TARGET_NAMES, "y"),
        ({"id": 3, "image": "x", "label": "y"}, 0, INPUT_NAMES, "x"),
        ({"id": 3, "image": "x", "label": "y"}, 1, TARGET_NAMES, "y"),
        ({"target": "first", "label": "second"}, 1, TARGET_NAMES, "first"),
        (Sample("x", "y"), 1, TARGET_NAMES, "y"),
        (SimpleNamespace(features="x"), 0, INPUT_NAMES, "x"),
    ],
)
def test_input_and_target_are_found_by_place_or_by_name(batch, index, names, wanted):
    assert pick(batch, index, names, "input") == wanted


@pytest.mark.parametrize("batch", [("x",), [], {"id": 3}, SimpleNamespace(id=3), 7])
def test_a_batch_without_the_wanted_part_says_what_to_override(batch):
    with pytest.raises(TypeError) as caught:
        pick(batch, 1, TARGET_NAMES, "target")
    assert str(caught.value) == (
        f"cannot tell which part of a {type(batch).__name__} batch is the target. Give batches as (input, target) "
        "pairs, as dicts or dataclasses with one of the names target, targets, y, label, labels, or override "
        "Task.target(batch)."
    )

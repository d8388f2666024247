"""A state that could not be loaded again is an error while it can still be mended."""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import io
import pathlib
import pickle
import random
import uuid

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hookloop.plain_state import check_plain


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Best:
    value: float = 0.0


class Pair(collections.namedtuple("Pair", "first second")):
    pass


class Text(str):
    pass


class Table(dict):
    pass


class Weights(torch.Tensor):
    pass


PLAIN = [
    None,
    True,
    bytearray(),
    2**200,
    float("nan"),
    1j,
    "text",
    b"bytes",
    bytearray(b"more"),
    torch.Size([1, 2]),
    torch.float16,
    torch.device("cpu"),
    torch.ones(2),
    torch.nn.Parameter(torch.ones(2)),
    torch.eye(2).to_sparse(),
    {"a": {1: (2.0, [None, {3, 4}])}},
    collections.OrderedDict(a=1),
    collections.Counter("aab"),
    random.getstate(),
    np.random.default_rng(0).bit_generator.state,
    torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))]).state_dict(),
    torch.nn.BatchNorm1d(2).state_dict(),
    {},
    [],
    (),
]

STRANGE = [
    (np.float32(1), "numpy.float32"),
    (np.zeros(2), "numpy.ndarray"),
    (pathlib.PurePosixPath("a"), "pathlib.PurePosixPath"),
    (datetime.timedelta(1), "datetime.timedelta"),
    (decimal.Decimal(1), "decimal.Decimal"),
    (fractions.Fraction(1, 2), "fractions.Fraction"),
    (uuid.UUID(int=0), "uuid.UUID"),
    (collections.deque([1]), "collections.deque"),
    (collections.defaultdict(int), "collections.defaultdict"),
    (frozenset([1]), "builtins.frozenset"),
    (range(3), "builtins.range"),
    (slice(1), "builtins.slice"),
    (len, "builtins.builtin_function_or_method"),
    (int, "builtins.type"),
    (iter([1]), "builtins.list_iterator"),
    (io.BytesIO(), "_io.BytesIO"),
    (torch.Generator(), "torch._C.Generator"),
    (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
    (torch.__version__, "torch.torch_version.TorchVersion"),
]

OWN = [Colour.RED, Level.LOW, Best(), Pair(1, 2), Text("a"), Table(a=1), torch.ones(1).as_subclass(Weights)]


def stored(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")
@pytest.mark.parametrize("state", PLAIN, ids=lambda state: type(state).__name__)
def test_what_passes_is_loaded_again_without_code(state):
    check_plain(state, "state")
    assert type(stored(state)) is type(state)


@pytest.mark.parametrize(("value", "kind"), STRANGE, ids=[kind for _, kind in STRANGE])
def test_what_needs_code_is_named_with_its_kind(value, kind):
    with pytest.raises(TypeError) as caught:
        check_plain(value, "state")
    assert str(caught.value).startswith(f"state is a {kind}, which cannot be loaded again without executing code. ")


@pytest.mark.parametrize("value", OWN, ids=lambda value: type(value).__name__)
def test_a_class_of_somebodys_own_needs_code_whatever_it_derives_from(value):
    with pytest.raises(TypeError, match=rf"\.{type(value).__name__}, which cannot be loaded again"):
        check_plain(value, "state")


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ({"best": {"path": pathlib.PurePath("a")}}, "state['best']['path'] is a pathlib."),
        ({"values": [1, (2, np.int64(3))]}, "state['values'][1][1] is a numpy.int64"),
        ({np.str_("a"): 1}, "the key np.str_('a') of state is a numpy.str_"),
        ({"a": {("b", np.bool_(True)): 1}}, "the key ('b', np.True_) of state['a'][1] is a numpy.bool"),
        (collections.OrderedDict(a=[np.float64(1)]), "state['a'][0] is a numpy.float64"),
        ({"a": {np.int8(1)}}, "state['a'][0] is a numpy.int8"),
    ],
)
def test_the_place_is_named_as_it_would_be_written(state, place):
    with pytest.raises(TypeError) as caught:
        check_plain(state, "state")
    assert str(caught.value).startswith(place)


def test_the_message_says_what_to_save_instead():
    with pytest.raises(TypeError) as caught:
        check_plain({"best": np.float64(0.5)}, "state")
    assert "Save tensors, numbers, strings, lists, tuples, sets and dictionaries" in str(caught.value)
    assert ".item() of a numpy number, torch.from_numpy of an array, str of a path" in str(caught.value)


def test_no_bytes_at_all_are_what_torch_does_not_load():
    with pytest.raises(TypeError, match=r"^state\['raw'\] is an empty bytes object, which cannot be loaded again"):
        check_plain({"raw": b""}, "state")
    with pytest.raises(pickle.UnpicklingError):
        stored(b"")
    assert stored(bytearray()) == b""


def test_a_tensor_of_somebodys_own_passes_once_torch_was_told_that_it_is_safe():
    with torch.serialization.safe_globals([Weights]):
        check_plain(torch.ones(1).as_subclass(Weights), "state")


def test_a_container_that_holds_itself_ends():
    """torch could save it; a state that goes in circles is a mistake all the same."""
    state = {}
    state["self"] = state
    with pytest.raises((TypeError, RecursionError)):
        check_plain(state, "state")


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(min_size=1)
states = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=12,
)


@given(states)
def test_every_state_of_plain_values_comes_back_as_it_was(state):
    check_plain(state, "state")
    assert repr(stored(state)) == repr(state)

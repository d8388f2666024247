import json
import random

import numpy as np
import pytest
import torch

from hookloop.rng import has_own_stream, preserved_rng, rng_state, seed_everything, set_rng_state

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def streams_afterwards():
    with preserved_rng(CPU):
        yield


def draw():
    """Draw from every stream, normal numbers too: two of them make one pair, of which the second is kept."""
    return (
        [random.random() for _ in range(3)],
        random.gauss(0, 1),
        np.random.rand(3).tolist(),
        np.random.randn(),
        torch.rand(3).tolist(),
        torch.randn(17).tolist(),
    )


def test_a_seed_decides_every_stream():
    seed_everything(7)
    first = draw()
    seed_everything(7)
    assert draw() == first
    seed_everything(8)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_a_seed_may_be_larger_than_numpy_takes():
    seed_everything(2**32 + 7)
    first = draw()
    seed_everything(2**32 + 7)
    assert draw() == first


@pytest.mark.parametrize("warm_up", range(3))
def test_a_state_is_put_back_bit_for_bit(warm_up):
    seed_everything(warm_up)
    for _ in range(warm_up):
        draw()
    state = rng_state(CPU)
    expected = [draw() for _ in range(3)]
    draw()
    set_rng_state(state, CPU)
    assert [draw() for _ in range(3)] == expected


def test_a_state_is_not_moved_by_drawing_on():
    state = rng_state(CPU)
    first = draw()
    draw()
    set_rng_state(state, CPU)
    assert draw() == first


def test_a_saved_state_is_loaded_without_executing_code(tmp_path):
    seed_everything(3)
    draw()
    torch.save(rng_state(CPU), tmp_path / "state.pt")
    expected = draw()
    set_rng_state(torch.load(tmp_path / "state.pt", weights_only=True), CPU)
    assert draw() == expected


def test_a_state_may_come_back_with_lists_for_tuples():
    state = rng_state(CPU)
    expected = draw()
    tensor = state["numpy"][1]
    plain = {"python": json.loads(json.dumps(state["python"])), "torch": state["torch"]}
    name, _, *rest = state["numpy"]
    set_rng_state(plain | {"numpy": [name, tensor, *rest]}, CPU)
    assert draw() == expected


@pytest.mark.parametrize("error", [None, ValueError("full")])
def test_what_is_drawn_in_between_moves_no_stream(error):
    seed_everything(5)
    random.gauss(0, 1)
    expected = rng_state(CPU)
    first = draw()
    set_rng_state(expected, CPU)
    try:
        with preserved_rng(CPU):
            draw()
            torch.nn.functional.dropout(torch.ones(100), 0.5)
            torch.manual_seed(1)
            if error is not None:
                raise error
    except ValueError:
        pass
    assert draw() == first


def test_the_order_of_a_shuffling_loader_does_not_depend_on_how_often_one_validates():
    def order(validate):
        seed_everything(1)
        loader = torch.utils.data.DataLoader(range(20), shuffle=True, batch_size=20)
        epochs = []
        for _ in range(2):
            epochs += [batch.tolist() for batch in loader]
            if validate:
                with preserved_rng(CPU):
                    list(loader)
        return epochs

    assert order(validate=True) == order(validate=False)


@pytest.mark.parametrize(("device", "own"), [("cpu", False), ("meta", False), ("cuda:1", True), ("mps", True)])
def test_a_device_has_a_stream_of_its_own_unless_it_is_the_host(device, own):
    assert has_own_stream(torch.device(device)) is own


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_stream_of_a_gpu_is_kept_too(tmp_path):
    device = torch.device("cuda", 0)
    seed_everything(1)
    torch.save(rng_state(device), tmp_path / "state.pt")
    expected = torch.rand(5, device=device)
    # A state that is loaded onto the GPU whole, as checkpoints often are.
    state = torch.load(tmp_path / "state.pt", weights_only=True, map_location=device)
    set_rng_state(state, device)
    with preserved_rng(device):
        torch.rand(5, device=device)
    assert torch.equal(torch.rand(5, device=device), expected)

"""The right card: CUDA_VISIBLE_DEVICES as numbers, UUIDs and MIG instances, and who reads which."""

import pynvml
import pytest

from hookloop_monitor.cards import find_cards
from hookloop_monitor.notices import Notices
from hookloop_monitor.nvml import open_nvml
from hookloop_monitor.visible import Place, visible_ids

FIRST, SECOND = "GPU-aaaaaaaa-0000-0000-0000-000000000000", "GPU-bbbbbbbb-1111-1111-1111-111111111111"
INSTANCE = "MIG-cccccccc-2222-2222-2222-222222222222"


@pytest.fixture
def find(driver):
    """A function that returns label → UUID of the cards, and what was said."""
    nvml = open_nvml()

    def find(visible=None, choice="own", place=None, **environ):
        said = []
        environ |= {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        cards = find_cards(nvml, choice, place or Place(), environ, Notices(said.append))
        return {card.label: card.uuid for card in cards}, said

    return find


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [
        (None, [FIRST, SECOND]),
        ("0", [FIRST]),
        ("1", [SECOND]),
        ("1,0", [SECOND, FIRST]),
        ("1,-1,0", [SECOND]),
        ("1,7,0", [SECOND]),
        ("1gpu", [SECOND]),
        (" 1 , 0", [SECOND, FIRST]),
        ("", []),
        ("-1", []),
        ("none", []),
        ("1,1", []),
        (SECOND, [SECOND]),
        ("GPU-b", [SECOND]),
        (f"{SECOND},{FIRST}", [SECOND, FIRST]),
    ],
)
def test_visible_cards_are_numbered_as_cuda_does(find, visible, uuids):
    cards, said = find(visible)
    assert cards == {f"gpu{index}": uuid for index, uuid in enumerate(uuids)}
    assert said == []


def test_a_uuid_that_is_nobodys_or_not_one_cards_alone_is_said(find):
    cards, said = find("GPU-zzz")
    assert (cards, said) == ({}, ["gpu0 (GPU-zzz) is not read: 0 cards have a UUID that begins so"])
    assert find("GPU-")[1] == ["gpu0 (GPU-) is not read: 2 cards have a UUID that begins so"]


def test_a_mig_instance_is_found_and_its_board_gives_the_rest(driver, find):
    driver.fake_divide()
    assert find(INSTANCE)[0] == {"gpu0": INSTANCE}
    (card,) = find_cards(pynvml, "own", Place(), {"CUDA_VISIBLE_DEVICES": INSTANCE}, Notices())
    assert card.is_instance
    assert pynvml.nvmlDeviceGetUUID(card.board) == SECOND
    assert card.name == "Fake A MIG"


def test_the_number_of_a_divided_card_means_its_first_instance(driver, find):
    driver.fake_divide()
    assert find("1")[0] == {"gpu0": INSTANCE}
    assert find("0")[0] == {"gpu0": FIRST}


def test_an_unknown_instance_is_said(find):
    cards, said = find("MIG-nobody")
    assert cards == {}
    assert said[0].startswith("gpu0 (MIG-nobody) is not read")


def test_cuda_itself_is_believed_before_the_environment(find):
    place = Place(device_index=0, uuids=[SECOND.removeprefix("GPU-")])
    assert find("0", place=place)[0] == {"gpu0": SECOND}


def test_a_uuid_of_cudas_that_is_no_boards_is_an_instances(driver, find):
    driver.fake_divide()
    assert find(place=Place(device_index=0, uuids=[INSTANCE.removeprefix("MIG-")]))[0] == {"gpu0": INSTANCE}


def test_cards_that_differ_are_numbered_with_a_warning(driver, find):
    driver.fake_rename()
    assert "set CUDA_DEVICE_ORDER=PCI_BUS_ID" in find()[1][0]
    assert find(CUDA_DEVICE_ORDER="PCI_BUS_ID")[1] == []
    assert find(SECOND)[1] == []


def test_all_means_all_of_the_machine_by_nvmls_numbers(find):
    assert find("1", choice="all")[0] == {"gpu0": FIRST, "gpu1": SECOND}


def test_a_single_process_reads_the_card_that_it_trains_on(find):
    place = Place(device_index=1, uuids=[FIRST.removeprefix("GPU-"), SECOND.removeprefix("GPU-")])
    assert find(place=place)[0] == {"gpu1": SECOND}
    assert find(place=place, choice="visible")[0] == {"gpu0": FIRST, "gpu1": SECOND}


def test_a_card_that_does_not_answer_leaves_the_others(driver, find):
    driver.fake_fail(b"nvmlDeviceGetHandleByIndex_v2", 0, pynvml.NVML_ERROR_GPU_IS_LOST, 0)
    cards, said = find("1")
    assert cards == {"gpu0": SECOND}
    assert said == ["GPU 0 of this machine does not answer: GPU is lost"]


# Who reads.

BOTH = ("a", "b")


@pytest.mark.parametrize(
    ("place", "choice", "reads"),
    [
        (Place(0, 2, 0, BOTH), "own", True),
        (Place(1, 2, 1, BOTH), "own", False),
        (Place(1, 2, 0, ("b",)), "own", True),
        (Place(1, 2, 0, ("b",)), "all", False),
        (Place(1, 2), "own", False),
        (Place(0, 2, 0, BOTH), "none", False),
    ],
)
def test_one_process_of_a_machine_reads_unless_each_sees_its_own_cards(place, choice, reads):
    assert place.reads(choice) is reads


def test_the_reader_of_a_machine_reads_the_cards_of_its_ranks():
    assert list(Place(0, 2, 0, ("a", "b", "c")).indices("own", 3)) == [0, 1]
    assert list(Place(0, 2, 0, ("a",)).indices("own", 1)) == [0]
    assert list(Place(0, 1, 2, ("a", "b", "c")).indices("own", 3)) == [2]


def test_a_list_without_a_prefix_ends_at_what_is_no_card():
    assert visible_ids({"CUDA_VISIBLE_DEVICES": "0,GPU-x,zero,1"}, 2) == ["0", "GPU-x"]

"""Reading and cutting wandb's files by themselves."""

import struct
import zlib

import pytest
import torch

from hookloop import Engine, SupervisedTask
from hookloop_wandb.transaction_log import BLOCK_BYTES, CHUNK, FILE_HEADER, cut, entries, logged

STEPS = 250


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file of several blocks, with rows that go over their ends."""
    directory = tmp_path_factory.mktemp("long")

    batches = [(torch.ones(1, 1), torch.ones(1, 1))] * STEPS
    task = SupervisedTask(torch.nn.Linear(1, 1), train=batches)
    engine = Engine(
        task,
        loss="mse",
        optimizer="sgd",
        plugins=[("wandb", {"mode": "offline"})],
        max_epochs=1,
        log_every="1 step",
        run_dir=directory,
    )
    engine.fit()
    [found] = directory.glob("wandb/*/*.wandb")
    assert found.stat().st_size > 2 * BLOCK_BYTES
    return found


def test_every_byte_of_a_file_of_wandbs_is_read(path):
    data = path.read_bytes()
    found = list(entries(data))
    offset, last = found[-1]
    assert offset + CHUNK.size + len(last) == len(data)
    assert [row.values["step"] for row in logged(path)] == list(range(1, STEPS + 1))


def test_the_checksums_are_those_of_what_is_read(path):
    data = path.read_bytes()
    for offset, entry in entries(data):
        checksum, length, kind = CHUNK.unpack_from(data, offset)
        if length == len(entry):
            rotated = zlib.crc32(bytes([kind]) + entry)
            masked = (((rotated >> 15) | (rotated << 17)) + 0xA282EAD8) & 0xFFFFFFFF
            assert checksum in (rotated, masked)


@pytest.mark.parametrize("missing", [1, 6, 30, 40_000])
def test_a_torn_file_has_the_rows_before(path, tmp_path, missing):
    torn = tmp_path / path.name
    torn.write_bytes(path.read_bytes()[:-missing])
    steps = [row.values["step"] for row in logged(torn)]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) > 20


def test_a_cut_file_ends_before_the_row(path, tmp_path):
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    cut(copy, list(logged(copy))[100].offset)
    assert [row.values["step"] for row in logged(copy)] == list(range(1, 101))
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "data", [b"", b"{}", FILE_HEADER, FILE_HEADER + bytes(20), FILE_HEADER + struct.pack("<IHB", 0, 9, 1)]
)
def test_what_is_no_log_has_no_entries(data):
    assert list(entries(data)) == []

"""Event files by themselves: the format, the thread that writes them, and going back in them."""

import random
import threading
import time
from pathlib import Path

import pytest
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow

from hookloop_tensorboard import events, history
from hookloop_tensorboard.event_file import EventFile
from hookloop_tensorboard.records import masked_crc32c, read_records, record

FULL = Path("/dev/full")


def points(step, name="train/loss"):
    return events.scalars(step, 1.0, {name: 1 / (step + 1)})


def write_file(path, steps):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(map(record, [*events.first_events(1), *map(points, steps)])))
    return path


def steps_in(path, board):
    return [event.step for event in board(path).events() if event.HasField("summary")]


@pytest.mark.parametrize("size", [0, 1, 7, 100, 4095, 4096, 4097, 5000, 200_003])
def test_the_checksum_is_that_of_tensorboard(size):
    data = random.Random(size).randbytes(size)
    assert masked_crc32c(data) == pywrap_tensorflow.masked_crc32c(data)


def test_records_are_read_back_with_the_place_where_they_end(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(record(b"one") + record(b""))
    assert list(read_records(path)) == [(19, b"one"), (35, b"")]


def test_a_record_that_was_cut_off_anywhere_is_passed_over(tmp_path):
    whole, path = record(b"first") + record(b"second"), tmp_path / "file"
    for size in range(len(record(b"first")), len(whole)):
        path.write_bytes(whole[:size])
        assert [data for _, data in read_records(path)] == [b"first"]


def test_nothing_is_read_behind_a_damaged_length(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(record(b"first") + b"\x05" + record(b"second")[1:] + record(b"third"))
    assert [data for _, data in read_records(path)] == [b"first"]


def test_what_was_written_is_there_after_a_flush(tmp_path):
    file = EventFile(tmp_path / "file", flush_seconds=1000)
    file.open()
    for number in range(100):
        file.write(lambda number=number: b"%d" % number)
    file.flush()
    assert [int(data) for _, data in read_records(file.path)] == list(range(100))
    file.close()


def test_points_are_visible_after_a_while_without_a_flush(tmp_path):
    file = EventFile(tmp_path / "file", flush_seconds=0.05)
    file.open()
    file.write(lambda: b"one")
    deadline = time.monotonic() + 10
    while not list(read_records(file.path)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(read_records(file.path))
    file.close()


def test_an_event_that_cannot_be_made_is_left_out_and_said(tmp_path, caplog):
    file = EventFile(tmp_path / "file", flush_seconds=1)
    file.open()
    file.write(lambda: 1 / 0)
    file.write(lambda: b"next")
    file.close()
    assert [data for _, data in read_records(file.path)] == [b"next"]
    assert "could not be made" in caplog.text


@pytest.mark.skipif(not FULL.exists(), reason="there is no full disk")
def test_a_full_disk_is_remembered_and_stops_nobody(tmp_path):
    file = EventFile(tmp_path / "file", flush_seconds=1)
    file.open()
    file.file.close()
    file.file = FULL.open("wb")
    file.write(lambda: b"one")
    file.flush()
    file.write(lambda: b"two")
    file.flush()
    file.close()
    assert "No space left" in str(file.error)
    assert not file.thread.is_alive()


def test_closing_ends_the_thread(tmp_path):
    before = threading.active_count()
    file = EventFile(tmp_path / "file", flush_seconds=1000)
    file.open()
    file.close()
    assert threading.active_count() == before


def test_going_back_cuts_files_off_and_removes_later_ones(tmp_path, board):
    first = write_file(tmp_path / "events.out.tfevents.0000000001.a.1.hookloop", range(4))
    sizes = history.sizes_of(tmp_path)
    with first.open("ab") as file:
        file.write(record(points(4)) + record(points(5))[:-3])
    write_file(tmp_path / "events.out.tfevents.0000000002.a.2.hookloop", range(3, 9))
    history.go_back(tmp_path, sizes)
    assert steps_in(tmp_path, board) == [0, 1, 2, 3]
    history.go_back(tmp_path, sizes)
    assert steps_in(tmp_path, board) == [0, 1, 2, 3]


def test_without_sizes_the_steps_tell_where_to_cut(tmp_path, board):
    first = write_file(tmp_path / "events.out.tfevents.0000000001.a.1.hookloop", range(6))
    with first.open("ab") as file:
        file.write(record(points(6))[:-3])
    write_file(tmp_path / "events.out.tfevents.0000000002.a.2.hookloop", range(4, 9))
    sizes, newest = history.sizes_at(tmp_path, 3)
    history.go_back(tmp_path, sizes)
    assert newest == 3
    assert steps_in(tmp_path, board) == [0, 1, 2, 3]


def test_the_files_of_others_are_left_alone(tmp_path):
    others = [tmp_path / "events.out.tfevents.0000000003.host.1.0", tmp_path / "notes.hookloop"]
    for path in others:
        path.write_bytes(b"theirs")
    history.go_back(tmp_path, {})
    assert [path.read_bytes() for path in others] == [b"theirs", b"theirs"]


def test_a_new_file_is_read_after_the_others_whatever_the_clock_says(tmp_path):
    future = int(time.time()) + 5000
    write_file(tmp_path / f"events.out.tfevents.{future}.z.1.hookloop", [1])
    new = history.next_path(tmp_path)
    new.touch()
    assert [*history.event_files(tmp_path)][-1] == new
    assert sorted([history.ABOUT, new.name])[0] == history.ABOUT

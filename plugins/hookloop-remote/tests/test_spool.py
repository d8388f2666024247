"""The queue on disk by itself."""

import os
import resource
import signal
import subprocess
import sys
import threading
import tracemalloc

import pytest

from hookloop_remote import Spool
from hookloop_remote.queues import open_leftovers, open_queues, rows_waiting
from hookloop_remote.segments import numbers_in, path_of


def opened(directory, limit_bytes=100_000_000):
    spool = Spool(directory, limit_bytes)
    assert spool.open()
    return spool


def line(number, length=300):
    return b'{"number": %d, "text": "%s"}' % (number, b"x" * length)


def drain(spool):
    rows = []
    while (row := spool.next()) is not None:
        rows.append(row)
        spool.acknowledge()
    return rows


def test_rows_come_out_in_order_and_once(tmp_path):
    spool = opened(tmp_path)
    for number in range(5):
        assert spool.append(line(number))
    assert spool.next() == spool.next() == line(0)
    assert drain(spool) == [line(number) for number in range(5)]
    assert (spool.pending_rows, spool.pending_bytes) == (0, 0)
    spool.close()


def test_what_was_not_acknowledged_is_there_after_a_kill(tmp_path):
    spool = opened(tmp_path)
    for number in range(5):
        spool.append(line(number))
    spool.next()
    spool.acknowledge()
    again = opened(tmp_path)  # without a close, as after a kill
    assert again.pending_rows == 4
    again.append(line(5))
    assert drain(again) == [line(number) for number in range(1, 6)]
    again.close()
    spool.close()


def test_a_line_that_is_torn_is_left_out_and_nothing_is_glued_to_it(tmp_path):
    spool = opened(tmp_path)
    spool.append(line(1))
    spool.append(line(2))
    spool.close()
    path = path_of(tmp_path, numbers_in(tmp_path)[0])
    os.truncate(path, path.stat().st_size - 10)
    again = opened(tmp_path)
    again.append(line(3))
    assert drain(again) == [line(1), line(3)]
    assert again.pending_bytes == 0
    again.close()


def test_a_position_that_is_garbage_repeats_rows_and_loses_none(tmp_path):
    spool = opened(tmp_path)
    spool.append(line(1))
    drain(spool)
    spool.close()
    (tmp_path / "position").write_text("garbage")
    again = opened(tmp_path)
    assert drain(again) == [line(1)]
    again.close()


def test_a_full_queue_takes_no_more_until_there_is_room(tmp_path):
    spool = opened(tmp_path, limit_bytes=1000)
    assert [spool.append(line(number)) for number in range(4)] == [True, True, True, False]
    drain(spool)
    assert spool.append(line(4))
    assert drain(spool) == [line(4)]
    spool.close()


def test_of_several_rows_a_full_queue_takes_the_first(tmp_path):
    rows = [line(number) for number in range(5)]
    spool = opened(tmp_path, limit_bytes=len(rows[0]) * 3 + 3)
    assert spool.append(*rows) == 3
    assert spool.append() == 0
    assert drain(spool) == rows[:3]
    assert spool.append(*rows[3:]) == 2
    assert drain(spool) == rows[3:]
    spool.close()


def test_delivered_files_are_removed_and_the_newest_remembered(tmp_path):
    spool = opened(tmp_path)
    for number in range(30):
        for _ in range(100):
            spool.append(line(number, 5000))
        drain(spool)
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert size < 7_000_000
    assert list(spool.delivered())[-1] == line(29, 5000)
    spool.close()


def test_a_hundred_thousand_rows_wait_on_disk_and_not_in_memory(tmp_path):
    spool = opened(tmp_path)
    tracemalloc.start()
    for number in range(100_000):
        spool.append(line(number))
    appended = tracemalloc.get_traced_memory()[1]
    count = 0
    while spool.next() is not None:
        spool.acknowledge()
        count += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 100_000
    assert appended < 200_000
    assert peak < 1_000_000
    spool.close()


def test_a_row_longer_than_a_block_comes_out_whole(tmp_path):
    spool = opened(tmp_path)
    spool.append(line(1, 1_500_000))
    spool.append(line(2))
    assert drain(spool) == [line(1, 1_500_000), line(2)]
    spool.close()


def test_one_thread_appends_while_another_delivers(tmp_path):
    spool = opened(tmp_path)
    count, seen = 20_000, []

    def deliver():
        while len(seen) < count:
            if (row := spool.next()) is not None:
                seen.append(row)
                spool.acknowledge()

    thread = threading.Thread(target=deliver)
    thread.start()
    for number in range(count):
        assert spool.append(line(number))
    thread.join(60)
    assert seen == [line(number) for number in range(count)]
    spool.close()


def test_rows_are_dropped_by_what_they_say_and_the_delivered_stay(tmp_path):
    spool = opened(tmp_path)
    for number in range(6):
        spool.append(line(number))
    spool.next()
    spool.acknowledge()
    spool.close()
    again = opened(tmp_path)
    assert again.drop(lambda row: b'"number": 3' in row or b'"number": 5' in row) == 2
    assert list(again.delivered()) == [line(0)]
    again.append(line(9))
    assert drain(again) == [line(1), line(2), line(4), line(9)]
    again.close()


def test_a_refused_row_waits_for_the_next_opening(tmp_path):
    spool = opened(tmp_path)
    for number in range(3):
        spool.append(line(number))
    spool.next()
    assert spool.set_aside()
    assert drain(spool) == [line(1), line(2)]
    spool.close()
    again = opened(tmp_path)
    assert again.pending_rows == 1
    again.append(line(3))
    assert drain(again) == [line(0), line(3)]
    again.close()
    last = opened(tmp_path)
    assert last.next() is None
    last.close()


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no limit on the size of files here")
def test_a_disk_that_is_full_takes_whole_rows_or_none(tmp_path):
    spool = opened(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        for number in range(3):
            spool.append(line(number, 250))
        for number in range(3, 6):
            with pytest.raises(OSError, match=r"too large|a part"):
                spool.append(line(number, 250))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    spool.append(line(7, 250))
    assert drain(spool) == [line(number, 250) for number in (0, 1, 2, 7)]
    assert len(numbers_in(tmp_path)) == 1
    spool.close()


HOLD = """
import sys
from pathlib import Path
from hookloop_remote.queues import open_queues
spool = open_queues(Path(sys.argv[1]), 10**6)[-1]
spool.append(b'{"from": "the other"}')
print("ready", flush=True)
sys.stdin.read()
"""


def test_two_processes_have_a_queue_each_and_the_next_one_finds_what_both_left(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "ready\n"
        (mine,) = open_queues(tmp_path, 10**6)
        assert mine.directory.name == "queue-1"
        mine.append(b'{"from": "me"}')
        assert open_leftovers(tmp_path / "nowhere", 10**6) == []
        mine.close()
        other.kill()
    assert rows_waiting(tmp_path)
    found = open_queues(tmp_path, 10**6)
    assert [each.directory.name for each in found] == ["queue-1", "queue-0"]
    assert [drain(each) for each in found] == [[b'{"from": "me"}'], [b'{"from": "the other"}']]
    for each in found:
        each.close()
    assert not rows_waiting(tmp_path)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_does_not_keep_the_queue(tmp_path):
    spool = opened(tmp_path / "queue-0")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    spool.close()
    code = "import sys, pathlib, hookloop_remote as it; sys.exit(not it.Spool(pathlib.Path(sys.argv[1]), 1).open())"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "queue-0")], check=True)
    os.close(writing)
    os.waitpid(child, 0)

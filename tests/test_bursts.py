"""Rows that come alone, fast, too fast for the disk, and from a thread that hangs."""

import threading
import time

import pytest

from hookloop.bursts import Bursts

LONG = 3600.0


class Paper:
    """Takes rows, and refuses them while it is full."""

    def __init__(self):
        self.written, self.full, self.threads = [], False, []

    def write(self, rows):
        if self.full:
            raise OSError("no room")
        self.threads.append(threading.current_thread())
        self.written.append(list(rows))

    def rows(self):
        return [row for rows in self.written for row in rows]


@pytest.fixture
def paper():
    return Paper()


@pytest.fixture
def bursts(paper):
    """Make bursts that wait as long as told."""
    made = []

    def make(wait_seconds):
        made.append(Bursts(paper.write, wait_seconds=wait_seconds))
        return made[-1]

    yield make
    paper.full = False
    for each in made:
        each.flush()
        each.close()


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_row_that_comes_alone_is_written_before_add_returns(paper, bursts):
    slow = bursts(0.01)
    for row in range(3):
        slow.add(row)
        assert paper.rows()[-1] == row
        time.sleep(0.02)
    assert paper.written == [[0], [1], [2]]


def test_rows_that_come_slowly_need_no_thread(paper, bursts):
    before = threading.active_count()
    slow = bursts(0.001)
    for row in range(3):
        slow.add(row)
        time.sleep(0.01)
    assert threading.active_count() == before


def test_rows_that_come_fast_are_written_together_in_their_order(paper, bursts):
    fast = bursts(LONG)
    for row in range(5):
        fast.add(row)
    assert paper.written == [[0]]
    fast.flush()
    assert paper.written == [[0], [1, 2, 3, 4]]
    fast.flush()
    assert paper.written == [[0], [1, 2, 3, 4]]


def test_a_row_after_the_time_is_over_takes_those_that_wait_with_it(paper, bursts):
    fast = bursts(0.05)
    fast.add(0)
    deadline = time.monotonic() + 10
    row = 0
    while threading.current_thread() not in paper.threads[1:]:
        assert time.monotonic() < deadline
        row += 1
        fast.add(row)
    assert paper.rows() == list(range(row + 1))


def test_rows_that_none_comes_after_are_written_all_the_same(paper, bursts):
    fast = bursts(0.05)
    for row in range(3):
        fast.add(row)
    wait_for(lambda: paper.rows() == [0, 1, 2])
    fast.add(3)
    fast.add(4)
    wait_for(lambda: paper.rows() == [0, 1, 2, 3, 4])
    assert threading.current_thread() not in paper.threads[1:]


def test_rows_that_cannot_be_written_are_kept_for_the_next_time(paper, bursts):
    fast = bursts(LONG)
    fast.add(0)
    paper.full = True
    fast.add(1)
    fast.add(2)
    with pytest.raises(OSError, match="no room"):
        fast.flush()
    fast.add(3)
    paper.full = False
    fast.flush()
    assert paper.written == [[0], [1, 2, 3]]


def test_of_rows_that_are_written_in_part_the_others_are_kept():
    written = []

    def write(rows):
        written.append(rows.pop(0))
        if rows:
            raise OSError("no room")

    fast = Bursts(write, wait_seconds=LONG)
    for row in range(3):
        fast.add(row)
    with pytest.raises(OSError, match="no room"):
        fast.flush()
    fast.flush()
    fast.close()
    assert written == [0, 1, 2]


def test_what_the_thread_could_not_write_fails_for_whoever_adds_the_next_row(paper, bursts):
    fast = bursts(0.02)
    fast.add(0)
    paper.full = True
    fast.add(1)
    time.sleep(0.2)
    with pytest.raises(OSError, match="no room"):
        fast.add(2)
    assert paper.rows() == [0]


def test_no_row_is_lost_or_comes_twice_while_two_threads_write(paper, bursts):
    fast = bursts(0.0005)
    for row in range(20_000):
        fast.add(row)
        if row % 1000 == 0:
            time.sleep(0.002)
    fast.flush()
    assert paper.rows() == list(range(20_000))
    assert len(set(paper.threads)) == 2


def test_no_row_waits_where_no_thread_can_be_started(paper, bursts, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    fast = bursts(LONG)
    for row in range(4):
        fast.add(row)
        assert paper.rows()[-1] == row


def test_its_thread_ends_with_it(paper, bursts):
    before = threading.active_count()
    fast = bursts(LONG)
    fast.add(0)
    fast.add(1)
    assert threading.active_count() == before + 1
    fast.flush()
    begun = time.monotonic()
    fast.close()
    assert threading.active_count() == before
    assert time.monotonic() - begun < 5
    fast.close()

import logging
import os
import signal
import subprocess
import sys
import threading
import warnings

import pytest

from hookloop.testing.resources import imports_forgiven, leftovers, snapshot

needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="there is no /proc")  # noqa: PTH110


def test_nothing_new_leaves_nothing_over():
    assert leftovers(snapshot()) == []


def test_a_thread_that_is_about_to_end_is_waited_for():
    before = snapshot()
    threading.Timer(0.1, lambda: None).start()
    assert leftovers(before, patience_seconds=5) == []


def test_a_thread_that_stays_is_named():
    before, stop = snapshot(), threading.Event()
    thread = threading.Thread(target=stop.wait, name="sampler")
    thread.start()
    assert leftovers(before, patience_seconds=0.05) == ["thread: sampler"]
    stop.set()
    thread.join()


@needs_proc
def test_an_open_file_and_an_open_pipe_are_named(tmp_path):
    before = snapshot()
    ends = os.pipe()
    with (tmp_path / "notes.txt").open("w"):
        left = leftovers(before)
    assert f"open file: {tmp_path / 'notes.txt'}" in left
    assert len([text for text in left if text.startswith("open file: pipe:")]) == 2
    for end in ends:
        os.close(end)


@needs_proc
def test_a_child_process_is_named_until_somebody_has_waited_for_it():
    before = snapshot()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    left = leftovers(before, patience_seconds=0.05)
    assert any(text.startswith(f"child process: process {child.pid}: {sys.executable}") for text in left)
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    (ended,) = leftovers(before, patience_seconds=0.05)
    assert "ended, and nobody has waited for it" in ended
    child.wait()
    assert leftovers(before) == []


@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="no such signal here")
def test_a_signal_handler_is_named():
    before = snapshot()
    previous = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    (left,) = leftovers(before)
    signal.signal(signal.SIGUSR2, previous)
    assert left.startswith("signal handler: SIGUSR2 goes to")


def test_a_log_handler_is_named_and_so_is_one_that_was_taken_away():
    logger, handler = logging.getLogger("hookloop.tests.resources"), logging.NullHandler()
    before = snapshot()
    logger.addHandler(handler)
    with_it = snapshot()
    (left,) = leftovers(before)
    logger.removeHandler(handler)
    (lost,) = leftovers(with_it)
    assert left.startswith("log handler: <NullHandler")
    assert lost.startswith("log handler taken away: <NullHandler")


def test_a_filter_of_warnings_is_named():
    before = snapshot()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        (left,) = leftovers(before)
    assert "FutureWarning" in left


def test_what_an_import_does_to_logging_and_warnings_can_be_forgiven():
    before = snapshot()
    with imports_forgiven():
        logging.getLogger("hookloop.tests.forgiven").addHandler(logging.NullHandler())
        warnings.simplefilter("ignore", FutureWarning)
    assert leftovers(before) == []

"""What others print while bars are drawn."""

import io
import os
from pathlib import Path

import pytest

from hookloop_progress.above import Above


@pytest.fixture
def stand_in():
    shown = []
    above = Above(io.StringIO(), shown.append)
    above.shown = shown
    return above


def test_whole_lines_are_shown_and_a_begun_one_waits(stand_in):
    print("one", end="", file=stand_in)
    assert stand_in.shown == []
    print(" line\nand a", end="", file=stand_in)
    assert stand_in.shown == ["one line"]


def test_several_lines_are_shown_at_once(stand_in):
    stand_in.writelines(["a\nb\n", "c\n"])
    assert stand_in.shown == ["a\nb", "c"]


def test_somebody_elses_bar_is_shown_once_and_not_at_every_redraw(stand_in):
    for percent in range(100):
        stand_in.write(f"\rdownload {percent}%")
        stand_in.flush()
    assert stand_in.shown == []
    stand_in.write("\n")
    assert stand_in.shown == ["download 99%"]


def test_a_prompt_is_shown_when_it_is_flushed(stand_in):
    stand_in.write("(Pdb) ")
    stand_in.flush()
    assert stand_in.shown == ["(Pdb) "]


def test_after_release_everything_goes_to_the_stream(stand_in):
    stand_in.write("begun")
    stand_in.release()
    print("after", file=stand_in)
    assert stand_in.getvalue() == "begun\nafter\n"
    assert stand_in.shown == []


def test_the_rest_of_the_stream_is_still_there():
    with Path(os.devnull).open("w") as stream:
        above = Above(stream, print)
        assert above.fileno() == stream.fileno()
        assert above.encoding == stream.encoding


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_worker_writes_past_the_display(tmp_path):
    def never(lines):
        raise AssertionError(lines)

    with (tmp_path / "terminal").open("w") as stream:
        above = Above(stream, never)
        child = os.fork()
        if child == 0:
            above.write("from a worker\n")
            above.flush()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert (tmp_path / "terminal").read_text() == "from a worker\n"

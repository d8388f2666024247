"""A process is killed wherever it changes the disk, and whoever looks then finds the newest published snapshot."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch

from hookloop import snapshots

ALL_SAVED = ["saved 1", "saved 2", "saved 3", "saved 4", "saved 4"]


@pytest.fixture
def scene(tmp_path):
    """A function that makes an empty place for one scenario: its run directory and its journal."""

    def make():
        place = tmp_path / "scene"
        shutil.rmtree(place, ignore_errors=True)
        (place / "run").mkdir(parents=True)
        return {"run_dir": str(place / "run"), "journal": str(place / "journal")}

    return make


def lines_of(journal):
    return Path(journal).read_text().splitlines() if Path(journal).exists() else []


def assert_sound(scene, point):
    """Look at what a killed process has left as the next one does."""
    saved = [int(line.split()[1]) for line in lines_of(scene["journal"]) if line.startswith("saved")]
    directory = Path(scene["run_dir"], "checkpoints", "checkpoint")
    newest = snapshots.newest_valid(Path(scene["run_dir"]))
    visible = [each for each in directory.iterdir() if not each.name.startswith(".")] if directory.exists() else []
    assert (newest is None) == (not visible), point
    assert not list(directory.glob(".bad-*")), point
    if newest is None:
        assert not saved, point
        return
    published = max(int(each.name.removeprefix("step-")) for each in visible)
    assert max(saved, default=1) <= newest.step == published, point
    assert len(visible) >= min(2, len(set(saved))), point
    for each in visible:
        step = int(each.name.removeprefix("step-"))
        weight = snapshots.read(each)["model"]["weight"]
        assert torch.equal(weight, torch.full((8,), float(step))), point
    snapshots.clean(directory)
    assert sorted(directory.iterdir()) == sorted(visible), point


def test_a_kill_before_any_change_of_the_disk_leaves_the_newest_published_snapshot(warm, scene):
    point, status = 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        point += 1
        place = scene()
        status = warm.run("saves", **place, kill_at=point)
        assert_sound(place, point)
    assert status == 0
    assert point > 60  # four saves, two removals and a replacement have more points than that
    assert lines_of(place["journal"]) == ALL_SAVED


@pytest.fixture
def traced(warm, scene, tmp_path):
    """A function that saves while strace injects *fault* into call *number* of each kind in *calls*."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")

    def run(calls, fault, number):
        place = scene()
        go = tmp_path / "go"
        go.unlink(missing_ok=True)
        os.mkfifo(go)
        pid = warm.start("saves", **place, go=str(go))
        strace = subprocess.Popen(
            ["strace", "-p", str(pid), "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}:when={number}"],
            stderr=subprocess.PIPE,
            text=True,
        )
        attached = "attached" in strace.stderr.readline()
        go.write_bytes(b"")  # which waits for the child to open it
        strace.communicate()
        status = warm.wait()
        if not attached:
            pytest.skip("strace may not attach to a process here")
        return place, status

    return run


RENAMES, MKDIRS, REMOVALS = "?rename,?renameat,?renameat2", "?mkdir,?mkdirat", "?unlink,?unlinkat,?rmdir"


@pytest.mark.parametrize("calls", ["fsync", "write", RENAMES, MKDIRS, REMOVALS])
def test_a_kill_in_any_system_call_leaves_the_newest_published_snapshot(traced, calls):
    number, status = 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        number += 1
        place, status = traced(calls, "signal=KILL", number)
        assert_sound(place, f"{calls} {number}")
    assert status == 0
    assert number > 5
    assert lines_of(place["journal"]) == ALL_SAVED


@pytest.mark.parametrize(
    ("calls", "error", "reason"),
    [
        ("fsync", "EIO", "Input/output error"),
        ("write", "ENOSPC", "No space left on device"),
        (RENAMES, "EIO", "Input/output error"),
        (MKDIRS, "EDQUOT", "Disk quota exceeded"),
    ],
)
def test_a_call_that_fails_costs_no_other_snapshot_and_the_next_save_succeeds(traced, calls, error, reason):
    for number in range(1, 60, 3):
        place, status = traced(calls, f"error={error}", number)
        assert status == 0
        lines = lines_of(place["journal"])
        if lines == ALL_SAVED:
            return
        assert_sound(place, f"{calls} {number}")
        assert [reason in line for line in lines if line.startswith("failed")] == [True]
    pytest.fail("the fault never stopped to occur")

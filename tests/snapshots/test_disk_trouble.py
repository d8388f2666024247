"""Full, read-only and limited disks, with real ones: what is there stays valid, and the message says what it needs."""

import os
import subprocess
from pathlib import Path

import pytest
import torch

from hookloop import SnapshotError, snapshots

LARGE = {"counters": {"step": 2}, "model": {"weight": torch.ones(1_000_000)}}


@pytest.fixture
def small_disk(run_dir):
    """The run directory, on a file system of two megabytes."""
    size = ["-t", "tmpfs", "-o", "size=2m", "none", str(run_dir)]
    try:
        mounted = subprocess.run(["mount", *size], capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no file system can be mounted here")
    yield run_dir
    subprocess.run(["umount", "--lazy", str(run_dir)], check=True)


def assert_only_the_first_is_left(directory):
    assert [each.name for each in directory.iterdir()] == ["step-00000001"]
    assert snapshots.newest_valid(directory.parents[1]).step == 1


def test_a_state_larger_than_the_disk_is_refused_before_it_is_written(small_disk, save, directory):
    save(1)
    message = r"No space left on device.* needs about 4\.0 MB, [0-9.]+ MB are free there\. .* before are untouched"
    with pytest.raises(SnapshotError, match=message) as caught:
        snapshots.write(directory, "step-00000002", LARGE, instance="checkpoint")
    assert caught.value.__cause__.filename == str(directory)  # and no file in it
    assert_only_the_first_is_left(directory)


def test_a_disk_that_fills_up_while_it_is_written_to_is_an_error_with_the_cause(small_disk, save, directory):
    save(1)
    # Bytes are no tensor: how many there are is not known before.
    state = {"counters": {"step": 2}, "model": {}, "data": {"blob": bytes(4_000_000)}}
    with pytest.raises(SnapshotError, match="No space left on device") as caught:
        snapshots.write(directory, "step-00000002", state, instance="checkpoint")
    assert isinstance(caught.value.__cause__, OSError)
    assert_only_the_first_is_left(directory)


def test_a_disk_that_becomes_full_of_other_things_is_an_error_and_room_made_is_enough(small_disk, save, directory):
    save(1)
    other = small_disk / "other"
    with pytest.raises(OSError, match="No space left"):
        other.write_bytes(bytes(4_000_000))
    with pytest.raises(SnapshotError, match="No space left on device"):
        save(2)
    assert_only_the_first_is_left(directory)
    other.unlink()
    assert save(2).step == 2


def test_a_disk_that_becomes_read_only_is_an_error_and_what_is_on_it_is_found(small_disk, save, directory):
    save(1)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(SnapshotError, match="Read-only file system"):
        save(2)
    assert_only_the_first_is_left(directory)


def test_a_damaged_snapshot_on_a_read_only_disk_is_passed_over_though_it_keeps_its_name(small_disk, save, caplog):
    save(1)
    damaged = save(2).path
    (damaged / "model.pt").write_bytes(b"")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert snapshots.newest_valid(small_disk).step == 1
    assert "It cannot be renamed: Read-only file system." in caplog.text
    assert damaged.exists()


def test_a_directory_without_the_right_to_write_is_an_error(save, directory):
    save(1)
    directory.chmod(0o500)
    if os.access(directory, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(SnapshotError, match="Permission denied"):
        save(2)
    directory.chmod(0o700)
    assert_only_the_first_is_left(directory)


def test_a_file_that_is_too_large_for_the_system_is_an_error(warm, save, directory, tmp_path):
    save(1)
    journal = tmp_path / "journal"
    status = warm.run("large_save", directory=str(directory), journal=str(journal), limit_bytes=100_000)
    assert status == 0
    assert Path(journal).read_text().startswith("OSError: the snapshot ")
    assert "File too large" in journal.read_text()
    assert_only_the_first_is_left(directory)


def test_a_file_in_the_place_of_the_directory_is_an_error(save, run_dir):
    (run_dir / "checkpoints").write_text("")
    with pytest.raises(SnapshotError, match=r"could not be written: (Not a directory|File exists)"):
        save(1)

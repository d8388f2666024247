import errno
import logging
import os
from pathlib import Path

import pytest

from hookloop import snapshots
from hookloop.snapshots import durable


def test_what_is_put_aside_gets_a_hidden_name_of_its_own_each_time(save):
    names = [snapshots.put_aside(save(1).path, ".bad-").name for _ in range(3)]
    assert names == [".bad-step-00000001", ".bad-step-00000001-1", ".bad-step-00000001-2"]


@pytest.mark.parametrize("prefix", ["aside", ".aside", ".aside-"])
def test_a_prefix_may_have_its_dot_and_dash(save, prefix):
    assert snapshots.put_aside(save(1).path, prefix).name == ".aside-step-00000001"


def test_a_snapshot_loses_its_name_before_its_files(save, directory, monkeypatch):
    path = save(1).path
    seen = []
    rename, fsync, unlink = os.rename, os.fsync, os.unlink

    def record(name, function):
        def call(*arguments, **keywords):
            seen.append((name, path.exists()))
            return function(*arguments, **keywords)

        return call

    monkeypatch.setattr(os, "rename", record("rename", rename))
    monkeypatch.setattr(os, "fsync", record("fsync", fsync))
    monkeypatch.setattr(os, "unlink", record("unlink", unlink))
    snapshots.remove(path)
    assert seen[:2] == [("rename", True), ("fsync", False)]
    assert set(seen[2:]) == {("unlink", False)}
    assert list(directory.iterdir()) == []


def test_removing_what_is_not_there_is_an_error_of_the_system(directory):
    with pytest.raises(FileNotFoundError):
        snapshots.remove(directory / "step-00000001")


def test_a_link_is_removed_and_not_what_it_points_to(save, directory):
    path = save(1).path
    (directory / "link").symlink_to(path)
    snapshots.remove(directory / "link")
    assert [each.name for each in directory.iterdir()] == ["step-00000001"]
    assert snapshots.verify(path) == []


def test_files_that_cannot_be_removed_are_a_warning(save, directory, monkeypatch, caplog):
    def fail(*_arguments, **_keywords):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = save(1).path
    monkeypatch.setattr(os, "unlink", fail)
    snapshots.remove(path)
    assert not path.exists()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "cannot be removed: [Errno 5] Input/output error" in caplog.text


def test_a_file_system_without_fsync_of_directories_is_good_enough(tmp_path, monkeypatch):
    def refuse(_descriptor):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    durable.fsync_directory(tmp_path)


def test_an_error_of_the_disk_is_not_swallowed(tmp_path, monkeypatch):
    def fail(_descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        durable.fsync_directory(tmp_path)


def test_no_descriptor_is_left_open(save):
    open_before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    snapshots.remove(save(1).path)
    assert (len(list(Path("/proc/self/fd").iterdir())) if open_before else 0) == open_before

import errno
import os
import re
import shutil
from pathlib import Path

import pytest
import torch

from hookloop import SnapshotError, snapshots


@pytest.fixture
def calls(monkeypatch):
    """What is done to the disk, in order: the name of the call, of the file, and of a synced file its size."""
    recorded = []

    def record(name, describe):
        function = getattr(os, name)

        def call(*arguments, **keywords):
            recorded.append((name, *describe(*arguments)))
            return function(*arguments, **keywords)

        monkeypatch.setattr(os, name, call)

    def synced(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        return path.name, path.stat().st_size if path.is_file() else None

    record("fsync", synced)
    record("rename", lambda source, target: (Path(source).name, Path(target).name))
    record("mkdir", lambda path, *_: (Path(path).name,))
    return recorded


def test_a_snapshot_is_published_after_all_of_it_is_on_disk_and_its_manifest_last(save, calls):
    saved = save(3)
    fresh = calls[4][1]
    assert re.fullmatch(rf"\.tmp-step-00000003-{os.getpid()}-.+", fresh)
    sizes = {name: record.size_bytes for name, record in saved.files.items()}
    assert calls == [
        ("mkdir", "checkpoints"),
        ("fsync", "run", None),
        ("mkdir", "checkpoint"),
        ("fsync", "checkpoints", None),
        ("mkdir", fresh),
        *(("fsync", name, sizes[name]) for name in ("run.pt", "model.pt", "optimizer-0.pt", "plugins.pt")),
        ("fsync", "MANIFEST.json", (saved.path / "MANIFEST.json").stat().st_size),
        ("fsync", fresh, None),
        ("rename", fresh, "step-00000003"),
        ("fsync", "checkpoint", None),
    ]


def test_each_object_has_a_file_and_small_plain_ones_share_one(save):
    saved = save(1)
    assert sorted(each.name for each in saved.path.iterdir()) == [
        "MANIFEST.json",
        "model.pt",
        "optimizer-0.pt",
        "plugins.pt",
        "run.pt",
    ]
    assert list(torch.load(saved.path / "model.pt", weights_only=True)) == ["weight", "bias"]


def test_what_is_returned_is_what_the_manifest_says(save):
    saved = save(7, kind="weights", metrics={"val/f1": 0.5}, attempt=2)
    assert snapshots.read_manifest(saved.path) == saved
    assert (saved.kind, saved.instance, saved.step, saved.samples, saved.attempt) == ("weights", "checkpoint", 7, 14, 2)
    assert (saved.metrics, saved.plugins, saved.fingerprint) == ({"val/f1": 0.5}, {"ema": "1.2"}, {"torch": "2"})
    assert saved.size_bytes == sum(each.stat().st_size for each in saved.path.glob("*.pt"))
    assert saved.saved_at.endswith("+00:00")


def test_keys_that_are_no_file_names_and_keys_alike_get_files_of_their_own(directory, run_dir):
    state = {"a/b": torch.ones(1), "a_b": torch.ones(2), "A_B": torch.ones(3), "run": torch.ones(4), "..": [1]}
    saved = snapshots.write(directory, "odd", state, instance="checkpoint")
    assert sorted(saved.files) == ["A_B_2.pt", "_.pt", "a_b.pt", "a_b_1.pt", "run_1.pt"]
    read = snapshots.read(saved.path)
    assert list(read) == list(state)
    assert [len(read[key]) for key in read] == [1, 2, 3, 4, 1]


def test_the_same_step_saved_again_replaces_the_first(save, directory):
    save(1)
    second = save(1, attempt=1)
    assert [each.name for each in directory.iterdir()] == ["step-00000001"]
    assert snapshots.read_manifest(second.path).attempt == 1
    assert snapshots.verify(second.path) == []


def test_when_the_second_of_a_step_cannot_be_published_the_first_keeps_its_name(save, directory, monkeypatch):
    first = save(1)
    rename = os.rename

    def fail(source, target):
        if Path(source).name.startswith(".tmp-"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(SnapshotError, match="Input/output error"):
        save(1, attempt=1)
    assert snapshots.read_manifest(first.path) == first
    assert [each.name for each in directory.iterdir()] == ["step-00000001"]


@pytest.mark.parametrize("name", ["val/f1=0.5", ".hidden", "..", ""])
def test_a_name_that_is_no_visible_directory_is_refused(directory, name):
    with pytest.raises(SnapshotError, match="no name for a snapshot"):
        snapshots.write(directory, name, {}, instance="checkpoint")


def test_a_value_that_needs_code_to_be_read_back_is_refused_with_its_place_and_leaves_nothing(
    save, directory, state_of
):
    state = state_of(1)
    state["plugins"]["ema"]["state"]["where"] = [1, Path("x")]
    with pytest.raises(SnapshotError, match=r"state\['plugins'\]\['ema'\]\['state'\]\['where'\]\[1\] is a pathlib\."):
        snapshots.write(directory, "step-1", state, instance="checkpoint")
    assert not directory.exists()


def test_of_a_view_only_what_it_shows_is_written(directory, run_dir):
    large = torch.zeros(1_000_000)
    state = {"model": {"one": large[:10], "same": large[:10].detach()}}
    saved = snapshots.write(directory, "view", state, instance="checkpoint")
    assert saved.size_bytes < 10_000
    model = snapshots.read(saved.path)["model"]
    assert model["one"].data_ptr() == model["same"].data_ptr()


def test_the_state_is_left_as_it_is(directory, run_dir):
    view = torch.arange(10)[2:4]
    inner = {"view": view}
    state = {"model": inner}
    snapshots.write(directory, "same", state, instance="checkpoint")
    assert state["model"] is inner
    assert inner["view"] is view


def test_a_directory_that_vanishes_while_it_is_written_to_is_an_error_with_the_path(save, directory, monkeypatch):
    fsync = os.fsync

    def vanish(descriptor):
        fsync(descriptor)
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == "model.pt":
            shutil.rmtree(directory)

    monkeypatch.setattr(os, "fsync", vanish)
    with pytest.raises(SnapshotError, match=r"step-00000001 could not be written: No such file or directory"):
        save(1)
    monkeypatch.undo()
    assert snapshots.verify(save(1).path) == []


def test_a_run_directory_that_is_gone_is_not_made_anew(save, run_dir):
    save(1)
    moved = run_dir.rename(run_dir.with_name("moved"))
    with pytest.raises(SnapshotError, match=f"the run directory {run_dir} is gone"):
        save(2)
    assert not run_dir.exists()
    assert snapshots.newest_valid(moved).step == 1

import random
import shutil

import pytest
import torch

from hookloop import SnapshotError, snapshots


def test_a_run_without_snapshots_has_none(run_dir):
    assert snapshots.find(run_dir) == []
    assert snapshots.newest_valid(run_dir) is None
    assert snapshots.newest_valid(run_dir / "nowhere") is None


def test_all_instances_and_kinds_are_found_newest_first(run_dir, save, state_of):
    save(3)
    save(4, kind="exception")
    snapshots.write(run_dir / "checkpoints" / "best", "best", state_of(2), instance="best", kind="weights", attempt=1)
    assert [(each.attempt, each.step) for each in snapshots.find(run_dir)] == [(1, 2), (0, 4), (0, 3)]


def test_the_newest_is_of_the_last_attempt_even_when_an_earlier_one_came_further(run_dir, save):
    save(9)
    save(5, attempt=1)
    assert snapshots.newest_valid(run_dir).step == 5


@pytest.mark.parametrize("kind", ["weights", "exception"])
def test_only_a_resumable_one_is_chosen(run_dir, save, kind):
    save(1)
    save(2, kind=kind)
    assert snapshots.newest_valid(run_dir).step == 1


def test_neither_hidden_directories_nor_files_are_snapshots(run_dir, directory, save):
    saved = save(1)
    for name in (".tmp-step-00000002-1-ab", ".trash-step-00000003-1-ab", ".bad-step-00000004", ".aside-step-00000005"):
        shutil.copytree(saved.path, directory / name)
    (directory / "notes.txt").write_text("mine")
    (run_dir / "checkpoints" / "notes.txt").write_text("mine")
    assert [each.path for each in snapshots.find(run_dir)] == [saved.path]
    assert snapshots.newest_valid(run_dir) == saved
    assert (directory / "notes.txt").exists()


def test_a_directory_without_a_manifest_is_put_aside(run_dir, directory, save, caplog):
    save(1)
    (directory / "step-00000002").mkdir()
    (directory / "step-00000002" / "model.pt").write_bytes(b"half")
    assert snapshots.newest_valid(run_dir).step == 1
    assert (directory / ".bad-step-00000002" / "model.pt").exists()
    assert caplog.records[0].levelname == "ERROR"
    assert f"{directory / 'step-00000002'} is no snapshot: it has no MANIFEST.json" in caplog.text


def test_the_log_names_the_path_and_the_faults_of_a_damaged_one(run_dir, save, caplog):
    save(1)
    damaged = save(2).path
    (damaged / "model.pt").unlink()
    (damaged / "run.pt").write_bytes(b"")
    assert snapshots.newest_valid(run_dir).step == 1
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert str(damaged) in record.getMessage()
    assert "model.pt: missing" in record.getMessage()
    assert "run.pt: has 0 bytes" in record.getMessage()
    assert ".bad-step-00000002" in record.getMessage()


def test_when_none_is_valid_that_is_an_error_with_their_names_and_a_way_out_each_time(run_dir, directory, save):
    for step in (1, 2):
        (save(step).path / "model.pt").unlink()
    for _ in range(2):
        with pytest.raises(SnapshotError) as caught:
            snapshots.newest_valid(run_dir)
        for text in (".bad-step-00000001", ".bad-step-00000002", "--resume PATH", "--overwrite"):
            assert text in str(caught.value)


@pytest.mark.parametrize(("kind", "reason"), [("weights", "only weights"), ("exception", "a step that failed")])
def test_when_there_are_only_such_that_nothing_resumes_from_that_is_an_error(run_dir, save, kind, reason):
    save(1, kind=kind)
    with pytest.raises(SnapshotError, match=f"step-00000001.*{reason}"):
        snapshots.newest_valid(run_dir)


def damage(path, rng):
    """Do one thing to one file of the snapshot at *path*, and return what."""
    file = rng.choice(sorted(path.iterdir()))
    data = bytearray(file.read_bytes())
    position = rng.randrange(len(data))
    what = rng.choice(["flip", "flip", "truncate", "delete"])
    if what == "delete":
        file.unlink()
        return f"{file.name}: deleted"
    if what == "truncate":
        file.write_bytes(data[:position])
        return f"{file.name}: truncated to {position} bytes"
    data[position] ^= rng.randrange(1, 256)
    file.write_bytes(data)
    return f"{file.name}: byte {position} changed"


def test_whatever_is_changed_cut_off_or_deleted_is_noticed_and_the_older_one_is_used(run_dir, save, tmp_path):
    save(1)
    newest = save(2).path
    pristine = tmp_path / "pristine"
    shutil.copytree(newest, pristine)
    rng = random.Random(20260)
    for _ in range(200):
        case = damage(newest, rng)
        assert snapshots.verify(newest), case
        found = snapshots.newest_valid(run_dir)
        assert found.step == 1, case
        assert torch.equal(snapshots.read(found.path)["model"]["weight"], torch.ones(4)), case
        shutil.rmtree(newest.with_name(f".bad-{newest.name}"))
        shutil.copytree(pristine, newest)
    assert snapshots.newest_valid(run_dir).step == 2

import json

import pytest

from hookloop import snapshots


def test_an_intact_snapshot_has_no_faults(save):
    assert snapshots.verify(save(1).path) == []


def test_a_missing_a_short_a_changed_and_a_strange_file_are_told_apart(save):
    path = save(1).path
    (path / "run.pt").unlink()
    (path / "model.pt").write_bytes((path / "model.pt").read_bytes()[:-5])
    data = (path / "plugins.pt").read_bytes()
    (path / "plugins.pt").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    (path / "extra.pt").write_bytes(b"")
    size_bytes = (path / "model.pt").stat().st_size
    assert snapshots.verify(path) == [
        "extra.pt: not in the manifest",
        "run.pt: missing",
        f"model.pt: has {size_bytes} bytes, {size_bytes + 5} were written",
        "plugins.pt: checksum differs",
    ]
    assert "plugins.pt: checksum differs" not in snapshots.verify(path, depth="size")


def test_a_hidden_file_of_a_file_server_is_no_fault(save):
    path = save(1).path
    (path / ".nfs0001").write_bytes(b"")
    assert snapshots.verify(path) == []


def test_a_directory_in_the_place_of_a_file_is_a_fault(save):
    path = save(1).path
    (path / "model.pt").unlink()
    (path / "model.pt").mkdir()
    assert len(snapshots.verify(path)) == 1


@pytest.mark.parametrize("manifest", [b"", b"{}", b"\xff\x00", json.dumps({"format": 1}).encode()])
def test_what_is_no_manifest_is_a_fault(save, manifest):
    path = save(1).path
    (path / "MANIFEST.json").write_bytes(manifest)
    (fault,) = snapshots.verify(path)
    assert "MANIFEST.json is damaged" in fault


def test_a_path_that_does_not_exist_is_a_fault(tmp_path):
    (fault,) = snapshots.verify(tmp_path / "nowhere")
    assert "is no snapshot: it has no MANIFEST.json" in fault

import dataclasses
import json
import math

import pytest

from hookloop import SnapshotError, snapshots
from hookloop.snapshots.manifest import encode, seal


@pytest.fixture
def rewrite():
    """A function that changes entries of a manifest and seals it again, as one who knows the format could."""

    def change(path, **entries):
        file = path / "MANIFEST.json"
        facts = json.loads(file.read_bytes())
        seal_entry = facts.pop("manifest_sha256")
        file.write_bytes(
            seal((json.dumps(facts | entries | {"manifest_sha256": seal_entry}, indent=2) + "\n").encode())
        )

    return change


def test_metrics_that_json_has_no_numbers_for_come_back(save):
    metrics = {"nan": math.nan, "up": math.inf, "down": -math.inf, "small": 5e-324, "third": 1 / 3}
    read = snapshots.read_manifest(save(1, metrics=metrics).path).metrics
    assert math.isnan(read.pop("nan"))
    assert read == {key: value for key, value in metrics.items() if key != "nan"}


def test_every_single_byte_of_a_manifest_counts(save):
    file = save(1).path / "MANIFEST.json"
    data = file.read_bytes()
    for position in range(len(data)):
        file.write_bytes(data[:position] + bytes([data[position] ^ 0x20]) + data[position + 1 :])
        with pytest.raises(snapshots.SnapshotDamaged):
            snapshots.read_manifest(file.parent)
    file.write_bytes(data + b"\n")
    with pytest.raises(snapshots.SnapshotDamaged):
        snapshots.read_manifest(file.parent)


def test_a_later_format_says_upgrade_and_is_no_damage(save, rewrite, run_dir):
    path = save(1).path
    rewrite(path, format=2)
    for look in (snapshots.read_manifest, snapshots.verify, snapshots.read):
        with pytest.raises(SnapshotError, match="has format 2, this hookloop reads 1: upgrade hookloop") as caught:
            look(path)
        assert not isinstance(caught.value, snapshots.SnapshotDamaged)
    assert snapshots.find(run_dir) == []
    with pytest.raises(SnapshotError, match="upgrade"):
        snapshots.newest_valid(run_dir)
    assert path.exists()


@pytest.mark.parametrize(
    "entries",
    [
        {"format": "new"},
        {"kind": "other"},
        {"step": "3"},
        {"step": True},
        {"instance": None},
        {"metrics": []},
        {"metrics": {"a": "much"}},
        {"plugins": []},
        {"files": {"../run.pt": {"size_bytes": 1, "sha256": "0"}}},
        {"files": {"run.pt": {"size_bytes": "1", "sha256": "0"}}},
        {"files": {"run.pt": {"bytes": 1}}},
        {"parts": {"model": "/etc/passwd"}},
        {"parts": {"model": [["model.pt"]]}},
        {"parts": {"model": 3}},
    ],
)
def test_entries_that_no_hookloop_writes_are_refused_even_under_a_right_checksum(save, rewrite, entries):
    path = save(1).path
    rewrite(path, **entries)
    with pytest.raises(snapshots.SnapshotDamaged, match="is no manifest of a snapshot"):
        snapshots.read_manifest(path)


def test_a_manifest_without_an_entry_is_refused(save):
    saved = save(1)
    file = saved.path / "MANIFEST.json"
    file.write_bytes(seal(file.read_bytes().replace(b'  "kind": "resumable",\n', b"")))
    with pytest.raises(snapshots.SnapshotDamaged, match="KeyError: 'kind'"):
        snapshots.read_manifest(saved.path)


def test_encoding_what_was_read_gives_the_same_bytes(save):
    saved = save(1, metrics={"a": math.inf})
    read = snapshots.read_manifest(saved.path)
    assert encode(dataclasses.replace(read)) == (saved.path / "MANIFEST.json").read_bytes()

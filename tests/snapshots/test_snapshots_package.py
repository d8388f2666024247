import subprocess
import sys

from hookloop import HookloopError, SnapshotError, snapshots

LISTING = """
import sys
from pathlib import Path
from hookloop import snapshots
snapshots.find(Path()), snapshots.newest_valid(Path()), snapshots.clean(Path())
snapshots.read_manifest, snapshots.verify, snapshots.remove, snapshots.put_aside
assert "torch" not in sys.modules and "pydantic" not in sys.modules
"""


def test_listing_checking_and_removing_need_no_torch(tmp_path):
    subprocess.run([sys.executable, "-c", LISTING], cwd=tmp_path, check=True)


def test_every_public_name_is_there():
    for name in snapshots.__all__:
        assert getattr(snapshots, name) is not None
    assert dir(snapshots) == sorted(snapshots.__all__)


def test_a_name_that_it_does_not_have_is_an_attribute_error():
    assert not hasattr(snapshots, "latest")


def test_its_errors_are_of_one_family():
    assert issubclass(snapshots.SnapshotDamaged, SnapshotError)
    assert issubclass(SnapshotError, HookloopError)
    assert snapshots.SnapshotError is SnapshotError

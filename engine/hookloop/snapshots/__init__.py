"""Snapshots: the whole state of a run on disk, written so that a kill at any instant leaves the older ones whole.

A snapshot is a directory ``RUN_DIR/checkpoints/INSTANCE/NAME/`` with one file per object of the state and a
``MANIFEST.json``, written last, that holds the size and the checksum of each. Directories whose name starts with a dot
are none: they are being written, being removed, or were put aside.

Everything here is imported when it is first asked for: listing and checking snapshots needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookloop.errors import SnapshotDamaged, SnapshotError
    from hookloop.snapshots.cleaning import clean
    from hookloop.snapshots.copying import copy_state
    from hookloop.snapshots.durable import put_aside, remove
    from hookloop.snapshots.exporting import export_weights
    from hookloop.snapshots.finding import find, newest_valid
    from hookloop.snapshots.manifest import MANIFEST, FileRecord, Kind, Snapshot, read_manifest
    from hookloop.snapshots.reading import read
    from hookloop.snapshots.rolling_back import roll_back
    from hookloop.snapshots.taking import as_first_says, saved, take, writing_group
    from hookloop.snapshots.verifying import verify
    from hookloop.snapshots.writing import write

__all__ = [
    "MANIFEST",
    "FileRecord",
    "Kind",
    "Snapshot",
    "SnapshotDamaged",
    "SnapshotError",
    "as_first_says",
    "clean",
    "copy_state",
    "export_weights",
    "find",
    "newest_valid",
    "put_aside",
    "read",
    "read_manifest",
    "remove",
    "roll_back",
    "saved",
    "take",
    "verify",
    "write",
    "writing_group",
]

_LAZY = {
    "MANIFEST": "hookloop.snapshots.manifest",
    "FileRecord": "hookloop.snapshots.manifest",
    "Kind": "hookloop.snapshots.manifest",
    "Snapshot": "hookloop.snapshots.manifest",
    "SnapshotDamaged": "hookloop.errors",
    "SnapshotError": "hookloop.errors",
    "as_first_says": "hookloop.snapshots.taking",
    "clean": "hookloop.snapshots.cleaning",
    "copy_state": "hookloop.snapshots.copying",
    "export_weights": "hookloop.snapshots.exporting",
    "find": "hookloop.snapshots.finding",
    "newest_valid": "hookloop.snapshots.finding",
    "put_aside": "hookloop.snapshots.durable",
    "read": "hookloop.snapshots.reading",
    "read_manifest": "hookloop.snapshots.manifest",
    "remove": "hookloop.snapshots.durable",
    "roll_back": "hookloop.snapshots.rolling_back",
    "saved": "hookloop.snapshots.taking",
    "take": "hookloop.snapshots.taking",
    "verify": "hookloop.snapshots.verifying",
    "write": "hookloop.snapshots.writing",
    "writing_group": "hookloop.snapshots.taking",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'hookloop.snapshots' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return __all__

"""``MANIFEST.json``: what a snapshot is, which files it consists of, and how to tell that none of them has changed.

The manifest guards itself too. Its last entry is the sha256 of its own bytes, with zeros in place of those 64 digits.
Every later format keeps to that, so that a damaged manifest is told from one of a newer hookloop.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from hookloop.errors import SnapshotDamaged, SnapshotError
from hookloop.json_rows import to_json

FORMAT = 1
MANIFEST = "MANIFEST.json"
SHARDED = "sharded"  # the directory in a snapshot for what its processes hold in parts
Kind = Literal["resumable", "weights", "exception"]

SEAL = re.compile(rb'(?<=\n  "manifest_sha256": ")[^"]{64}(?="\n}\n\Z)')
BLANK = b"0" * 64
COUNTERS = ("step", "epoch", "batch_index", "samples", "attempt")


@dataclass(frozen=True)
class FileRecord:
    """Size and checksum of one file of a snapshot."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Snapshot:
    """What the manifest of a snapshot says.

    Attributes:
        path: its directory.
        kind: ``"resumable"``; ``"weights"``, of which only the model can be used; or ``"exception"``, taken in the
            middle of a failing step, from which only an explicit path resumes.
        instance: the plugin instance that saved it.
        step, epoch, batch_index, samples: the counters of the run when it was taken.
        saved_at: when, ISO 8601 in UTC.
        attempt: 0 in a fresh run, one more with each resume.
        metrics: the newest values at that time.
        fingerprint: what bit-exact results depend on beside the state.
        plugins: version of each plugin instance with a state.
        files: name to size and checksum. Those of a model that is shared out among processes are `sharded/NAME`.
        parts: key of the state to the file, or for a list of objects the files, that hold it.
    """

    path: Path
    kind: Kind
    instance: str
    step: int
    epoch: int
    batch_index: int
    samples: int
    saved_at: str
    attempt: int
    metrics: Mapping[str, float]
    fingerprint: Mapping[str, Any]
    plugins: Mapping[str, str]
    files: Mapping[str, FileRecord]
    parts: Mapping[str, str | Sequence[str]]

    @property
    def size_bytes(self) -> int:
        """Of all its files together."""
        return sum(record.size_bytes for record in self.files.values())


def encode(snapshot: Snapshot) -> bytes:
    """Return the bytes of the manifest of *snapshot*."""
    facts = asdict(snapshot)
    del facts["path"]
    facts |= {name: to_json(facts[name]) for name in ("metrics", "fingerprint")}
    body = {"format": FORMAT, **facts, "manifest_sha256": BLANK.decode()}
    return seal((json.dumps(body, indent=2, allow_nan=False) + "\n").encode())


def seal(data: bytes) -> bytes:
    """Return *data* with its own checksum in its last entry; unchanged when it has no such entry."""
    blank = SEAL.sub(BLANK, data)
    return SEAL.sub(hashlib.sha256(blank).hexdigest().encode(), blank)


def read_manifest(path: Path) -> Snapshot:
    """Return what the manifest of the snapshot at *path* says.

    Raises SnapshotDamaged when it is missing, unreadable or not what was written, and SnapshotError when a later
    hookloop has written it.
    """
    file = path / MANIFEST
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise SnapshotDamaged(
            f"{path} is no snapshot: it has no {MANIFEST}. Snapshots are directories such as "
            "RUN_DIR/checkpoints/checkpoint/step-00000120."
        ) from None
    except OSError as error:
        raise SnapshotDamaged(f"{file} cannot be read: {error}.") from error
    if not SEAL.search(data) or seal(data) != data:
        raise SnapshotDamaged(f"{file} is damaged: its checksum differs.")
    return decode(file, data)


def decode(file: Path, data: bytes) -> Snapshot:
    """Return the snapshot that *data* tell of, checked: whoever has sealed them, nothing in them is believed."""
    try:
        facts = json.loads(data)
        if facts["format"] > FORMAT:
            raise SnapshotError(f"{file} has format {facts['format']}, this hookloop reads {FORMAT}: upgrade hookloop.")
        facts["files"] = {name: FileRecord(**record) for name, record in facts["files"].items()}
        facts["metrics"] = {name: float(value) for name, value in facts["metrics"].items()}
        snapshot = Snapshot(file.parent, **{key: facts[key] for key in Snapshot.__annotations__ if key != "path"})
        wrong = next(wrong_entries(snapshot), None)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SnapshotDamaged(f"{file} is no manifest of a snapshot: {type(error).__name__}: {error}.") from error
    if wrong:
        raise SnapshotDamaged(f"{file} is no manifest of a snapshot: {wrong} has an unexpected value.")
    return snapshot


def wrong_entries(snapshot: Snapshot) -> Iterator[str]:
    """Yield the names of the entries that no hookloop writes, such as a file outside of the directory."""
    if snapshot.kind not in get_args(Kind):
        yield "kind"
    for name in COUNTERS:
        if type(getattr(snapshot, name)) is not int:
            yield name
    for name in ("instance", "saved_at"):
        if type(getattr(snapshot, name)) is not str:
            yield name
    for name in ("fingerprint", "plugins", "parts"):
        if type(getattr(snapshot, name)) is not dict:
            yield name
    for file, record in snapshot.files.items():
        if (
            Path(file).name != file.removeprefix(f"{SHARDED}/")
            or type(record.size_bytes) is not int
            or type(record.sha256) is not str
        ):
            yield f"files.{file}"
    named = [[files] if isinstance(files, str) else files for files in snapshot.parts.values()]
    if not all(isinstance(files, list) and all(file in snapshot.files for file in files) for files in named):
        yield "parts"


def sharded_files(snapshot: Snapshot) -> list[str]:
    """Return the files with what its processes held in parts, if they did."""
    return [name for name in snapshot.files if name.startswith(f"{SHARDED}/")]

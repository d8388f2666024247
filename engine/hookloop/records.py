"""What a run leaves on disk: its directory with ``config.toml``, ``run.json`` and ``metrics.jsonl``."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hookloop.errors import ConfigError, LogError
from hookloop.json_rows import encode_row, from_json, to_json

log = logging.getLogger("hookloop")

CONFIG, RECORD, METRICS, LATEST = "config.toml", "run.json", "metrics.jsonl", "latest"


def holds_run(directory: Path) -> bool:
    """Return whether *directory* has anything of a run in it."""
    return any((directory / name).exists() for name in (CONFIG, RECORD, METRICS))


def outcome_of(directory: Path) -> str | None:
    """Return how the run in *directory* ended; None where it did not, or nobody wrote of it."""
    path = directory / RECORD
    outcome: str | None = json.loads(path.read_text(encoding="utf-8")).get("outcome") if path.exists() else None
    return outcome


def make_directory(runs_dir: Path, name: str, run_dir: Path | None, *, overwrite: bool, resume: bool) -> Path:
    """Create and return the directory of a run: *run_dir*, or a new ``runs_dir/name/ID`` with ``latest`` beside it.

    Raises ConfigError for a directory that holds a run, unless it is to be overwritten or resumed, and for one that
    cannot be written.
    """
    try:
        if run_dir is None:
            return new_directory(runs_dir / name)
        if holds_run(run_dir) and not (overwrite or resume):
            raise ConfigError(
                f"{run_dir} holds a run already. Replace it with --overwrite, or choose another with --run-dir."
            )
        run_dir.mkdir(parents=True, exist_ok=True)
        if not os.access(run_dir, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(run_dir))
        if overwrite and not resume:
            remove_run(run_dir)
        return run_dir
    except OSError as error:
        place = run_dir or runs_dir / name
        raise ConfigError(
            f"the run directory {place} cannot be made: {error}. Choose another with --run-dir."
        ) from error


def new_directory(parent: Path) -> Path:
    """Create ``parent/ID``, where IDs sort by time, and point ``latest`` at it."""
    parent.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    for attempt in range(1000):
        directory = parent / (f"{stamp}-{attempt:03}" if attempt else stamp)
        try:
            directory.mkdir()
        except FileExistsError:
            continue
        point_latest(parent, directory)
        return directory
    raise FileExistsError(f"{parent / stamp} and a thousand like it exist")


def point_latest(parent: Path, directory: Path) -> None:
    """Make ``parent/latest`` a link to *directory*; where the file system has no links, a file with its name."""
    # The name of the new directory is this run's alone, so no run that starts beside it writes the same file.
    fresh = parent / f".{LATEST}-{directory.name}"
    try:
        fresh.symlink_to(directory.name, target_is_directory=True)
    except OSError:
        fresh.write_text(directory.name + "\n", encoding="utf-8")
    try:
        fresh.replace(parent / LATEST)
    except OSError as error:
        fresh.unlink()
        log.warning("%s cannot be pointed at the new run: %s", parent / LATEST, error)


def remove_run(directory: Path) -> None:
    """Remove the engine's own files of an earlier run; what plugins and users put there is theirs.

    Snapshots are put aside, or a resumed run would go on from those of the run that it replaced.
    """
    for name in (CONFIG, RECORD, METRICS):
        (directory / name).unlink(missing_ok=True)
    from hookloop.snapshots.durable import put_aside
    from hookloop.snapshots.finding import CHECKPOINTS

    if (directory / CHECKPOINTS).is_dir():
        kept = put_aside(directory / CHECKPOINTS, "replaced")
        log.warning("the snapshots of the run that this one replaces are kept in %s", kept)


class Records:
    """Writes the files of one run; a rank other than 0 writes none."""

    def __init__(self, directory: Path, *, writes: bool = True) -> None:
        self.directory = directory
        self.writes = writes
        self._metrics: int | None = None
        self._facts: dict[str, Any] = {}

    def write_config(self, text: str) -> None:
        """Write the resolved configuration."""
        if self.writes:
            replace_file(self.directory / CONFIG, text)

    def write_record(self, **facts: Any) -> None:
        """Add *facts* to ``run.json``, which is replaced as a whole, so that a reader never sees half of it."""
        self._facts.update(facts)
        if self.writes:
            replace_file(self.directory / RECORD, json.dumps(to_json(self._facts), indent=2) + "\n")

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append *rows* to ``metrics.jsonl``, a line each.

        Whole lines go to a file that is opened for appending. Where a kill tears the last one, `read_metrics` leaves it
        out, and a resumed run cuts it off.
        JSON has no NaN and no infinity; they are written as the strings ``"NaN"``, ``"Infinity"``, ``"-Infinity"``,
        which ``float()`` reads.
        Raises LogError where there is no room; then the file has the first rows, as many as there was room for.
        """
        path = self.directory / METRICS
        try:
            if self._metrics is None:
                drop_torn_line(path)
                self._metrics = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            append_lines(self._metrics, [encode_row(row) + b"\n" for row in rows])
        except OSError as error:
            way_out = "When that is mended, --resume goes on from the last snapshot."
            raise LogError(f"{path} cannot be written: {error.strerror}. {way_out}") from error

    def go_on(self, rows: int) -> list[dict[str, float]]:
        """Drop what a run that was killed logged after its checkpoint, all but the first *rows*; return those."""
        path = self.directory / METRICS
        if not path.exists():
            return []
        lines = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")][:rows]
        if self.writes:
            os.truncate(path, sum(map(len, lines)))
        return [from_json(json.loads(line)) for line in lines]

    def copy_metrics(self, directory: Path) -> None:
        """Begin with what the run in *directory* logged, when this one goes on from there elsewhere."""
        source = directory / METRICS
        if self.writes and source.exists():
            (self.directory / METRICS).write_bytes(source.read_bytes())

    def recall(self) -> Mapping[str, Any]:
        """Return what ``run.json`` says of the run so far, and go on from it; nothing where there is no such file."""
        path = self.directory / RECORD
        if not self._facts and path.exists():
            self._facts = json.loads(path.read_text(encoding="utf-8"))
        return self._facts

    def close(self) -> None:
        """Close the log."""
        if self._metrics is not None:
            os.close(self._metrics)
            self._metrics = None


def append_lines(file: int, lines: Sequence[bytes]) -> None:
    """Append *lines*; where there is no room, those that fit, and raise OSError."""
    data, written = b"".join(lines), 0
    try:
        while written < len(data):
            written += os.write(file, data[written:])
    except OSError:
        whole = data.rfind(b"\n", 0, written) + 1
        os.ftruncate(file, os.fstat(file).st_size - (written - whole))
        raise


def drop_torn_line(path: Path) -> None:
    """Cut off a last line without an end, which a machine that lost power may leave."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        log.warning("%s ended in the middle of a line: the line is dropped", path)
        os.truncate(path, whole)


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Return the rows of a ``metrics.jsonl``, NaN and infinities as floats, without a torn last line."""
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return [from_json(json.loads(line)) for line in whole.splitlines()]


def replace_file(path: Path, text: str) -> None:
    """Write *text* beside *path* and put it in its place, so that the file is always a whole one."""
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)

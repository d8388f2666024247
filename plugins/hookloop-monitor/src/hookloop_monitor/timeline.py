"""The timeline of a run: a file with one JSON object a line, for each sample and for what happened between two."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Timeline:
    """Appends lines to a file.

    A line is one write to a file that is opened for appending: a kill leaves all of it or nothing. The end of a line
    that a machine without power left behind is cut off.
    """

    def __init__(self, path: Path, *, anew: bool) -> None:
        self.path = path
        self._anew = anew
        self._file: int | None = None

    def write(self, row: Mapping[str, Any]) -> None:
        """Append *row*. Raises OSError, as for a disk that is full."""
        if self._file is None:
            self._file = self._open()
        os.write(self._file, (json.dumps(row, allow_nan=False) + "\n").encode())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        if not self._anew and self.path.exists():
            data = self.path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                os.truncate(self.path, whole)
        start = os.O_TRUNC if self._anew else 0
        self._anew = False
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | start, 0o644)

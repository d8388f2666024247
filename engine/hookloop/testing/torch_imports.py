"""Finds out who imports torch while a plugin is imported: ``python -m hookloop.testing.torch_imports module:attr``.

It needs a process of its own, in which nobody else has imported torch before.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import hookloop
from hookloop.locations import import_location, parse_location

# Where lines stand that say nothing about who imports: Python's own import system, and the engine.
MACHINERY = ("<", importlib.__file__, f"{Path(hookloop.__file__).parent}{os.sep}")


class Watcher(MetaPathFinder):
    """Finds nothing itself, and notes who asks for torch first."""

    def __init__(self) -> None:
        self.chain: list[str] = []

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Note the lines that led here, from the first import to that of torch."""
        if name == "torch" and not self.chain:
            frames = [each for each in traceback.extract_stack() if not each.filename.startswith(MACHINERY)]
            self.chain = [f"{each.filename}:{each.lineno}: {each.line}" for each in frames]
        return None


def torch_imported_by(location: str) -> list[str]:
    """Return the chain of lines by which importing *location* in a fresh process imports torch; empty when it does not.

    RuntimeError, with what it printed, when it cannot be imported.
    """
    command = [sys.executable, "-m", "hookloop.testing.torch_imports", location]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{location} cannot be imported in a fresh process:\n{done.stderr}")
    chain: list[str] = json.loads(done.stdout.splitlines()[-1])
    return chain


def main(location: str) -> None:
    """Import *location*, and print the chain as JSON."""
    watcher = Watcher()
    sys.meta_path.insert(0, watcher)
    import_location(parse_location(location))
    print(json.dumps(watcher.chain))


if __name__ == "__main__":
    main(sys.argv[1])

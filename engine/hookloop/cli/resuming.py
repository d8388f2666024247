"""What `--resume PATH` means for the configuration: that of the run is found, and its directory is where it is now."""

from __future__ import annotations

from pathlib import Path

from hookloop.cli.parameters import NEWEST
from hookloop.config import ConfigTree
from hookloop.config.merge import merge
from hookloop.errors import ConfigError
from hookloop.records import holds_run


def configuration_of(resume: str | None) -> Path | None:
    """Return the configuration that the run at *resume*, or that of the snapshot there, wrote of itself, or None."""
    if resume is None or resume == NEWEST:
        return None
    path = Path(resume).resolve()
    if not path.is_dir():
        raise ConfigError(f"--resume {resume}: there is no such directory. Give that of a run, or of a snapshot in it.")
    places = (each / "config.toml" for each in (path, *path.parents[:3]))
    return next((place for place in places if place.is_file()), None)


def in_its_place(tree: ConfigTree, config: Path | None, resume: str | None) -> ConfigTree:
    """Return *tree* without the run directory that a run's own configuration names, where it is resumed.

    The run is where it is found now, which may be elsewhere; and a snapshot of it begins another one.
    """
    if config is None or resume is None or resume == NEWEST or config.resolve() != configuration_of(resume):
        return tree
    key = ("run", "run_dir")
    if tree.value(key) is None or tree.folders.get(tree.origin(key).source) != config.parent:
        return tree
    directory = resume if holds_run(Path(resume)) else None
    return merge(tree, ConfigTree.from_python({"run": {"run_dir": directory}}, "--resume"), [])

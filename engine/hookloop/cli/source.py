"""From the arguments of a command to the configuration that they name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hookloop.cli.parameters import Destination, Source
from hookloop.config import ConfigTree, load_config
from hookloop.config.merge import merge
from hookloop.errors import ConfigError, Problem


def read_tree(config: Path | None, source: Source, destination: Destination | None = None) -> ConfigTree:
    """Return the configuration: *config*, then ``-c``, variables, ``--set``, and at last where the run is to go.

    Raises ConfigError with everything that is wrong with any of them.
    """
    tree = load_config(files_of(config, source), source.overrides, os.environ)
    problems: list[Problem] = []
    for option, values in flags_of(destination or Destination()):
        tree = merge(tree, ConfigTree.from_python({"run": values}, option), problems)
    if problems:
        raise ConfigError(problems)
    return tree


def files_of(config: Path | None, source: Source) -> Sequence[Path]:
    """Return the files in the order in which they are laid over each other."""
    return source.files if config is None else (config, *source.files)


def flags_of(destination: Destination) -> list[tuple[str, dict[str, Any]]]:
    """Return each option that was given, with what it sets in ``[run]``."""
    flags: list[tuple[str, dict[str, Any]]] = []
    if destination.run_dir is not None:
        flags.append(("--run-dir", {"run_dir": str(destination.run_dir)}))
    if destination.overwrite:
        flags.append(("--overwrite", {"overwrite": True}))
    return flags


def require_configuration(command: str, config: Path | None, source: Source, tree: ConfigTree) -> None:
    """Raise ConfigError when nothing was configured in any way, which is no slip in a file."""
    if not files_of(config, source) and not tree.data:
        raise ConfigError(f"no configuration was named: hookloop {command} run.toml")

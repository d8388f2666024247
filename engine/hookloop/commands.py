"""For commands of plugins: the arguments by which the engine's own commands take a configuration.

A command takes them as ``config: ConfigFile = None, /, *, source: Source = SOURCE, switches: Switches = SWITCHES``, and
gets the files from `named_files`. Import this where the command is defined, not where the plugin is: it takes a while.
"""

from __future__ import annotations

from pathlib import Path

from hookloop.cli.parameters import SOURCE, SWITCHES, ConfigFile, Source, Switches
from hookloop.cli.source import files_of, read_tree, require_configuration

__all__ = ["SOURCE", "SWITCHES", "ConfigFile", "Source", "Switches", "named_files"]


def named_files(command: str, config: Path | None, source: Source) -> list[Path]:
    """Return the files that *config* and *source* name; none where overrides or the environment configure everything.

    Raises ConfigError where nothing does, which says how *command* is called, and for what cannot be read.
    """
    require_configuration(command, config, source, read_tree(config, source))
    return list(files_of(config, source))

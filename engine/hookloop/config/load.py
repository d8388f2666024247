"""Files, then environment variables, then overrides: all the places that a configuration is written in, as one tree."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hookloop.config.files import read_layers
from hookloop.config.merge import merge
from hookloop.config.overrides import VARIABLE_PREFIX, from_override, from_variable
from hookloop.config.tree import ConfigTree
from hookloop.errors import ConfigError, Problem


def load_config(
    files: Sequence[Path], overrides: Sequence[str] = (), environ: Mapping[str, str] = os.environ
) -> ConfigTree:
    """Read *files* in order, each over the one before and over what it extends, then variables, then *overrides*.

    A variable ``HOOKLOOP__RUN__MAX_EPOCHS`` sets ``run.max_epochs``; an override is ``run.max_epochs=3``. Raises
    ConfigError with all that is wrong with any of them.
    """
    problems: list[Problem] = []
    tree = ConfigTree()
    for path in files:
        for layer in read_layers(path, problems):
            tree = merge(tree, layer, problems)
    for name in sorted(name for name in environ if name.startswith(VARIABLE_PREFIX)):
        try:
            tree = merge(tree, from_variable(name, environ[name], tree.data), problems)
        except ConfigError as error:
            problems.extend(error.problems)
    for text in overrides:
        try:
            tree = merge(tree, from_override(text), problems)
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return tree

"""How the commands of plugins take a configuration."""

from pathlib import Path

import pytest

from hookloop import ConfigError
from hookloop.commands import Source, named_files


def test_the_file_comes_before_those_of_the_option():
    assert named_files("x", Path("a"), Source(files=(Path("b"), Path("c")))) == [Path("a"), Path("b"), Path("c")]


def test_an_override_is_a_configuration_and_nothing_is_none():
    assert named_files("x", None, Source(overrides=("run.max_epochs=1",))) == []
    with pytest.raises(ConfigError, match=r"no configuration was named: hookloop schedule plot run\.toml"):
        named_files("schedule plot", None, Source())

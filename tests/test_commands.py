"""How the commands of plugins take a configuration."""

import pytest

from hookloop import ConfigError
from hookloop.commands import Source, named_files


def test_the_file_comes_before_those_of_the_option(tmp_path):
    files = [tmp_path / name for name in ("a.toml", "b.toml", "c.toml")]
    for each in files:
        each.touch()
    first, *others = files
    assert named_files("x", first, Source(files=tuple(others))) == files


def test_overrides_or_variables_are_a_configuration_and_nothing_is_none(monkeypatch):
    assert named_files("x", None, Source(overrides=("run.max_epochs=1",))) == []
    with pytest.raises(ConfigError, match=r"no configuration was named: hookloop schedule plot run\.toml"):
        named_files("schedule plot", None, Source())
    monkeypatch.setenv("HOOKLOOP__RUN__MAX_EPOCHS", "1")
    assert named_files("x", None, Source()) == []

from pathlib import Path

import pytest

from hookloop.config import TOP_LEVEL_TABLES, ConfigTree, check_tables, load_config

KNOWN = {**dict.fromkeys(TOP_LEVEL_TABLES, ()), "run": ("seed", "max_epochs")}


def found(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    Path("run.toml").write_text(text)
    return [str(problem) for problem in check_tables(load_config([Path("run.toml")], environ={}), KNOWN)]


def test_known_tables_are_no_problem():
    assert check_tables(ConfigTree({name: {} for name in TOP_LEVEL_TABLES}), KNOWN) == []


def test_the_top_level_tables_are_those_of_the_design():
    assert TOP_LEVEL_TABLES == ("run", "task", "loss", "optimizer", "schedule", "metrics", "plugins")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[run]\n[plugin.x]\n", "run.toml:2: plugin: unknown table. Did you mean 'plugins'?"),
        ("\n['a b']\n", 'run.toml:2: "a b": unknown table. There are: run, task, loss,'),
        ("max_epochs = 3\n", "run.toml:1: max_epochs: belongs in the table [run]: write it below that line."),
        ("loss = 'mse'\n", "run.toml:1: loss: is a table: write [loss] and its options below it."),
    ],
)
def test_what_is_no_known_table_is_a_problem_with_a_way_out(tmp_path, monkeypatch, text, problem):
    (only,) = found(tmp_path, monkeypatch, text)
    assert only.startswith(problem)


def test_each_unknown_table_is_told(tmp_path, monkeypatch):
    assert len(found(tmp_path, monkeypatch, "[a]\n[b]\n[run]\n")) == 2

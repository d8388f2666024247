"""Tables that say what the code says are compared with it."""

import importlib.util
import re
from pathlib import Path

import hookloop
from hookloop.builtin.defaults import Defaults
from hookloop.cli.running import EXIT_CODES
from hookloop.errors import ConfigError, PluginHookError
from hookloop.interval import Interval
from hookloop.requests import RESERVED_KEYS

ROOT = Path(__file__).parents[2]
CONFIG = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
PYTHON = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


def section(page, heading):
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows_of(text):
    """Return the cells of each row of the tables in *text*, without their headers."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [row for row in rows if not set(row[0]) <= {"-"}]


def names_in(text):
    return re.findall(r"`(\w+)`", text)


def test_the_table_of_run_is_the_options_with_defaults_and_docstrings():
    spec = importlib.util.spec_from_file_location("run_options", ROOT / "docs" / "run_options.py")
    run_options = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run_options)
    assert run_options.render() in CONFIG, "run python docs/run_options.py"
    assert run_options.with_table(CONFIG) == CONFIG


def test_the_names_that_the_engine_offers_are_listed():
    listed = {row[0]: names_in(row[1]) for row in rows_of(section(CONFIG, "Tables that name code"))}
    defaults = Defaults()
    assert listed["`[loss]`"] == list(defaults.provide_losses())
    assert listed["`[schedule]`"] == list(defaults.provide_schedules())
    assert listed["`[metrics.NAME]`"] == list(defaults.provide_metrics())


def test_the_reserved_keys_of_a_plugin_are_listed():
    listed = [name for row in rows_of(section(CONFIG, "[plugins]")) for name in names_in(row[0])]
    assert sorted(listed) == sorted(RESERVED_KEYS)


def test_the_exit_codes_are_those_of_the_command_line():
    meanings = {int(row[0]): row[1] for row in rows_of(section(CONFIG, "Exit codes")) if row[0].isdigit()}
    assert {*meanings} == {*EXIT_CODES.values(), ConfigError.exit_code}
    assert PluginHookError.exit_code == EXIT_CODES["failed"]
    assert all(outcome in meanings[code] for outcome, code in EXIT_CODES.items())


def test_every_interval_on_the_page_is_one():
    line = next(line for line in CONFIG.splitlines() if line.startswith("An interval is"))
    intervals = re.findall(r'`"([^"]+)"`', line)
    assert len(intervals) > 4
    for text in intervals:
        Interval.parse(text)


def test_every_public_name_is_explained():
    explained = {name for row in rows_of(section(PYTHON, "What is public")) for cell in row for name in names_in(cell)}
    assert {name for name in hookloop.__all__ if not name.startswith("_")} <= explained

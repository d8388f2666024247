"""What all guards have in common: imports, and the documentation of their options."""

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import hookloop_guards
from hookloop_guards.instances import instance_of
from hookloop_guards.patterns import matches

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "plugins" / "hookloop-guards" / "pyproject.toml").read_text(encoding="utf-8"))
PLUGINS = {
    name: getattr(hookloop_guards, value.partition(":")[2])
    for name, value in PROJECT["project"]["entry-points"]["hookloop"].items()
}


def test_importing_all_of_them_does_not_import_torch():
    subprocess.run([sys.executable, "-c", "import sys, hookloop_guards; assert 'torch' not in sys.modules"], check=True)


@pytest.mark.parametrize("page", ["plugins/hookloop-guards/README.md", "docs/plugins/guards.md"])
@pytest.mark.parametrize("name", PLUGINS)
def test_the_tables_of_options_are_those_of_the_configs(page, name):
    text = (ROOT / page).read_text(encoding="utf-8")
    section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == [option_row(option, field) for option, field in PLUGINS[name].Config.model_fields.items()]


def option_row(name, field):
    return f"| `{name}` | {default_of(field)} | {' '.join(inspect.cleandoc(field.description).split())} |"


def default_of(field):
    if field.is_required() or field.default is None:
        return ""
    value = field.default
    shown = f'"{value}"' if type(value).__name__ in ("Interval", "str") else toml(value)
    return f"`{shown}`"


def toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)).replace("'", '"') if isinstance(value, tuple) else str(value)


def test_only_what_never_touches_the_numbers_is_an_observer():
    assert {name for name, plugin in PLUGINS.items() if plugin.role == "observer"} == {"gc", "cuda-cache"}


def test_patterns_mean_parts_globs_and_names_within_wrappers():
    assert matches("body.0.weight", ["body"])
    assert not matches("body2.weight", ["body"])
    assert matches("layers.3.bias", ["layers.[0-3].*"])
    assert matches("module._orig_mod.body.0.weight", ["body.*"])
    assert matches("module.weight", ["module.weight"])


def test_a_plugin_that_takes_no_part_is_called_by_its_class():
    class Run:
        plugins = ()

    assert instance_of(Run(), Run()) == "Run"

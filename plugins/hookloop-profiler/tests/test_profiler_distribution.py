"""What all of these plugins have in common: imports, roles, and the documentation of their options."""

import inspect
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

import hookloop_profiler

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "plugins" / "hookloop-profiler" / "pyproject.toml").read_text(encoding="utf-8"))
PLUGINS = {
    name: getattr(hookloop_profiler, value.partition(":")[2])
    for name, value in PROJECT["project"]["entry-points"]["hookloop"].items()
}


def test_importing_all_of_them_does_not_import_torch():
    code = "import sys, hookloop_profiler; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_of_them_only_observe():
    assert {plugin.role for plugin in PLUGINS.values()} == {"observer"}


@pytest.mark.parametrize("page", ["plugins/hookloop-profiler/README.md", "docs/plugins/profiler.md"])
@pytest.mark.parametrize("name", PLUGINS)
def test_the_tables_of_options_are_those_of_the_configs(page, name):
    text = (ROOT / page).read_text(encoding="utf-8")
    section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0].partition("| option |")[2]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == [option_row(option, field) for option, field in PLUGINS[name].Config.model_fields.items()]


def option_row(name, field):
    return f"| `{name}` | {default_of(field)} | {' '.join(inspect.cleandoc(field.description).split())} |"


def default_of(field):
    if field.default is None or field.default is PydanticUndefined:
        return ""
    return f"`{json.dumps(str(field.default) if type(field.default).__name__ == 'Interval' else field.default)}`"

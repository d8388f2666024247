"""What both plugins have in common: imports, and the documentation of their options."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hookloop_tensorboard import Parameters, TensorBoard

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("module", ["hookloop_tensorboard.plugin", "hookloop_tensorboard.parameters"])
def test_importing_a_plugin_imports_neither_torch_nor_tensorboard(module):
    code = f"import sys, {module}; assert not {{'torch', 'tensorboard', 'numpy'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("page", ["plugins/hookloop-tensorboard/README.md", "docs/plugins/tensorboard.md"])
def test_the_tables_of_options_are_those_of_the_configs(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    tables = re.findall(r"^\| option \| default \| meaning \|\n\|---\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = "".join(tables).splitlines()
    fields = [*TensorBoard.Config.model_fields.items(), *Parameters.Config.model_fields.items()]
    assert rows == [option_row(name, field) for name, field in fields]


def option_row(name, field):
    return f"| `{name}` | `{toml(field.default)}` | {' '.join(inspect.cleandoc(field.description).split())} |"


def toml(value):
    return json.dumps(value if isinstance(value, bool | int | float | tuple) else str(value))

"""Imports, and the documentation of the options."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hookloop_wandb import Wandb

ROOT = Path(__file__).parents[3]
PAGES = ["plugins/hookloop-wandb/README.md", "docs/plugins/wandb.md"]


def test_importing_the_plugin_imports_neither_torch_nor_the_library():
    code = "import sys, hookloop_wandb.plugin; assert not {'torch', 'wandb'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_of_options_are_those_of_the_config(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| `[a-z_]+` \| ", line)]
    assert rows == [option_row(name, field) for name, field in Wandb.Config.model_fields.items()]


def option_row(name, field):
    shown = "" if field.default is None else f"`{json.dumps(field.default)}`"
    return f"| `{name}` | {shown} | {' '.join(inspect.cleandoc(field.description).split())} |"

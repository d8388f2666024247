"""Imports, and the documentation of the options."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_core import to_jsonable_python

from hookloop_remote import Remote

ROOT = Path(__file__).parents[3]
PAGES = ["plugins/hookloop-remote/README.md", "docs/plugins/remote.md"]


def test_importing_the_plugin_imports_no_torch():
    code = "import sys, hookloop_remote.plugin; assert not {'torch', 'cyclopts'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_of_options_are_those_of_the_config(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| `[a-z_]+` \| (`| \|)", line)]
    assert rows == [option_row(name, field) for name, field in Remote.Config.model_fields.items()]


def option_row(name, field):
    value = field.get_default(call_default_factory=True)
    default = "" if value is None else f"`{json.dumps(to_jsonable_python(value))}`"
    return f"| `{name}` | {default} | {' '.join(inspect.cleandoc(field.description).split())} |"

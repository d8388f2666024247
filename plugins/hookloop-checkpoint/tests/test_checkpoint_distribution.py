"""What both plugins have in common: imports, and the documentation of their options."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hookloop_checkpoint import Backup, Checkpoint

ROOT = Path(__file__).parents[3]


def test_importing_the_plugins_and_their_commands_does_not_import_torch():
    names = "plugin", "backup", "commands"
    code = f"import sys; {'; '.join(f'import hookloop_checkpoint.{name}' for name in names)}"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)


@pytest.mark.parametrize("page", ["plugins/hookloop-checkpoint/README.md", "docs/plugins/checkpoint.md"])
def test_the_tables_of_options_are_those_of_the_configs(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    fields = [*Checkpoint.Config.model_fields.items(), *Backup.Config.model_fields.items()]
    assert rows == [option_row(name, field) for name, field in fields]


def option_row(name, field):
    shown = "" if field.default is None else f"`{toml(field.default)}`"
    return f"| `{name}` | {shown} | {' '.join(inspect.cleandoc(field.description).split())} |"


def toml(value):
    return json.dumps(value if isinstance(value, bool | int | float) else str(value))

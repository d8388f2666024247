"""What both plugins have in common: imports, and the documentation of their options."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from hookloop_csv import MetricsCsv, PredictionsCsv

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("module", ["hookloop_csv.plugin", "hookloop_csv.predictions"])
def test_importing_a_plugin_does_not_import_torch(module):
    subprocess.run([sys.executable, "-c", f"import sys, {module}; assert 'torch' not in sys.modules"], check=True)


@pytest.mark.parametrize("page", ["plugins/hookloop-csv/README.md", "docs/plugins/csv.md"])
def test_the_tables_of_options_are_those_of_the_configs(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    fields = [*MetricsCsv.Config.model_fields.items(), *PredictionsCsv.Config.model_fields.items()]
    assert rows == [option_row(name, field) for name, field in fields]


def option_row(name, field):
    default = "" if field.default is None else f"`{field.default!r}`".replace("'", '"')
    return f"| `{name}` | {default} | {' '.join(inspect.cleandoc(field.description).split())} |"

"""Imports, and the documentation of the options and metrics."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hookloop_monitor import Monitor

ROOT = Path(__file__).parents[3]
PAGES = ["plugins/hookloop-monitor/README.md", "docs/plugins/monitor.md"]


def test_importing_the_plugin_imports_neither_torch_nor_what_it_reads_with():
    code = "import sys, hookloop_monitor.plugin; assert not {'torch', 'psutil', 'pynvml'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_of_options_are_those_of_the_config(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| `[a-z_]+` \| `", line)]
    assert rows == [option_row(name, field) for name, field in Monitor.Config.model_fields.items()]


def option_row(name, field):
    value = field.get_default(call_default_factory=True)
    shown = json.dumps(value)  # which for these values is how TOML writes them
    return f"| `{name}` | `{shown}` | {' '.join(inspect.cleandoc(field.description).split())} |"


def test_every_metric_that_is_read_is_documented(driver, monitored):
    text = (ROOT / "docs/plugins/monitor.md").read_text(encoding="utf-8")
    _, rows = monitored(per_core=True, gpu_processes=True)
    names = {name.removeprefix("system/") for row in rows for name in row if name.startswith("system/")}
    general = {re.sub(r"(gpu|cpu)\d+", r"\1N", name) for name in names}
    documented = set(re.findall(r"`([\w/]+)`", text))
    assert {name.removeprefix("gpuN/") for name in general} - documented == set()

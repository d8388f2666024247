"""What the plugins of this package have in common: imports, and the documentation of what they offer."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hookloop_schedules import LrFinder
from hookloop_schedules.offered import OWN

ROOT = Path(__file__).parents[3]
PAGES = ["plugins/hookloop-schedules/README.md", "docs/plugins/schedules.md"]
MODULES = ["plugin", "finder", "monitor"]


def test_importing_a_plugin_does_not_import_torch():
    modules = ", ".join(f"hookloop_schedules.{name}" for name in MODULES)
    subprocess.run([sys.executable, "-c", f"import sys, {modules}; assert 'torch' not in sys.modules"], check=True)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", [name for name in OWN if name != "constant"])
def test_every_schedule_is_listed_with_its_options(page, name):
    row = re.search(rf"^\| `{name}` \|(.*)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE).group(1)
    options = [option for option in inspect.signature(OWN[name]).parameters if option not in ("optimizer", "options")]
    if name == "warmup":
        options.remove("period")  # that of what is behind it
    if "below" not in row:
        assert [option for option in options if f"`{option}" not in row] == []


def test_the_table_of_the_finder_is_its_config():
    text = (ROOT / "docs/plugins/schedules.md").read_text(encoding="utf-8").partition("## lr-finder")[2]
    rows = [line for line in text.partition("## lr-monitor")[0].splitlines() if line.startswith("| `")]
    assert rows == [option_row(name, field) for name, field in LrFinder.Config.model_fields.items()]


def option_row(name, field):
    default = {False: "false"}.get(field.default, repr(field.default)).replace("'", '"')
    return f"| `{name}` | `{default}` | {' '.join(inspect.cleandoc(field.description).split())} |"

"""The documentation: the tables of names and options are those of the code."""

import inspect
import re
from pathlib import Path

import pytest

from hookloop_losses import Penalties
from hookloop_losses.catalog import OWN, factories

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "plugins" / "losses.md").read_text(encoding="utf-8")
README = (ROOT / "plugins" / "hookloop-losses" / "README.md").read_text(encoding="utf-8")


def option_row(name, field):
    default = "" if field.default is None or field.default_factory else f"`{field.default!r}`".replace("'", '"')
    return f"| `{name}` | {default} | {' '.join(inspect.cleandoc(field.description).split())} |"


@pytest.mark.parametrize("page", [PAGE, README])
def test_the_options_of_the_penalties_are_listed(page):
    for name, field in Penalties.Config.model_fields.items():
        assert option_row(name, field) in page


@pytest.mark.parametrize("name", OWN)
def test_each_loss_is_listed_with_its_options_and_defaults(name):
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    listed = dict(re.findall(r"`(\w+)(?: = ([^`]+))?`", row.split("|")[2]))
    parameters = {key: each for key, each in inspect.signature(OWN[name]).parameters.items() if key not in COMMON}
    assert [*listed] == [*parameters]
    for key, each in parameters.items():
        default = "" if each.default in (each.empty, None) else repr(each.default).replace("'", '"')
        assert listed[key] == default, key


COMMON = ("reduction", "ignore_index")


def test_every_name_that_is_offered_is_listed():
    assert {*factories()} <= {*re.findall(r"`(\w+)`", PAGE)}


@pytest.mark.parametrize("name", OWN)
def test_each_docstring_has_a_formula_and_a_source(name):
    docstring = inspect.getdoc(OWN[name])
    assert re.search(r"[lL] = ", docstring) or "torch.nn" in docstring
    assert re.search(r"\((?:19|20)\d\d\)", docstring)

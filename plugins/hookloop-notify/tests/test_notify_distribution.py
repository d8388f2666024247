"""Imports, and what the pages say of the options."""

import inspect
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr

from hookloop_notify import Notify
from hookloop_notify.options import BODY, Command, Email, Webhook
from hookloop_notify.templates import FIELDS, WHOLE_FIELDS

ROOT = Path(__file__).parents[3]
PAGES = ["plugins/hookloop-notify/README.md", "docs/plugins/notify.md"]


def test_importing_the_plugin_imports_neither_torch_nor_what_it_sends_with():
    heavy = "{'torch', 'smtplib', 'urllib.request', 'http.client', 'subprocess'}"
    code = "import sys; known = {*sys.modules}; import hookloop_notify.plugin; new = {*sys.modules} - known\n"
    subprocess.run([sys.executable, "-c", f"{code}assert not new & {heavy}, new & {heavy}"], check=True)


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_of_options_are_those_of_the_configs(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| `[a-z_]+` \| [^|]* \| ", line)]
    fields = [item for each in (Notify.Config, Email, Webhook, Command) for item in each.model_fields.items()]
    assert rows == [option_row(field.alias or name, field) for name, field in fields]


def option_row(name, field):
    return f"| `{name}` | {shown(field)} | {' '.join(inspect.cleandoc(field.description).split())} |"


def shown(field):
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if value is None else f"`{json.dumps(value)}`"  # which for these values is how TOML writes them


def test_the_page_has_every_field_and_the_default_of_the_body():
    text = (ROOT / "docs/plugins/notify.md").read_text(encoding="utf-8")
    assert f"\n```\n{BODY}\n```\n" in text
    rows = dict(re.findall(r"^\| `\{([^`]+)\}` \| (.+) \|$", text, re.MULTILINE))
    assert rows.keys() == {*FIELDS, *WHOLE_FIELDS}
    assert {name: rows[name] for name in FIELDS} == FIELDS


def test_every_configuration_on_the_page_is_right():
    text = (ROOT / "docs/plugins/notify.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:toml)?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    tables = [tomllib.loads(block)["plugins"]["notify"] for block in blocks if block.startswith("[plugins.notify")]
    assert len(tables) >= 4
    for table in tables:
        if "command" in table:
            table["command"]["args"][0] = "true"
        if not {"email", "webhook", "command"} & {*table}:
            table["command"] = {"args": ["true"]}
        Notify.Config.model_validate(resolved(table))


def resolved(value):
    if isinstance(value, dict):
        return (
            "https://example.org/x" if list(value) == ["env"] else {key: resolved(each) for key, each in value.items()}
        )
    return [resolved(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("model", [Email, Webhook])
def test_what_is_likely_a_secret_is_of_a_type_that_does_not_show_it(model):
    for name in {"password", "url", "headers"} & {*model.model_fields}:
        assert SecretStr.__name__ in str(model.model_fields[name].annotation)

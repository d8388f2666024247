"""Writes the table of [run] in docs/config.md from the docstring of `RunOptions`; a test compares the two.

Run it as `python docs/run_options.py` when an option was added or its description has changed.
"""

import re
from pathlib import Path

from hookloop.cli.run_schema import run_schema
from hookloop.config import dump_toml

PAGE = Path(__file__).with_name("config.md")
PLACE = re.compile(r"(?<=<!-- by docs/run_options.py -->\n).*?(?=\n\n)", re.DOTALL)


def render() -> str:
    """Return the table: each option with its default, as it stands in TOML, and its meaning."""
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for name, option in run_schema()["properties"].items():
        default = f"`{as_toml(option['default'])}`" if "default" in option else ""
        rows.append(f"| `{name}` | {default} | {option['description']} |")
    return "\n".join(rows)


def as_toml(value: object) -> str:
    """Return *value* as TOML writes it."""
    return dump_toml({"key": value}).partition("= ")[2].strip()


def with_table(page: str) -> str:
    """Return the text of *page* with the table as it should be."""
    return PLACE.sub(lambda _: render(), page, count=1)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

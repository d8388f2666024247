"""Makes the JSON Schema of ``[run]`` from its dataclass, described by the docstring of that."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from hookloop.options import POSITIVE, RunOptions

Schema = dict[str, Any]


def run_schema() -> Schema:
    """Return the schema of ``[run]``, described by the docstring of `RunOptions`."""
    from pydantic import TypeAdapter

    schema: Schema = without_null(TypeAdapter(RunOptions).json_schema())
    properties, texts = schema["properties"], attribute_docs(RunOptions)
    for name, each in properties.items():
        each.pop("title", None)
        each["description"] = texts[name]
    for name in POSITIVE:
        properties[name]["exclusiveMinimum"] = 0
    properties["seed"] |= {"minimum": 0, "maximum": 2**63 - 1}
    return {**schema, "description": summary(RunOptions), "additionalProperties": False}


def attribute_docs(kind: type) -> dict[str, str]:
    """Return the text of each name in the section ``Attributes`` of a docstring, one entry a line or sentence.

    An entry is ``name: text`` or ``name, other: text``; a second one may follow in the same line.
    """
    body = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2]
    text = " ".join(body.split())
    names = "|".join(kind.__annotations__)
    entries = re.split(rf"(?:^|(?<=\. ))((?:{names})(?:, (?:{names}))*): ", text)[1:]
    return {
        name: meaning.strip().replace("``", "")
        for listed, meaning in zip(entries[::2], entries[1::2], strict=True)
        for name in listed.split(", ")
    }


def summary(kind: type) -> str:
    """Return the first line of a docstring."""
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def without_null(schema: Any) -> Any:
    """Return *schema* without the alternative null and the default null, as TOML has neither."""
    if isinstance(schema, list):
        return [without_null(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept = {key: without_null(each) for key, each in schema.items() if (key, each) != ("default", None)}
    choices = kept.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        rest = [each for each in choices if each != {"type": "null"}]
        outside = {key: each for key, each in kept.items() if key != "anyOf"}
        kept = {**(rest[0] if len(rest) == 1 else {"anyOf": rest}), **outside}
    return kept

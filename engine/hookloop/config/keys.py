"""Dotted keys as TOML writes them (``plugins."my run".every``), read and written."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable

Key = tuple[str, ...]
# A key of which an int part is the position in a list.
Location = tuple[str | int, ...]

_PART = r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'"""
DOTTED_KEY = re.compile(rf"[ \t]*(?:{_PART})(?:[ \t]*\.[ \t]*(?:{_PART}))*[ \t]*")
_ONE_PART = re.compile(_PART)
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def split_key(text: str) -> Key:
    """Return the parts of a dotted key without their quotes; ValueError when *text* is not one."""
    if not DOTTED_KEY.fullmatch(text):
        raise ValueError(f"'{text}' is not a key: separate its parts by dots, and quote a part with special characters")
    return tuple(_unquoted(part) for part in _ONE_PART.findall(text))


def _unquoted(part: str) -> str:
    if part[0] not in "\"'":
        return part
    try:
        return str(tomllib.loads(f"part = {part}")["part"])
    except tomllib.TOMLDecodeError:
        raise ValueError(f"{part} holds an escape or a character that TOML has not") from None


def dotted(path: Iterable[str | int]) -> str:
    """Write *path* as one dotted key; a part is quoted where TOML needs it, an int is the position in a list."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f"{'.' if text else ''}{_quoted_where_needed(part)}"
    return text


def _quoted_where_needed(part: str) -> str:
    if _BARE.fullmatch(part):
        return part
    # A TOML string is a JSON string, but for DEL, which TOML wants escaped too.
    return json.dumps(part, ensure_ascii=False).replace("\x7f", "\\u007f")

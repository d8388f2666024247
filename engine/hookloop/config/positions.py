"""On which line of a TOML text each key stands: tomllib reads the values and keeps no positions."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field

from hookloop.config.keys import DOTTED_KEY, Key, split_key

_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_BLANK_OR_COMMA = re.compile(r"(?:[\s,]|#[^\n]*)*")
_SPACES = re.compile(r"[ \t]*")
# A multi-line string may end with up to two quotes of its own before the three that close it.
_ONE_VALUE = re.compile(
    r'"""(?:\\[\s\S]|[^\\])*?"""(?:"{0,2})'
    r"|'''[\s\S]*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|[^\s,\]}#\"'\[{][^,\]}#\n]*"
)


def key_lines(text: str) -> dict[Key, int]:
    """Return the line, counted from 1, of every key, table and list element of *text*.

    An element's part of the path is its index as text: ``("plugins", "disable", "0")``. A table that several lines
    speak of stands where its own header is, else where it first appears. Of a text that is not valid TOML, the lines
    up to the mistake are returned.
    """
    scanner = _Scanner(text, [match.start() for match in re.finditer("\n", text)])
    try:
        scanner.document()
    except ValueError:
        pass
    return scanner.lines


@dataclass(slots=True)
class _Scanner:
    text: str
    line_ends: list[int]
    position: int = 0
    lines: dict[Key, int] = field(default_factory=dict)
    # The index of the newest element of each array of tables, which is the one that later headers mean.
    newest: dict[Key, int] = field(default_factory=dict)

    def document(self) -> None:
        table: Key = ()
        self.take(_BLANK)
        while self.position < len(self.text):
            if self.looking_at("[["):
                table = self.array_header()
            elif self.looking_at("["):
                table = self.header()
            else:
                self.pair(table)
            self.take(_BLANK)

    def header(self) -> Key:
        line = self.line()
        self.expect("[")
        path = self.current(self.key())
        self.expect("]")
        self.note(path, line)
        return path

    def array_header(self) -> Key:
        line = self.line()
        self.expect("[[")
        *parents, name = self.key()
        self.expect("]]")
        array = (*self.current(tuple(parents)), name)
        self.newest[array] = self.newest.get(array, -1) + 1
        path = (*array, str(self.newest[array]))
        self.note(path, line)
        return path

    def current(self, parts: Key) -> Key:
        path: Key = ()
        for part in parts:
            path = (*path, part)
            if path in self.newest:
                path = (*path, str(self.newest[path]))
        return path

    def pair(self, table: Key) -> None:
        line = self.line()
        path = table + self.key()
        self.expect("=")
        self.note(path, line)
        self.value(path)

    def value(self, path: Key) -> None:
        self.take(_SPACES)
        if self.looking_at("["):
            self.array(path)
        elif self.looking_at("{"):
            self.inline_table(path)
        else:
            self.take(_ONE_VALUE)

    def array(self, path: Key) -> None:
        self.expect("[")
        self.take(_BLANK_OR_COMMA)
        index = 0
        while not self.looking_at("]"):
            element = (*path, str(index))
            self.note(element, self.line())
            self.value(element)
            self.take(_BLANK_OR_COMMA)
            index += 1
        self.expect("]")

    def inline_table(self, path: Key) -> None:
        self.expect("{")
        self.take(_BLANK_OR_COMMA)
        while not self.looking_at("}"):
            self.pair(path)
            self.take(_BLANK_OR_COMMA)
        self.expect("}")

    def key(self) -> Key:
        return split_key(self.take(DOTTED_KEY))

    def note(self, path: Key, line: int) -> None:
        for length in range(1, len(path)):
            self.lines.setdefault(path[:length], line)
        self.lines[path] = line

    def line(self) -> int:
        return bisect_left(self.line_ends, self.position) + 1

    def looking_at(self, mark: str) -> bool:
        return self.text.startswith(mark, self.position)

    def expect(self, mark: str) -> None:
        if not self.looking_at(mark):
            raise ValueError(f"not TOML at character {self.position}")
        self.position += len(mark)

    def take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.position)
        if match is None:
            raise ValueError(f"not TOML at character {self.position}")
        self.position = match.end()
        return match.group()

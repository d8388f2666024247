import tomllib

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from hookloop.config.positions import key_lines

DOCUMENT = """\
# a comment with key = 1 and [table]
title = "top"            # = [ { "
"quoted key" = 1
'literal.key' = 2
dotted . "and quoted".key = 3

[run]   # comment
text = \"\"\"
[not.a.table]
seed = 1 \\\"\"\"
two quotes end it \"\"\"\"\"
seed = 7
literal = '''
[also.not] = '
''''
list = [
  1, 2,
  # [in a comment]
  "a]b", 'c,d"',
  { x = 1,  y = [ { z = 2 } ] },
  [
    1979-05-27 07:32:00, 3 ],
]
when = 1979-05-27 07:32:00  # a space in a value
inline = { a = 1, b.c = "}", "d e" = { f = '=' } }

[ plugins . "my run" ]
every = "1 epoch"
[plugins]
autoload = false

[[servers]]
name = "one"
[servers.place]
city = "A"
[[servers.disks]]
size = 1
[[servers.disks]]
size = 2
[[servers]]
name = "two"
[[servers.disks]]
size = 3
"""


def test_every_kind_of_key_is_found_on_its_line():
    lines = key_lines(DOCUMENT)
    expected = {
        ("title",): 2,
        ("quoted key",): 3,
        ("literal.key",): 4,
        ("dotted",): 5,
        ("dotted", "and quoted"): 5,
        ("dotted", "and quoted", "key"): 5,
        ("run",): 7,
        ("run", "text"): 8,
        ("run", "seed"): 12,
        ("run", "literal"): 13,
        ("run", "list"): 16,
        ("run", "list", "0"): 17,
        ("run", "list", "1"): 17,
        ("run", "list", "2"): 19,
        ("run", "list", "3"): 19,
        ("run", "list", "4", "x"): 20,
        ("run", "list", "4", "y", "0", "z"): 20,
        ("run", "list", "5"): 21,
        ("run", "list", "5", "0"): 22,
        ("run", "list", "5", "1"): 22,
        ("run", "when"): 24,
        ("run", "inline", "a"): 25,
        ("run", "inline", "b", "c"): 25,
        ("run", "inline", "d e", "f"): 25,
        ("plugins", "my run"): 27,
        ("plugins", "my run", "every"): 28,
        ("plugins",): 29,
        ("plugins", "autoload"): 30,
        ("servers",): 32,
        ("servers", "0"): 32,
        ("servers", "0", "name"): 33,
        ("servers", "0", "place"): 34,
        ("servers", "0", "place", "city"): 35,
        ("servers", "0", "disks", "0", "size"): 37,
        ("servers", "0", "disks", "1"): 38,
        ("servers", "0", "disks", "1", "size"): 39,
        ("servers", "1"): 40,
        ("servers", "1", "name"): 41,
        ("servers", "1", "disks", "0", "size"): 43,
    }
    assert {path: lines.get(path) for path in expected} == expected
    assert set(paths(tomllib.loads(DOCUMENT))) == set(lines)


def test_an_empty_text_has_no_keys():
    assert key_lines("") == {}
    assert key_lines("# only a comment") == {}


@pytest.mark.parametrize("rest", ["b = ", "b", '"\\q" = 1', "[t", "= 3", "b = [1", "b = { x", "b = {", 'b = "x'])
def test_a_text_that_is_not_toml_gives_the_lines_up_to_the_mistake(rest):
    assert key_lines("a = 1\n" + rest)[("a",)] == 1


def paths(value, above=()):
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in children:
        yield (*above, str(key))
        yield from paths(inner, (*above, str(key)))


# Keys hold a mark that stands nowhere else, so that the line of the mark is the line of the key.
NASTY = st.text(st.sampled_from(" .=[]{}#\"'\\,\n\tab-é\x00\x7f"), max_size=6)
SCALARS = st.integers() | st.floats(allow_nan=False) | st.booleans() | NASTY | st.dates() | st.datetimes()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.lists(st.tuples(NASTY, inner), max_size=4),
    max_leaves=25,
)


def marked(value, counter):
    """Turn lists of pairs into tables with unique keys."""
    if not isinstance(value, list):
        return value
    if value and all(isinstance(pair, tuple) for pair in value):
        return {f"{text}<{next(counter)}>": marked(inner, counter) for text, inner in value}
    return [marked(inner, counter) for inner in value]


def keyed_paths(value, above=()):
    return [path for path in paths(value, above) if path[-1].endswith(">")]


def line_of(path, text):
    mark = path[-1][path[-1].rindex("<") :]
    # A later header repeats the names above it: the key itself is in the last line that ends or begins with it.
    candidates = [number for number, line in enumerate(text.split("\n"), start=1) if mark in line]
    own = [n for n in candidates if is_own_line(text.split("\n")[n - 1], mark)]
    return (own or candidates)[0]


def is_own_line(line, mark):
    return not line.startswith("[") or line.rstrip("]").rstrip("\"'").endswith(mark)


@given(st.lists(st.tuples(NASTY, VALUES), max_size=6), st.booleans())
def test_every_key_that_tomli_w_writes_is_found_on_its_line(pairs, multiline_strings):
    data = marked(pairs, iter(range(1000)))
    data = data if isinstance(data, dict) else {}
    text = tomli_w.dumps(data, multiline_strings=multiline_strings)
    lines = key_lines(text)
    assert set(paths(tomllib.loads(text))) == set(lines)
    for path in keyed_paths(data):
        assert lines[path] == line_of(path, text), path


@st.composite
def handwritten(draw):
    """TOML in the ways that people write and tomli_w does not, with the line of each key."""
    text, expected, table = "", {}, ()
    for index in range(draw(st.integers(1, 12))):
        text += draw(st.sampled_from(["", "\n", "# [x] = '\n", "  \t\n"]))
        line = text.count("\n") + 1
        style = draw(st.sampled_from(["plain", "dotted", "inline", "multiline", "literal", "list", "header"]))
        name = f"k{index}"
        if style == "header":
            table = (name,)
            text += f"[ '{name}' ] # ]\n"
            expected[table] = line
            continue
        expected[(*table, name)] = line
        if style == "plain":
            text += f'  "{name}"={draw(st.sampled_from(["1", "true", "-inf", "07:32:00 # x"]))}\n'
        elif style == "dotted":
            text += f"{name} . 'x.y' . \"z\" = 1 # =\n"
            expected[(*table, name, "x.y", "z")] = line
        elif style == "inline":
            text += f"{name} = {{ a = {{ 'b}}' = '}}#' }}, c.d = [1, ']'] }}\n"
            expected |= {(*table, name, "a", "b}"): line, (*table, name, "c", "d", "1"): line}
        elif style == "multiline":
            text += f'{name} = """{draw(st.sampled_from(["", "x = 1", chr(34), "[t]", chr(92) * 2]))}\n\n[n] """\n'
        elif style == "literal":
            text += f"{name} = '''\n\\''k = '\n'''''\n"
        else:
            text += f"{name} = [ # ]\n 1, # 2\n\n  {{ in = '''\n[''' }}, ]\n"
            expected |= {(*table, name, "0"): line + 1, (*table, name, "1", "in"): line + 3}
    return text, expected


@given(handwritten())
def test_every_key_that_a_person_writes_is_found_on_its_line(written):
    text, expected = written
    lines = key_lines(text)
    assert set(paths(tomllib.loads(text))) == set(lines)
    assert {path: lines[path] for path in expected} == expected

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookloop.config import dotted, split_key


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("run.seed", ("run", "seed")),
        ('plugins."my run".every', ("plugins", "my run", "every")),
        ("plugins.'a.b'.every", ("plugins", "a.b", "every")),
        (' a . "b=c" ', ("a", "b=c")),
        ('"\\u00e9\\""', ('é"',)),
    ],
)
def test_a_dotted_key_is_split_as_toml_does(text, parts):
    assert split_key(text) == parts


@pytest.mark.parametrize("text", ["", ".", "a.", "a b", "é", '"open', "a..b", '"\\q"'])
def test_text_that_is_no_key_is_an_error(text):
    with pytest.raises(ValueError, match=r"is not a key|holds an escape"):
        split_key(text)


def test_a_position_in_a_list_is_written_in_brackets():
    assert dotted(("plugins", "x", "layers", 2, "size")) == "plugins.x.layers[2].size"


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1).map(tuple))
def test_a_written_key_reads_back_equal(path):
    assert split_key(dotted(path)) == path

"""Functions that an option of a plugin names are found, or it is said why not."""

import pytest

from hookloop import ConfigError, check_function_location, import_function, is_function_location
from hookloop.locations import import_file


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A file of the user's, in the current directory."""
    (tmp_path / "own-code.py").write_text("NUMBER = 3\n\ndef rows(output):\n    return output\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "own-code.py"


def test_a_function_of_a_file_is_found_and_the_file_imported_once(own):
    assert import_function("own-code.py:rows")(1) == 1
    assert import_function(f"{own}:rows") is import_file(own).rows


def test_a_function_of_a_module_is_found():
    import math

    assert import_function("math:exp") is math.exp


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("own-code.py:missing", "'own-code.py:missing': there is no 'missing' in own-code.py."),
        ("own-code.py:NUMBER", "'own-code.py:NUMBER' is of type int; a function is wanted."),
        ("zz_nowhere:f", "there is no module 'zz_nowhere'. A file of your own is named by its path: file.py:function"),
    ],
)
def test_what_is_not_there_is_an_error_that_says_so(own, text, said):
    with pytest.raises(ConfigError) as caught:
        import_function(text)
    assert str(caught.value) == said


def test_a_file_that_is_not_there_is_told_with_where_it_was_looked_for(own):
    with pytest.raises(ConfigError) as caught:
        import_function("none.py:rows")
    assert str(caught.value) == f"there is no file 'none.py' in {own.parent}."


def test_what_an_import_raises_goes_through(tmp_path):
    (tmp_path / "broken.py").write_text("import zz_nowhere\n")
    with pytest.raises(ModuleNotFoundError, match="zz_nowhere"):
        import_function(f"{tmp_path / 'broken.py'}:rows")


def test_a_location_is_told_from_a_name():
    assert [is_function_location(each) for each in ("a.py:f", "a.b:c.d", "huber", "a.py:", ":f")] == [
        True, True, False, False, False,
    ]  # fmt: skip
    assert check_function_location("a.py:f") == "a.py:f"
    with pytest.raises(ValueError, match=r"'huber' must be path/to/file\.py:function or module:function"):
        check_function_location("huber")

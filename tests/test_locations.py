import pickle
import sys
import traceback
from pathlib import Path

import pytest

from hookloop.locations import import_file, import_location, is_location, location_name, parse_location

SOURCE = """
from dataclasses import dataclass

@dataclass
class Point:
    x: "int"

class Outer:
    class Inner:
        pass
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "own-points.py"
    path.write_text(SOURCE)
    return path


def test_a_location_is_told_from_a_name():
    assert is_location("a.py")
    assert is_location("a.py:X")
    assert is_location("package.module:X")
    assert not is_location("early-stopping")


def test_the_parts_of_a_location_are_read_back_as_they_were(file):
    for text in (str(file), f"{file}:Point", "package.module:Outer.Inner"):
        assert str(parse_location(text)) == text


def test_a_drive_letter_is_no_separator():
    assert location_name(r"C:\plugins\own_stopper.py").endswith("own-stopper")
    with pytest.raises(ValueError, match="there is no file"):
        parse_location(r"C:\plugins\own_stopper.py")


def test_an_attribute_of_a_file_is_imported_without_touching_the_path(file):
    path = list(sys.path)
    point = import_location(parse_location(f"{file}:Point"))
    assert point(3).x == 3
    assert sys.path == path
    assert import_location(parse_location(f"{file}:Outer.Inner")).__qualname__ == "Outer.Inner"


def test_a_file_is_imported_once(file):
    assert import_file(file) is import_file(file.parent / "." / file.name)


def test_what_a_file_defines_can_be_pickled(file):
    point = import_file(file).Point(3)
    assert pickle.loads(pickle.dumps(point)) == point


def test_two_files_of_one_name_are_two_modules(tmp_path):
    modules = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.py").write_text(f"NAME = {folder!r}")
        modules.append(import_file(tmp_path / folder / "own.py"))
    assert [module.NAME for module in modules] == ["a", "b"]


def test_a_file_may_have_the_name_of_an_installed_module(tmp_path):
    (tmp_path / "pickle.py").write_text("OWN = True")
    assert import_file(tmp_path / "pickle.py").OWN
    assert sys.modules["pickle"] is pickle


def test_a_file_that_fails_leaves_no_half_module_behind(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("raise ValueError('first')")
    before = set(sys.modules)
    with pytest.raises(ValueError, match="first"):
        import_file(path)
    assert set(sys.modules) == before
    path.write_text("FIXED = True  # and of another length")
    assert import_file(path).FIXED


def test_a_module_that_is_not_there_says_how_to_name_a_file():
    with pytest.raises(ModuleNotFoundError) as caught:
        import_location(parse_location("zz_nowhere.mod:X"))
    text = "".join(traceback.format_exception(caught.value))
    assert "A file of your own is named by its path: path/to/file.py:attr" in text


def test_a_module_that_misses_something_else_says_nothing_of_files(tmp_path, monkeypatch):
    Path(tmp_path, "zz_needs.py").write_text("import zz_not_installed")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError) as caught:
        import_location(parse_location("zz_needs:X"))
    assert not hasattr(caught.value, "__notes__")

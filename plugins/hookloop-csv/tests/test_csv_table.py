"""The table by itself: columns that grow, files that exist, writes that fail."""

import csv
import io
import logging
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookloop_csv import Table, TableError


def read(path, **options):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, **options))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.csv"


def table_with(path, *rows, columns=("step",)):
    table = Table(path, columns)
    table.create()
    table.extend(rows)
    return table


def test_the_header_is_there_before_the_first_row(path):
    table_with(path, columns=("step", "loss")).close()
    assert path.read_bytes() == b"step,loss\n"


def test_each_row_is_on_disk_when_append_returns(path):
    table = table_with(path, {"step": 1})
    assert path.read_text() == "step\n1\n"
    table.append({"step": 2})
    assert path.read_text() == "step\n1\n2\n"
    table.close()


def test_a_missing_value_is_na(path):
    table_with(path, {"step": 1, "loss": 0.5}, {"step": 2}).close()
    assert path.read_text() == "step,loss\n1,0.5\n2,NA\n"


def test_a_new_column_moves_no_value_under_another_name(path):
    table = table_with(path, {"step": 1, "loss": 0.5})
    table.append({"accuracy": 0.25, "step": 2, "loss": 0.75})
    table.append({"step": 3, "accuracy": 0.5})
    table.close()
    assert read(path) == [
        {"step": "1", "loss": "0.5", "accuracy": "NA"},
        {"step": "2", "loss": "0.75", "accuracy": "0.25"},
        {"step": "3", "loss": "NA", "accuracy": "0.5"},
    ]


def test_a_file_with_another_column_is_gone_on_with(path):
    table_with(path, {"step": 1, "loss": 0.5}).close()
    table = Table(path, ("step", "epoch"))
    assert table.open() == {"step": "1", "loss": "0.5"}
    table.append({"step": 2, "epoch": 1, "accuracy": 0.5})
    table.close()
    assert read(path) == [
        {"step": "1", "loss": "0.5", "epoch": "NA", "accuracy": "NA"},
        {"step": "2", "loss": "NA", "epoch": "1", "accuracy": "0.5"},
    ]


def test_columns_in_another_order_stay_in_the_order_of_the_file(path):
    path.write_text("loss,step\n0.5,1\n")
    table = Table(path, ("step", "loss"))
    table.open()
    table.append({"step": 2, "loss": 0.25})
    table.close()
    assert path.read_text() == "loss,step\n0.5,1\n0.25,2\n"


def test_appending_does_not_rewrite_what_is_there(path):
    table = table_with(path, {"step": 1, "loss": 0.5})
    inode = path.stat().st_ino
    for step in range(2, 500):
        table.append({"step": step, "loss": 0.5})
    assert path.stat().st_ino == inode
    table.append({"step": 500, "accuracy": 0.5})
    assert path.stat().st_ino != inode
    table.close()
    assert len(read(path)) == 500


def test_nothing_lies_beside_the_file_afterwards(path):
    table = table_with(path, {"step": 1})
    table.append({"step": 2, "loss": 0.5})
    table.close()
    table.open()
    table.close()
    assert [each.name for each in path.parent.iterdir()] == ["table.csv"]


def test_a_rewrite_that_fails_leaves_the_old_file_and_columns(path, monkeypatch):
    table = table_with(path, {"step": 1})

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "replace", fail)
        with pytest.raises(OSError, match="disk full"):
            table.append({"step": 2, "loss": 0.5})
    assert path.read_text() == "step\n1\n"
    table.append({"step": 3})
    table.append({"step": 4, "loss": 0.5})
    table.close()
    assert path.read_text() == "step,loss\n1,NA\n3,NA\n4,0.5\n"
    assert [each.name for each in path.parent.iterdir()] == ["table.csv"]


def test_rows_that_are_not_kept_are_dropped(path):
    table_with(path, *({"step": step, "loss": step / 8} for step in range(1, 7))).close()
    table = Table(path)
    assert table.open(lambda row: int(row["step"]) <= 4) == {"step": "4", "loss": "0.5"}
    table.append({"step": 5, "loss": 9.0})
    table.close()
    assert [row["loss"] for row in read(path)] == ["0.125", "0.25", "0.375", "0.5", "9.0"]


def test_a_file_without_rows_to_keep_begins_anew(path):
    table_with(path, {"step": 5, "old": 0.5}).close()
    table = Table(path, ("step",))
    assert table.open(lambda row: False) is None
    table.close()
    assert path.read_text() == "step\n"


def test_a_row_whose_writing_was_cut_off_is_dropped_with_a_warning(path, caplog):
    path.write_text("step,loss\n1,0.5\n2,0.12")
    table = Table(path)
    with caplog.at_level(logging.WARNING, "hookloop.csv"):
        assert table.open() == {"step": "1", "loss": "0.5"}
    table.append({"step": 2, "loss": 0.125})
    table.close()
    assert path.read_text() == "step,loss\n1,0.5\n2,0.125\n"
    assert "middle of a row" in caplog.text


@pytest.mark.parametrize("content", ["", "step,lo"])
def test_a_file_that_was_cut_off_before_its_first_row_begins_anew(path, content):
    path.write_text(content)
    table = Table(path, ("step",))
    assert table.open() is None
    table.append({"step": 1})
    table.close()
    assert path.read_text() == "step\n1\n"


def test_the_last_row_can_be_replaced_by_a_longer_and_by_a_shorter_one(path):
    table = table_with(path, {"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.5})
    table.replace_last({"step": 2, "loss": 0.123456789})
    table.replace_last({"step": 2, "loss": 1})
    table.append({"step": 3, "loss": 0.25})
    table.replace_last({"step": 3, "loss": 0.25, "new": 1})
    table.replace_last({"step": 3, "loss": 0.5, "new": 1})
    table.close()
    assert path.read_text() == "step,loss,new\n1,0.5,NA\n2,1,NA\n3,0.5,1\n"


def test_the_last_row_of_a_file_that_was_opened_can_be_replaced(path):
    path.write_text('step , loss\r\n1,"0.5"\r\n2,0.25\r\n')
    table = Table(path)
    last = table.open()
    table.replace_last({**last, "new": 7})
    table.close()
    assert path.read_text() == "step , loss,new\n1,0.5,NA\n2,0.25,7\n"


def test_numbers_are_read_back_exactly(path):
    values = [0.1, 1 / 3, 1e-310, 2**53 + 2.0, -0.0, math.pi * 1e17]
    table_with(path, *({"x": value} for value in values), columns=("x",)).close()
    assert [float(row["x"]) for row in read(path)] == values


NUMBERS = st.floats() | st.integers()
LISTS = st.lists(st.integers() | st.lists(st.integers(), max_size=2), max_size=2)
CELLS = NUMBERS | st.booleans() | st.none() | st.text('a0,;.ne"\n', max_size=3) | LISTS
ROWS = st.fixed_dictionaries(dict.fromkeys("abc", NUMBERS)) | st.dictionaries(st.sampled_from("abc"), CELLS)


@settings(deadline=None)  # a busy machine is no failure
@given(
    rows=st.lists(ROWS, min_size=1, max_size=3),
    separator=st.just(",") | st.sampled_from([*";\t.e0n", "§"]),
    missing=st.sampled_from(["NA", "", "null", "a,b", "0.5", '"']),
)
def test_each_cell_is_what_a_csv_writer_makes_of_it(tmp_path_factory, rows, separator, missing):
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    table = Table(path, "abc", separator=separator, missing=missing)
    table.create()
    table.extend(rows)
    table.replace_last(rows[-1])  # in its very place
    table.close()
    with path.open(encoding="utf-8", newline="") as file:
        header, *found = csv.reader(file, delimiter=separator)
    assert header == list("abc")
    for cells, row in zip(found, rows, strict=True):
        for cell, name in zip(cells, header, strict=True):
            value = row.get(name, missing)
            if type(value) is float:
                assert repr(float(cell)) == repr(value)
            else:
                assert cell == ("" if value is None else str(value))


def test_nan_and_infinity_are_written_as_such(path):
    table_with(path, {"a": math.nan, "b": math.inf, "c": -math.inf}, columns=("a", "b", "c")).close()
    assert path.read_text() == "a,b,c\nnan,inf,-inf\n"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_quotes_and_newlines_in_texts_come_back(path, separator):
    row = {f"na{separator}me": f"a{separator}b", "q": 'say "x"', "n": "two\nlines"}
    table = Table(path, separator=separator)
    table.create()
    table.append(row)
    table.append({"later": 1})
    table.close()
    assert read(path, delimiter=separator)[0] == {**row, "later": "NA"}


def test_many_rows_at_once_may_bring_columns(path):
    table = Table(path)
    table.create()
    table.extend([{"a": 1}, {"b": 2}])
    table.extend([])
    table.replace_last({"b": 3})
    table.close()
    assert path.read_text() == "a,b\n1,NA\nNA,3\n"


def test_a_row_that_was_cut_short_is_written_over_by_the_next(path):
    table = table_with(path, {"step": 1})
    real, file = table._file, FullOnce()
    table._file = file
    file.real = real
    with pytest.raises(OSError, match="No space"):
        table.append({"step": 22222})
    table.append({"step": 3})
    table.close()
    assert path.read_text() == "step\n1\n3\n"


class FullOnce(io.RawIOBase):
    """A file on a disk that takes two more bytes, once."""

    full = False

    def seek(self, position):
        return self.real.seek(position)

    def truncate(self):
        return self.real.truncate()

    def write(self, data):
        if not self.full:
            self.full = True
            return self.real.write(data[:2])
        if self.full is True:
            self.full = None
            raise OSError(28, "No space left on device")
        return self.real.write(data)

    def close(self):
        self.real.close()


def test_a_row_with_more_values_than_columns_is_an_error_with_its_line(path):
    path.write_text("step,loss\n1,0.5\n2,0.5,0.7\n")
    with pytest.raises(TableError, match=r"table\.csv, line 3: 3 values under 2 columns\. Move the file away"):
        Table(path).open()
    assert path.read_text() == "step,loss\n1,0.5\n2,0.5,0.7\n"


def test_two_columns_of_one_name_are_an_error(path):
    path.write_text("step,step\n1,2\n")
    with pytest.raises(TableError, match="two columns of the same name"):
        Table(path).open()


def test_what_is_no_text_is_an_error(path):
    path.write_bytes(b"step\n\xff\xfe\n")
    with pytest.raises(TableError, match="cannot be read as CSV"):
        Table(path).open()


def test_a_folder_that_is_missing_is_made(tmp_path):
    table = Table(tmp_path / "a" / "b.csv", ("step",))
    table.open()
    table.close()
    assert (tmp_path / "a" / "b.csv").read_text() == "step\n"


def test_a_closed_table_says_so(path):
    table = table_with(path, {"step": 1})
    table.close()
    with pytest.raises(TableError, match="not open"):
        table.append({"step": 2})

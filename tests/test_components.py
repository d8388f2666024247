import functools
import sys
from pathlib import Path

import pytest
import torch

from hookloop.components import call_factory, check_options, find_factory, named, portable, read_component
from hookloop.config import ConfigTree, load_config
from hookloop.errors import ConfigError

OWN = """\
from hookloop import ConfigError

LIMIT = 3

def build(hidden=4, *, depth=1):
    return hidden, depth

def counts():
    return len(5)

def refuses(hidden):
    raise ValueError("too narrow")

def explains():
    raise ConfigError("no data: run prepare.py first")

class Net:
    width = 7
"""


@pytest.fixture
def written(tmp_path):
    """A function that writes ``conf/run.toml`` and returns a component of it, with ``own.py`` beside the file."""
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "own.py").write_text(OWN)

    def read(text, *path, default_use=None):
        file = folder / "run.toml"
        file.write_text(text)
        return read_component(load_config([file], environ={}), path or ("task",), default_use)

    return read


def given(use, **options):
    """Return the component that Python code gives."""
    component = read_component(ConfigTree.from_python({"loss": {"use": use, **options}}), ("loss",))
    assert component is not None
    return component


def message(call, *arguments):
    with pytest.raises(ConfigError) as caught:
        call(*arguments)
    return str(caught.value)


def test_a_table_is_what_to_use_and_its_options(written):
    component = written('[task]\nuse = "own.py:build"\nhidden = 8\n')
    assert (component.use, component.options, component.path) == ("own.py:build", {"hidden": 8}, ("task",))
    assert component.is_own
    assert component.label == "'own.py:build'"


def test_what_is_not_written_is_none(written):
    assert written("[run]\n", "schedule") is None


def test_a_value_that_is_no_table_is_short_for_one(written):
    component = written('[metrics]\naccuracy = "own.py:build"\n', "metrics", "accuracy")
    assert (component.use, component.options) == ("own.py:build", {})


def test_a_table_may_go_without_a_use_where_its_name_says_it(written):
    component = written("[metrics.f1]\naverage = 'macro'\n", "metrics", "f1", default_use="f1")
    assert (component.use, component.options, component.is_own) == ("f1", {"average": "macro"}, False)


@pytest.mark.parametrize("line", ["hidden = 8", 'use = ""'])
def test_a_table_that_names_nothing_is_an_error(written, tmp_path, line):
    text = message(written, f"[run]\n\n[task]\n{line}\n")
    assert text.startswith(f"{tmp_path}/conf/run.toml:")
    assert text.endswith('says not what to use: write use = "NAME" or use = "file.py:attr" below [task].')


@pytest.mark.parametrize(
    ("use", "said"),
    [
        ("nothing.py:build", "there is no file '{folder}/nothing.py'."),
        ("own.py", "names a file alone: name what to use of it, own.py:NAME."),
        ("own.py:", "'' after the colon of 'own.py:' is not a name."),
        (
            "not a module:build",
            "'not a module:build' is neither path/to/file.py, path/to/file.py:attr nor module:attr.",
        ),
    ],
)
def test_a_location_is_checked_when_the_table_is_read(written, tmp_path, use, said):
    folder = tmp_path / "conf"
    assert (
        message(written, f'[task]\nuse = "{use}"\n') == f"{folder}/run.toml:2: task.use: {said.format(folder=folder)}"
    )


def test_a_table_is_described_so_that_it_holds_anywhere(written, tmp_path):
    table = written('[task]\nuse = "own.py:build"\nhidden = 8\n').as_table()
    assert table == {"use": f"{tmp_path}/conf/own.py:build", "hidden": 8}
    assert given("cross_entropy").as_table() == {"use": "cross_entropy"}
    assert given("torch.nn:MSELoss", reduction="sum").as_table() == {"use": "torch.nn:MSELoss", "reduction": "sum"}


def test_what_python_gives_is_described_by_its_name():
    assert given(torch.nn.MSELoss).as_table() == {"use": "torch.nn.modules.loss:MSELoss"}
    assert given(torch.nn.MSELoss()).label == "torch.nn.modules.loss:MSELoss"
    assert named(functools.partial(print)) == "functools:partial"


def test_a_file_is_made_absolute_from_the_directory_it_was_written_for(tmp_path, monkeypatch):
    (tmp_path / "own.py").touch()
    monkeypatch.chdir(tmp_path)
    assert portable("own.py:build") == f"{tmp_path}/own.py:build"
    assert portable("own.py", tmp_path) == f"{tmp_path}/own.py"
    assert portable("own:build") == "own:build"
    assert portable("adamw") == "adamw"


OFFERED = {"cross_entropy": int, "mse": float}


@pytest.mark.parametrize("name", ["cross_entropy", "cross-entropy", "Cross_Entropy"])
def test_a_name_is_found_however_it_is_spelt(name):
    assert find_factory(given(name), OFFERED, "loss") is int


def test_a_misspelt_name_gets_a_suggestion_and_the_whole_list(written, tmp_path):
    component = written('[loss]\nuse = "crossentropy"\n', "loss")
    assert message(find_factory, component, OFFERED, "loss") == (
        f"{tmp_path}/conf/run.toml:2: loss.use: there is no loss 'crossentropy'. Did you mean 'cross_entropy'? "
        'Offered by the active plugins: cross_entropy, mse. Code of your own is use = "path.py:attr" or "module:attr"; '
        "a plugin that offers more must be installed and on."
    )


def test_where_nothing_is_offered_it_says_so():
    assert "there is no task 'digits'. Offered by the active plugins: none." in message(
        find_factory, given("digits"), {}, "task"
    )


def test_a_callable_is_taken_as_it_is():
    assert find_factory(given(float), OFFERED, "loss") is float


def test_what_can_be_no_component_is_an_error():
    text = message(find_factory, given(3), OFFERED, "loss")
    assert text.endswith("loss.use: got 3; a loss is a name, path.py:attr, module:attr or, in Python, a callable.")


def test_code_of_the_users_own_is_found_from_the_file_that_names_it(written):
    assert find_factory(written('[task]\nuse = "own.py:build"\n'), {}, "task")(2) == (2, 1)


def test_a_module_is_found_by_its_name():
    assert find_factory(given("torch.nn:MSELoss"), OFFERED, "loss") is torch.nn.MSELoss


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "import torch\n\ndef helper():\n    return 1 / 0\n\nhelper()\n",
            "ZeroDivisionError: division by zero ({file}:4)",
        ),
        ("import zz_nowhere\n", "ModuleNotFoundError: No module named 'zz_nowhere' ({file}:1)"),
        ("import json\n\njson.loads('{')\n", "({file}:3)"),
        ("raise SystemExit(3)\n", "SystemExit: 3 ({file}:1)"),
        ("x = = 3\n", "SyntaxError: invalid syntax (broken.py, line 1)"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named_with_the_line_that_failed(written, tmp_path, text, said):
    file = tmp_path / "conf" / "broken.py"
    file.write_text(text)
    found = message(find_factory, written('[task]\nuse = "broken.py:build"\n'), {}, "task")
    assert found.startswith(f"{tmp_path}/conf/run.toml:2: task.use: 'broken.py:build' cannot be imported: ")
    assert said.format(file=file) in found


def test_a_module_that_cannot_be_imported_is_named_with_the_line_that_failed(tmp_path, monkeypatch):
    (tmp_path / "zz_broken.py").write_text("\n\nraise RuntimeError('no driver')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = message(find_factory, given("zz_broken:build"), {}, "task")
    place = tmp_path / "zz_broken.py"
    assert text.endswith(f"'zz_broken:build' cannot be imported: RuntimeError: no driver ({place}:3)")
    assert "zz_broken" not in sys.modules


def test_the_cause_of_a_failed_import_is_kept(written):
    Path(written("[task]\nuse = 'own.py:build'\n").base / "broken.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError) as caught:
        find_factory(written('[task]\nuse = "broken.py:build"\n'), {}, "task")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_module_that_is_not_there_says_how_a_file_is_named():
    text = message(find_factory, given("zz_nowhere:build"), {}, "task")
    assert "No module named 'zz_nowhere'. A file of your own is named by its path: path/to/file.py:attr" in text


def test_a_misspelt_attribute_gets_a_suggestion(written, tmp_path):
    text = message(find_factory, written('[task]\nuse = "own.py:biuld"\n'), {}, "task")
    assert text.endswith(f"task.use: there is no 'biuld' in {tmp_path}/conf/own.py. Did you mean 'build'?")
    text = message(find_factory, written('[task]\nuse = "own.py:Net.with"\n'), {}, "task")
    assert "cannot be imported: AttributeError: type object 'Net' has no attribute 'with'" in text


def test_what_is_not_callable_makes_nothing(written):
    text = message(find_factory, written('[task]\nuse = "own.py:LIMIT"\n'), {}, "task")
    assert text.endswith("task.use: 'own.py:LIMIT' is 3; a task must be callable.")


def test_an_error_of_hookloop_in_the_users_file_keeps_its_own_words(written):
    base = written("[task]\nuse = 'own.py:build'\n").base
    (base / "strict.py").write_text('from hookloop import ConfigError\nraise ConfigError("run prepare.py first")\n')
    assert message(find_factory, written('[task]\nuse = "strict.py:build"\n'), {}, "task") == "run prepare.py first"


def test_all_wrong_options_are_told_at_once_with_their_lines(written, tmp_path):
    def factory(width, height, depth=3): ...

    component = written('[task]\nuse = "own.py:build"\nwitdh = 8\nzz = 1\n')
    file = tmp_path / "conf" / "run.toml"
    assert message(check_options, component, factory).splitlines() == [
        f"{file}:3: task.witdh: unknown option. Did you mean 'width'? It takes: width, height, depth.",
        f"{file}:4: task.zz: unknown option. It takes: width, height, depth.",
        f"{file}:2: task.use: needs the option 'width'.",
        f"{file}:2: task.use: needs the option 'height'.",
    ]


def test_a_factory_without_options_says_so():
    assert message(check_options, given("x", gamma=1), lambda: None).endswith("unknown option. It takes: none.")


def test_what_the_engine_gives_itself_is_no_option():
    def factory(params, lr=0.1): ...

    check_options(given("x", lr=1), factory, given=("params",))
    text = message(functools.partial(check_options, given=("params",)), given("x", params=1), factory)
    assert text.endswith("loss.params: unknown option. It takes: lr.")


@pytest.mark.parametrize("factory", [lambda **options: options, dict, functools.partial(dict, a=1)])
def test_a_factory_that_takes_anything_or_tells_nothing_is_not_second_guessed(factory):
    check_options(given("x", anything=1), factory)


def test_a_factory_is_called_with_the_engines_arguments_and_the_options():
    def factory(params, lr, *, decay=0):
        return params, lr, decay

    assert call_factory(given("x", lr=1, decay=2), factory, "params") == ("params", 1, 2)


class Base:
    def __init__(self, size):
        if size < 0:
            raise ValueError(f"a size of {size}")


class Derived(Base):
    def __init__(self, size):
        super().__init__(size)


class Careless:
    def __init__(self, size):
        helper(size)


def helper(size):
    raise ValueError("deep down")


def refusing(size):
    raise TypeError("no such size")


@functools.wraps(Derived, updated=())
def wrapping(**options):
    return Derived(**options)


@pytest.mark.parametrize(
    ("factory", "said"),
    [(Base, "a size of -1"), (Derived, "a size of -1"), (wrapping, "a size of -1"), (refusing, "no such size")],
)
def test_an_option_that_a_named_factory_refuses_is_an_error_of_the_table(factory, said):
    text = message(call_factory, given("chosen", size=-1), factory)
    assert text == f"Python: loss.use: 'chosen' refuses its options: {said}"


def test_an_error_deeper_in_a_named_factory_is_no_refusal():
    with pytest.raises(ValueError, match="deep down"):
        call_factory(given("chosen", size=-1), Careless)


@pytest.mark.parametrize(("name", "kind", "said"), [("counts", TypeError, "no len"), ("refuses", ValueError, "narrow")])
def test_an_error_in_the_users_own_code_is_left_as_it_is(written, name, kind, said):
    options = "hidden = 1\n" if name == "refuses" else ""
    component = written(f'[task]\nuse = "own.py:{name}"\n{options}')
    with pytest.raises(kind, match=said) as caught:
        call_factory(component, find_factory(component, {}, "task"))
    assert not isinstance(caught.value, ConfigError)


def test_a_call_that_the_users_own_code_does_not_take_is_an_error_of_the_table():
    text = message(call_factory, given(lambda: None), lambda: None, "params")
    assert "takes 0 positional arguments but 1 was given" in text
    assert text.startswith("Python: loss.use: ")


def test_a_config_error_of_the_users_own_code_keeps_its_words(written):
    component = written('[task]\nuse = "own.py:explains"\n')
    assert message(call_factory, component, find_factory(component, {}, "task")) == "no data: run prepare.py first"


def test_a_location_that_is_offered_is_the_plugins():
    offered = {"torch.nn:MSELoss": int}
    assert find_factory(given("torch.nn:MSELoss"), offered, "loss") is int
    assert "Offered by the active plugins: none." in message(find_factory, given("mse"), offered, "loss")


class Making:
    """A factory that is an object."""

    def __call__(self, size):
        raise ValueError("size is too small")


def test_an_object_that_makes_things_may_refuse_options(written):
    component = written('[task]\nuse = "tiny"\nsize = 1\n')
    assert message(call_factory, component, Making()).endswith("'tiny' refuses its options: size is too small")


class Undecided:
    """Compares to something else than a bool, as arrays and metrics do."""

    def __eq__(self, other):
        return [True]

    __hash__ = None


def test_an_object_is_never_compared():
    use = Undecided()
    assert given(use).use is use

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hookloop.config import ConfigTree, Origin, load_config, render_validation_error, resolve_secrets
from hookloop.interval import Interval


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Disk(Strict):
    name: str
    size: int | float = 1


class Cat(Strict):
    kind: Literal["cat"]
    lives: int = 9


class Dog(Strict):
    kind: Literal["dog"]
    bark: str = "wuff"


class Nothing(Strict):
    pass


class Options(Strict):
    interval_seconds: float = Field(1.0, gt=0)
    monitor: str = Field("val/f1", description="Name of a metric.")
    mode: Literal["min", "max"] = "min"
    keep: int = Field(1, ge=1)
    ratio: float = Field(0.5, lt=1)
    most: int = Field(0, le=9)
    even: int = Field(2, multiple_of=2)
    word: str = Field("word", min_length=2, max_length=5)
    name: str = Field("name", pattern="^[a-z]+$")
    few: list[int] = Field([1], min_length=1, max_length=2)
    flag: bool = False
    folder: Path = Path()
    every: Interval = Interval(1, "epoch")
    names: list[str] = []
    pair: tuple[int, str] = (1, "a")
    table: dict[str, int] = {}
    short_keys: dict[Annotated[str, Field(max_length=3)], int] = {}
    disk: Disk | None = None
    disks: list[Disk] = []
    by_name: dict[str, Disk] = {}
    animal: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    either: Cat | Dog | None = None
    either_kind: int | list[int] | None = None
    size: int | str = 1
    loose: int | float = 1
    nothing: Nothing = Nothing()
    short: int = Field(1, validation_alias=AliasChoices("long_name", "longer_name"))
    api_key: str = ""
    port: int = 1
    action: Callable[[], None] | None = None

    @field_validator("folder")
    @classmethod
    def _folder(cls, value):
        if value == Path("bad"):
            raise ValueError("may not be 'bad'")
        return value

    @field_validator("api_key")
    @classmethod
    def _api_key(cls, value):
        if value.startswith("wrong"):
            raise ValueError(f"'{value}' is no key")
        return value


class Required(Strict):
    model_config = ConfigDict(extra="forbid", validate_by_name=True)
    monitor: str = Field(description="\nName of a metric.\nMore text.")
    plain: int
    low: int = Field(0, alias="lowest")
    high: int = 1

    @model_validator(mode="after")
    def _ordered(self):
        if self.low > self.high:
            raise ValueError("lowest is above high")
        return self


PREFIX = ("plugins", "x")


@pytest.fixture
def problems(tmp_path, monkeypatch):
    """Return what is said about the text of the table [plugins.x], which begins on line 2 of run.toml."""
    monkeypatch.chdir(tmp_path)

    def check(text, model=Options, environ=None, also_known=()):
        Path("run.toml").write_text(f"[plugins.x]\n{text}\n")
        tree = load_config([Path("run.toml")], environ={})
        table, missing = resolve_secrets(tree.data["plugins"]["x"], environ or {}, tree, PREFIX)
        assert missing == []
        with pytest.raises(ValidationError) as caught:
            model.model_validate(table)
        return [str(one) for one in render_validation_error(caught.value, model, tree, PREFIX, also_known)]

    return check


def test_an_unknown_option_is_told_with_its_line_and_a_suggestion(problems):
    assert problems("\n\nintervall_seconds = 3") == [
        "run.toml:4: plugins.x.intervall_seconds: unknown option. Did you mean 'interval_seconds'?"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("disk = { name = 'a', sise = 1 }", "run.toml:2: plugins.x.disk.sise: unknown option. Did you mean 'size'?"),
        ("[[plugins.x.disks]]\nname = 'a'\nsise = 1", "run.toml:4: plugins.x.disks[0].sise: unknown option. Did you"),
        (
            "[plugins.x.by_name.'a b']\nname = 'a'\nsise = 1",
            'run.toml:4: plugins.x.by_name."a b".sise: unknown option.',
        ),
        (
            "animal = { kind = 'dog', brak = 'x' }",
            "run.toml:2: plugins.x.animal.brak: unknown option. Did you mean 'bark'",
        ),
        ("nothing = { a = 1 }", "run.toml:2: plugins.x.nothing.a: unknown option."),
        ("disk = { name = 'a', qqq = 1 }", "run.toml:2: plugins.x.disk.qqq: unknown option. There are: name, size."),
        ("longer_nam = 1", "run.toml:2: plugins.x.longer_nam: unknown option. Did you mean 'longer_name'?"),
    ],
)
def test_an_unknown_option_is_found_wherever_it_stands(problems, text, problem):
    (only,) = problems(text)
    assert only.startswith(problem)


def test_a_suggestion_may_be_one_of_the_keys_that_the_engine_knows(problems):
    assert problems("enable = true", also_known=("enabled",)) == [
        "run.toml:2: plugins.x.enable: unknown option. Did you mean 'enabled'?"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("interval_seconds = 'fast'", "interval_seconds: got 'fast' (a string), expected a number."),
        ("interval_seconds = 0", "interval_seconds: got 0 (a whole number), expected a number greater than 0."),
        ("keep = 1.5", "keep: got 1.5 (a number), expected a whole number."),
        ("keep = []", "keep: got a list of 0, expected a whole number."),
        ("keep = { a = 1 }", "keep: got a table, expected a whole number."),
        ("keep = 0", "keep: got 0 (a whole number), expected a number of at least 1."),
        ("most = 10", "most: got 10 (a whole number), expected a number of at most 9."),
        ("ratio = 1", "ratio: got 1 (a whole number), expected a number less than 1."),
        ("even = 3", "even: got 3 (a whole number), expected a multiple of 2."),
        ("word = 'a'", "word: got 'a' (a string), expected a string with a length of at least 2."),
        ("word = 'abcdef'", "word: got 'abcdef' (a string), expected a string with a length of at most 5."),
        ("name = 'A'", "name: got 'A' (a string), expected a string that matches '^[a-z]+$'."),
        ("few = []", "few: got a list of 0, expected at least 1 elements."),
        ("few = [1, 2, 3]", "few: got a list of 3, expected at most 2 elements."),
        ("mode = 'maxx'", "mode: got 'maxx' (a string), expected 'min' or 'max'. Did you mean 'max'?"),
        ("mode = 1", "mode: got 1 (a whole number), expected 'min' or 'max'."),
        ("flag = 'maybe'", "flag: got 'maybe' (a string), expected true or false."),
        ("folder = 3", "folder: got 3 (a whole number), expected a path."),
        ("folder = 'bad'", "folder: may not be 'bad'"),
        ("monitor = 3", 'monitor: got 3 (a whole number), expected a string. Put it in quotes: "3".'),
        ("monitor = true", 'monitor: got true (a boolean), expected a string. Put it in quotes: "true".'),
        (
            "monitor = 2024-01-31",
            'monitor: got 2024-01-31 (a date), expected a string. Put it in quotes: "2024-01-31".',
        ),
        ("monitor = 12:30:00", 'monitor: got 12:30:00 (a time), expected a string. Put it in quotes: "12:30:00".'),
        ("names = 'one'", "names: got 'one' (a string), expected a list. Write [\"one\"]."),
        ("pair = [1, 2]", 'pair[1]: got 2 (a whole number), expected a string. Put it in quotes: "2".'),
        ("table = 3", "table: got 3 (a whole number), expected a table."),
        ("table = { a = 'x' }", "table.a: got 'x' (a string), expected a whole number."),
        ("short_keys = { abcd = 1 }", "short_keys.abcd: got 'abcd' (a string), expected a string with a length of at"),
        ("disk = 3", "disk: got 3 (a whole number), expected a table."),
        ("every = 100", "every: 100 has no unit. Write a number and a unit, as in '100 steps', '1 epoch',"),
        ("every = '1 epcoh'", "every: '1 epcoh': unknown unit 'epcoh'. Did you mean 'epochs'?"),
        ("size = []", "size: got a list of 0, expected a whole number or a string."),
        ("loose = 'a'", "loose: got 'a' (a string), expected a number."),
        ("either = { kind = 'cow' }", "either.kind: got 'cow' (a string), expected 'cat' or 'dog'."),
        ("animal = { kind = 'cow' }", "animal: input tag 'cow' found using 'kind' does not match any"),
        ("action = 3", "action: got 3 (a whole number), expected callable."),
        ("longer_name = 'a'", "longer_name: got 'a' (a string), expected a whole number."),
        (f"keep = '{'x' * 100}'", f"keep: got '{'x' * 55}...' (a string), expected a whole number."),
    ],
)
def test_a_wrong_value_is_told_with_what_was_given_and_what_is_wanted(problems, text, problem):
    (only,) = problems(text)
    assert only.startswith(f"run.toml:2: plugins.x.{problem}")


def test_a_wrong_element_of_a_list_is_told_with_its_own_line(problems):
    assert problems("few = [\n  1,\n  'a',\n]") == [
        "run.toml:4: plugins.x.few[1]: got 'a' (a string), expected a whole number."
    ]


def test_an_option_of_several_kinds_tells_what_each_of_them_misses(problems):
    assert problems("either_kind = ['a']") == [
        "run.toml:2: plugins.x.either_kind: got a list of 1, expected a whole number.",
        "run.toml:2: plugins.x.either_kind[0]: got 'a' (a string), expected a whole number.",
    ]


def test_a_missing_option_is_told_at_its_table_with_its_meaning(problems):
    assert problems("", Required) == [
        "run.toml:1: plugins.x.monitor: is required, and missing: Name of a metric.",
        "run.toml:1: plugins.x.plain: is required, and missing.",
    ]


def test_a_suggestion_may_be_a_name_or_an_alias(problems):
    found = problems("monitor = 'a'\nplain = 1\nlwo = 1\nlowets = 1", Required)
    assert [problem.rpartition("Did you mean ")[2] for problem in found] == ["'low'?", "'lowest'?"]


def test_a_mistake_of_the_whole_table_is_told_at_the_table(problems):
    assert problems("monitor = 'a'\nplain = 1\nlowest = 3", Required) == ["run.toml:1: plugins.x: lowest is above high"]


def test_all_mistakes_are_told_in_the_order_of_the_file(problems):
    found = problems("wrong = 1\nmode = 'a'\nkeep = 0\nalso_wrong = 1\n")
    assert [problem.split(":")[1] for problem in found] == ["2", "3", "4", "5"]


def test_a_secret_is_not_told(problems):
    found = problems(
        "api_key = { env = 'KEY' }\nport = { env = 'PORT' }\nnames = { env = 'KEY' }",
        environ={"KEY": "wrong-4711", "PORT": "4712"[::-1] + "x"},
    )
    assert found == [
        "run.toml:2: plugins.x.api_key: 'the value of { env = \"KEY\" }' is no key",
        'run.toml:3: plugins.x.port: got the value of { env = "PORT" }, expected a whole number.',
        'run.toml:4: plugins.x.names: got the value of { env = "KEY" }, expected a list.',
    ]


@pytest.mark.parametrize("given", ["api_key = 4711", "api_key = 'wrong-4711'"])
def test_a_value_under_the_name_of_a_secret_is_not_told(problems, given):
    (only,) = problems(given)
    assert "4711" not in only
    assert "***" in only


def rendered(options, origin, model=Options):
    with pytest.raises(ValidationError) as caught:
        model.model_validate(options)
    return [str(problem) for problem in render_validation_error(caught.value, model, origin, PREFIX)]


def test_options_given_in_python_are_told_with_their_call():
    assert rendered({"keep": None, "flag": object()}, Origin("Engine(...)")) == [
        "Engine(...): plugins.x.keep: got nothing, expected a whole number.",
        "Engine(...): plugins.x.flag: got an object of type object, expected true or false.",
    ]


def test_options_that_were_written_nowhere_are_told_without_a_place():
    assert rendered({"keep": 0}, ConfigTree())[0].startswith("plugins.x.keep: got 0")


def test_a_model_may_be_made_at_run_time():
    from pydantic import create_model

    made = create_model("Made", __config__=ConfigDict(extra="forbid"), gpu=(bool, False))
    assert rendered({"gpus": True}, Origin("--set"), made) == [
        "--set: plugins.x.gpus: unknown option. Did you mean 'gpu'?"
    ]

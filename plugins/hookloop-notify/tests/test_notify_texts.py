"""Templates, the text of errors, and what keeps secrets out of both."""

import pytest

from hookloop_notify.limiter import MOST_NAMED, Limiter
from hookloop_notify.message import Failure, clean, clock_of, closed_up
from hookloop_notify.scrubbing import (
    Scrubber,
    place_of,
    secrets_of_environment,
    secrets_of_references,
    secrets_of_url,
)
from hookloop_notify.scrubbing import secrets_of_table as of_table
from hookloop_notify.templates import FIELDS, check_template, render


def test_fields_are_filled_in_once_and_what_they_hold_is_taken_as_it_is():
    fields = {"name": "{step}", "step": "3"}
    assert render("{name} {{name}} {step}{step} {metric:a/b} {metric:c}", fields, {"a/b": "1.5"}) == (
        "{step} {name} 33 1.5 -"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{outcom}", r"unknown field 'outcom'\. Did you mean 'outcome'\?"),
        ("{zzzzzz}", r"unknown field 'zzzzzz'\. There are: name, summary, outcome,"),
        ("{metric:}", "unknown field 'metric:'"),
        ("{text}", "unknown field 'text'"),
        ("{name.__class__}", "braces around what is no field"),
        ("{name!r}", "braces around what is no field"),
        ("{step:>5}", "braces around what is no field"),
        ("{0}", "braces around what is no field"),
        ("{}", "braces around what is no field"),
        ("a { b", r"single '\{', at character 3; a brace is written \{\{"),
        ("a } b", r"single '\}', at character 3; a brace is written \}\}"),
        ("{{name}", r"single '\}'"),
    ],
)
def test_what_is_no_template_is_an_error(text, message):
    with pytest.raises(ValueError, match=message):
        check_template(text)


def test_every_field_can_be_used():
    text = " ".join(f"{{{name}}}" for name in FIELDS)
    assert check_template(text) == text


def test_an_error_about_a_template_repeats_nothing_that_may_be_a_secret():
    with pytest.raises(ValueError, match="braces") as caught:
        check_template("s3cr{3t-with}-braces")
    assert "3t-with" not in str(caught.value)


def raised(error):
    try:
        raise error
    except BaseException as caught:
        return caught


def test_of_a_traceback_the_last_lines_are_kept():
    failure = Failure.of(raised(ValueError("boom\nsecond line")), 3, lambda text: text)
    assert failure.error == "ValueError: boom"
    lines = failure.traceback.splitlines()
    assert len(lines) == 3
    assert lines[-2:] == ["ValueError: boom", "second line"]
    assert Failure.of(ValueError("x"), 0, str).traceback == ""
    assert Failure.of(KeyError(), 9, str).error == "KeyError"


def test_an_error_that_cannot_be_printed_is_told_by_its_class():
    class Broken(Exception):
        def __str__(self):
            raise RuntimeError("no")

    assert Failure.of(raised(Broken()), 5, str).error == "Broken"


def test_a_secret_is_taken_out_before_anything_is_cut():
    secret = "k" * 40
    failure = Failure.of(raised(ValueError("x" * 480 + secret)), 1, Scrubber([secret]))
    assert "kkk" not in failure.traceback + failure.error
    failure = Failure.of(raised(ValueError("x" * 1980 + secret)), 1, Scrubber([secret]))
    assert "kkk" not in failure.traceback + failure.error


def test_the_scrubber_finds_a_secret_in_other_clothes_too():
    scrub = Scrubber(["p@ss/wörd", "it's\\here", "p@ss", "", "ab", "***"])
    assert scrub("p@ss/wörd p%40ss%2Fw%C3%B6rd p%40ss/w%C3%B6rd p@ss ab") == "*** *** *** *** ab"
    assert scrub(repr({"a": "it's\\here"})) == """{'a': "***"}"""


def test_secrets_are_found_by_reference_by_name_and_in_addresses():
    environ = {"SLACK": "value-of-slack", "HF_TOKEN": "hf_12345678", "TOKENIZERS_PARALLELISM": "true-and-long"}
    assert list(secrets_of_environment(environ)) == ["hf_12345678"]
    assert list(secrets_of_environment({"A_TOKEN": "short", "MY_API_KEY": "long-enough"})) == ["long-enough"]
    settings = {"a": [{"env": "SLACK"}, {"env": "MISSING"}], "b": {"env": 3}}
    assert [each for each in secrets_of_references(settings, environ) if each] == ["value-of-slack"]
    assert {*of_table({"Authorization": "Bearer abc", "chat_id": "1", "inner": {"token": "t"}})} >= {
        "Bearer abc",
        "abc",
        "t",
    }
    found = {*secrets_of_url("https://u:p%40ss@h.org/services/T0/uPh4Qv0R9xK2?key=abcdefghij0")}
    assert {"p@ss", "/services/T0/uPh4Qv0R9xK2", "uPh4Qv0R9xK2", "key=abcdefghij0", "abcdefghij0"} <= found
    assert "services" not in found


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.slack.com/services/T024BE7LD/B0123/uPh4Qv0R9xK2", "https://hooks.slack.com"),
        ("https://me:password@h.org/hook?token=abcdefgh12", "https://h.org"),
        ("http://localhost:8080/notify/me", "http://localhost:8080"),
    ],
)
def test_only_the_host_of_an_address_is_shown(url, shown):
    assert place_of(url) == shown


def test_empty_lines_are_closed_up_and_nothing_else_is():
    assert closed_up("\n\na\n  b\n\n \n\n\nc\n\nd\n\n") == "a\n  b\n\nc\n\nd"


def test_what_no_mail_can_hold_is_replaced():
    assert clean("a\0b\udcffc") == "a\N{REPLACEMENT CHARACTER}b?c"


def test_a_time_is_written_like_a_clock():
    assert [clock_of(each) for each in (0.9, 61, 3723, 360000)] == ["0:00:00", "0:01:01", "1:02:03", "100:00:00"]


def test_the_limiter_lets_one_through_in_an_interval_and_tells_what_it_held_back():
    limiter = Limiter(60)
    assert limiter.allows(0)
    assert not limiter.allows(59.9)
    limiter.hold(["a is 1"], 7)
    limiter.hold(["b is 2", "c is 3"], 8)
    copy = Limiter(60)
    copy.load_state_dict(limiter.state_dict())
    for each in (limiter, copy):
        assert not each.allows(59.9)
        assert each.allows(60)
        assert each.take() == ("Not sent since the last message: 3\na is 1 (step 7)\nb is 2 (step 8)\nc is 3 (step 8)")
        assert each.take() == ""


def test_of_many_the_first_are_named_and_the_rest_is_counted():
    limiter = Limiter(60)
    for step in range(MOST_NAMED + 5):
        limiter.hold(["a is 1"], step)
    lines = limiter.take().splitlines()
    assert lines[0] == "Not sent since the last message: 15"
    assert lines[-1] == "and 5 more"
    assert len(lines) == MOST_NAMED + 2

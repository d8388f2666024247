import pytest

from hookloop.cli.failures import describe, exit_code, report
from hookloop.control import SkipStep
from hookloop.errors import ConfigError, DataError, HookloopError, PluginHookError, Problem
from hookloop.records import new_directory


def raised(function, *given):
    try:
        function(*given)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def fail():
    raise ValueError("mine")


def find_mistake():
    try:
        fail()
    except ValueError as error:
        raise ConfigError("no such server.") from error


def through_the_engine():
    # records.py is the engine's: what it raises has a frame of the user's above one of the engine's.
    new_directory(None)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (DataError("x"), 1),
        (ValueError("x"), 1),
        (KeyboardInterrupt(), 130),
        (PluginHookError("a", "b", "c", 1, ValueError("x")), 1),
    ],
)
def test_the_exit_code_says_whose_mistake_it_is(error, code):
    assert exit_code(error) == code


def test_problems_are_one_a_line():
    problems = [Problem("a.toml:1", "run.x", "unknown."), Problem("", "", "nothing.")]
    assert describe(ConfigError(problems)) == "a.toml:1: run.x: unknown.\nnothing."


def test_a_note_on_a_message_is_kept():
    error = HookloopError("it failed")
    error.add_note("and then this")
    assert describe(error) == "it failed\nand then this"


def test_frames_of_the_engine_are_left_out_of_a_users_error():
    text = describe(raised(through_the_engine))
    assert text.count("  File ") == 2  # of raised() and of the function
    assert "through_the_engine" in text
    assert "records.py" not in text


def test_an_error_of_the_engine_alone_keeps_its_frames():
    error = raised(new_directory, None)
    error.__traceback__ = error.__traceback__.tb_next
    while error.__traceback__.tb_frame.f_code.co_name != "new_directory":
        error.__traceback__ = error.__traceback__.tb_next
    assert "records.py" in describe(error)


def test_the_cause_of_an_error_and_the_members_of_a_group_are_told():
    error = raised(fail)
    other = SkipStep("inner")
    other.__cause__ = raised(through_the_engine)
    text = describe(ExceptionGroup("two", [error, other]))
    assert "ValueError: mine" in text
    assert "The above exception was the direct cause" in text
    assert "records.py" not in text


def test_a_plugins_error_is_named_once_and_other_notes_are_kept():
    cause = raised(fail)
    verdict = PluginHookError("mail", "hookloop-mail 1.0", "on_run_end", 3, cause)
    cause.add_note(str(verdict))
    cause.add_note("and while the run was ending: OSError: gone")
    verdict.__cause__ = cause
    text = describe(verdict)
    assert text.count("plugin 'mail' (hookloop-mail 1.0)") == 1
    assert text.index("and while the run was ending") < text.index("plugin 'mail'")


def test_a_mistake_that_a_plugin_finds_is_a_message_with_its_notes():
    cause = raised(find_mistake)
    verdict = PluginHookError("mail", "hookloop-mail 1.0", "on_run_start", 0, cause)
    cause.add_note(str(verdict))
    cause.add_note("and while the run was ending: OSError: gone")
    verdict.__cause__ = cause
    assert describe(verdict).splitlines() == [
        "and while the run was ending: OSError: gone",
        "plugin 'mail' (hookloop-mail 1.0): on_run_start failed at step 0: ConfigError: no such server. "
        "Switch it off with: -p no:mail",
    ]


def test_an_interruption_has_no_traceback(capsys):
    assert report(KeyboardInterrupt(), as_json=True) == 130
    out, err = capsys.readouterr()
    assert err == "interrupted\n"
    assert '"outcome": "interrupted"' in out


def test_one_rank_answers_a_script_and_all_tell_a_person(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert report(ConfigError("x"), as_json=True) == 2
    assert capsys.readouterr() == ("", "x\n")


def test_the_whole_traceback_is_shown_when_it_is_asked_for(monkeypatch):
    monkeypatch.setenv("HOOKLOOP_TRACEBACK", "1")
    assert "records.py" in describe(raised(through_the_engine))
    assert describe(ConfigError("x")).startswith("hookloop.errors.ConfigError: x")
    monkeypatch.setenv("HOOKLOOP_TRACEBACK", "0")
    assert describe(ConfigError("x")) == "x"

import pytest

WATCH = '''
from hookloop import PluginConfig, hookimpl

class Watch:
    """Watches.

    At length.
    """

    role = "observer"

    class Config(PluginConfig):
        interval_seconds: float = 0.5
        """How often it looks,
        in seconds."""

        names: list[str] | None = None
        """Whom it watches."""

        api_key: str = "letmein"
        """What it opens."""

        place: str
        """Where it stands."""

    def __init__(self, config):
        self.config = config

    @hookimpl
    def on_step_end(self, run):
        pass

    @hookimpl
    def on_run_start(self):
        pass
'''

BAD = """
import torch
from pydantic import BaseModel
from hookloop import hookimpl

class Bad:
    role = "spectator"
    before = "everyone"

    class Config(BaseModel):
        after: int = 1
        size: int = 1

    def __init__(self, config):
        pass

    @hookimpl
    def on_stp_end(self, run):
        pass

    @hookimpl
    def on_step_end(self, ran):
        pass

    def state_dict(self):
        return {}
"""


@pytest.fixture
def installed(site):
    """The variables by which distributions with plugins of every state are found."""
    site("zz-watch", {"hookloop": ["zz-watch = zz_watch:Watch"]}, {"zz_watch.py": WATCH}, version="2.1")
    site("zz-auto", {"hookloop.autoload": ["zz-auto = zz_auto:Auto"]}, {"zz_auto.py": AUTO})
    broken = {"zz_broken.py": "import zz_absent\n"}
    site("zz-broken", {"hookloop.autoload": ["zz-broken = zz_broken:X"]}, broken)
    site("zz-one", {"hookloop": ["zz-twice = zz_one:X"]})
    site("zz-two", {"hookloop": ["zz-twice = zz_two:X"]})
    return site("zz-old", {"hookloop": ["zz-old = zz_old:X"]}, requires=["hookloop<0.1"])


AUTO = """
from hookloop import hookimpl

class Auto:
    role = "observer"

    @hookimpl
    def report(self, run):
        pass
"""


def test_plugins_lists_every_state_and_imports_only_what_is_active(imported, installed, row):
    answer, modules = imported("plugins", "--json", **installed)
    assert answer.code == 0
    rows = answer.json
    assert row(rows, "zz-auto") == {
        "name": "zz-auto",
        "plugin": "zz-auto",
        "version": "1.0",
        "distribution": "zz-auto",
        "state": "active",
        "reason": "by being installed",
        "role": "observer",
        "hooks": ["report"],
    }
    assert (row(rows, "zz-watch")["state"], row(rows, "zz-watch")["version"]) == ("available", "2.1")
    assert row(rows, "zz-broken")["state"] == "failed"
    assert "No module named 'zz_absent'" in row(rows, "zz-broken")["reason"]
    assert row(rows, "zz-old")["reason"] == "requires hookloop<0.1, this is 0.1.0"
    assert row(rows, "zz-twice")["state"] == "failed"
    assert "zz-one 1.0 and zz-two 1.0" in row(rows, "zz-twice")["reason"]
    assert "zz_auto" in modules
    assert not modules & {"zz_watch", "zz_old", "torch"}


def test_the_list_is_a_table_of_80_columns(hookloop, installed):
    answer = hookloop("plugins", "list", **installed)
    lines = answer.out.splitlines()
    assert lines[0].split() == ["name", "version", "distribution", "role", "state"]
    assert [line for line in lines if len(line) > 80] == []
    assert any(line.split() == ["zz-auto", "1.0", "zz-auto", "observer", "active"] for line in lines)
    assert "incompatible (requires" in " ".join(answer.out.split())


def test_a_configuration_switches_and_shadows(hookloop, installed, files, row):
    (files / "run.toml").write_text(
        '[plugins]\ndisable = ["zz-auto"]\n'
        '[plugins.zz-watch]\nplace = "here"\n'
        '[plugins.zz-twice]\nuse = "plugins.py:Slow"\n'
        "[plugins.zz-absent]\n"
    )
    answer = hookloop("plugins", "list", "run.toml", "--json", **installed)
    assert answer.code == 0
    rows = answer.json
    assert (row(rows, "zz-auto")["state"], row(rows, "zz-auto")["reason"]) == ("disabled", "by run.toml:2 disable")
    assert (row(rows, "zz-watch")["state"], row(rows, "zz-watch")["reason"]) == ("active", "by run.toml:3")
    states = {(each["distribution"], each["state"]) for each in rows if each["name"] == "zz-twice"}
    assert {("zz-one", "shadowed"), ("zz-two", "shadowed")} < states
    assert "no plugin 'zz-absent' is installed" in row(rows, "zz-absent")["reason"]


def test_a_plugin_with_wrong_options_is_a_failed_one(here, files, row):
    (files / "run.toml").write_text('[plugins.slow]\nuse = "plugins.py:Slow"\nsecnds = 1\n')
    slow = row(here("plugins", "run.toml", "--json").json, "slow")
    assert slow["state"] == "failed"
    assert slow["reason"] == "run.toml:3: plugins.slow.secnds: unknown option. Did you mean 'seconds'?"


def test_a_local_plugin_is_listed_without_a_configuration(here, files, row):
    slow = row(here("plugins", "-p", "plugins.py:Slow", "--json").json, "slow")
    assert (slow["state"], slow["role"], slow["hooks"]) == ("active", "observer", ["on_run_end", "on_step_end"])


def test_what_stands_in_no_row_is_a_warning(here, files):
    answer = here("plugins", "-p", "no:nothing")
    assert answer.code == 0
    assert answer.err.startswith("warning: -p no:nothing: no plugin 'nothing' is installed")


def test_plugins_takes_a_misspelt_command_for_no_file(here, files):
    answer = here("plugins", "shw")
    assert (answer.code, answer.out) == (2, "")
    assert "has no command 'shw', and there is no such file. Did you mean 'show'?" in answer.err


def test_show_tells_of_one_plugin_and_its_options(imported, installed):
    answer, modules = imported("plugins", "show", "zz-watch", **installed)
    assert answer.code == 0
    assert answer.out == SHOWN
    assert not modules & {"torch", "zz_auto"}


SHOWN = """\
Watches.

plugin        zz-watch
distribution  zz-watch
version       2.1
entry point   zz-watch = zz_watch:Watch
role          observer
switched      on by [plugins.zz-watch]
hooks         on_run_start, on_step_end

option            default   type and meaning
interval_seconds  0.5       number. How often it looks, in seconds.
names             none      list of string or none. Whom it watches.
api_key           ***       string. What it opens.
place             required  string. Where it stands.
"""


def test_show_has_the_same_for_scripts(here, files):
    page = here("plugins", "show", "plugins.py:Slow", "--json").json
    assert page["hooks"] == ["on_run_end", "on_step_end"]
    assert page["options"] == [{"name": "seconds", "type": "number", "default": "0.001", "doc": "How long it takes."}]


def test_show_knows_no_plugin_that_is_not_there(here):
    answer = here("plugins", "show", "nothing-like-it")
    assert answer.code == 2
    assert "no plugin 'nothing-like-it' is installed" in answer.err


def test_check_is_content_with_a_plugin_that_works(hookloop, installed):
    answer = hookloop("plugins", "check", "zz-watch", **installed)
    assert (answer.code, answer.out, answer.err) == (0, "OK: plugin 'zz-watch' (zz-watch 2.1)\n", "")


def test_check_tells_of_everything_at_once(hookloop, site):
    variables = site("zz-bad", {"hookloop.autoload": ["zz-bad = zz_bad:Bad"]}, {"zz_bad.py": BAD}, requires=())
    answer = hookloop("plugins", "check", "zz-bad", **variables)
    assert (answer.code, answer.out) == (2, "")
    faults = [line.removeprefix("plugin 'zz-bad' (zz-bad 1.0): ") for line in answer.err.splitlines()]
    beginnings = (
        "its module imports torch at the top",
        "its distribution does not say which hookloop it needs",
        "its Config can be changed",
        "its option after is a key of the engine's",
        "its option size is not documented",
        "its role is 'spectator'",
        "its before is 'everyone'",
        "on_step_end asks for ran",
        "there is no hook on_stp_end. Did you mean 'on_step_end'?",
        "it has one of state_dict and load_state_dict",
    )
    assert [fault.startswith(beginning) for fault, beginning in zip(faults, beginnings, strict=True)] == [True] * 10


def test_check_builds_what_needs_no_options(here, files):
    (files / "angry.py").write_text(
        "from hookloop import hookimpl\n"
        "class Angry:\n"
        "    def __init__(self): raise ValueError('no')\n"
        "    @hookimpl\n"
        "    def report(self): pass\n"
    )
    answer = here("plugins", "check", "angry.py", "--json")
    assert answer.code == 2
    assert [each["message"] for each in answer.json["problems"]] == ["Angry cannot be built: ValueError: no."]


def test_check_tells_why_a_plugin_cannot_be_imported(here, files):
    (files / "absent.py").write_text("import no_such_module_at_all\n")
    answer = here("plugins", "check", "absent.py")
    assert answer.code == 2
    assert "No module named 'no_such_module_at_all'" in answer.err
    assert "Traceback" not in answer.err

import re

import pytest

COMMANDS = '''
from hookloop import PluginConfig, hookimpl

class Rates:
    class Config(PluginConfig):
        scale: int = 2
        """By how much."""

    def __init__(self, config):
        self.config = config

    @hookimpl
    def add_commands(self, app):
        @app.command(name="zz-rates")
        def rates(number: int) -> int:
            "Multiply."
            print(number * self.config.scale)
            return 3
'''


def module(body, config=""):
    return (
        "from hookloop import PluginConfig, hookimpl\n"
        f"class Plugin:\n{config}"
        "    @hookimpl\n"
        f"    def add_commands(self, app):\n        {body}\n"
    )


@pytest.fixture
def rates(site):
    groups = {"hookloop": ["zz-rates-plugin = zz_rates:Rates"], "hookloop.commands": ["zz-rates = zz_rates:Rates"]}
    return site("zz-dist", groups, {"zz_rates.py": COMMANDS}, version="3.2")


@pytest.fixture
def adding(site):
    """A function that installs a plugin whose add_commands is the given code."""

    def install(body="pass", command="zz-do", target="zz_adding:Plugin", config=""):
        groups = {"hookloop": ["zz-adding = zz_adding:Plugin"], "hookloop.commands": [f"{command} = {target}"]}
        return site("zz-adding", groups, {"zz_adding.py": module(body, config)})

    return install


def test_the_help_lists_a_command_with_its_distribution_and_imports_nothing(imported, rates):
    answer, modules = imported("--help", **rates)
    assert re.search(r"zz-rates +Added by zz-dist 3\.2\.", answer.out)
    assert "zz_rates" not in modules


def test_calling_it_imports_the_plugin_and_gives_its_exit_code(imported, rates):
    answer, modules = imported("zz-rates", "21", **rates)
    assert (answer.code, answer.out, answer.err) == (3, "42\n", "")
    assert "torch" not in modules


def test_it_has_a_help_and_a_usage_of_its_own(hookloop, rates):
    assert "Multiply." in hookloop("zz-rates", "--help", **rates).out
    wrong = hookloop("zz-rates", "many", **rates)
    assert wrong.code == 2
    assert "See: hookloop zz-rates --help" in wrong.err


@pytest.mark.parametrize(
    ("words", "variables", "by"),
    [
        (["-p", "no:zz-rates-plugin"], {}, "-p no:zz-rates-plugin"),
        ([], {"HOOKLOOP_DISABLE_PLUGINS": "zz-rates-plugin"}, "HOOKLOOP_DISABLE_PLUGINS"),
        ([], {"HOOKLOOP_PLUGINS": ""}, "HOOKLOOP_PLUGINS"),
    ],
)
def test_a_plugin_that_is_switched_off_adds_no_command(imported, rates, words, variables, by):
    answer, modules = imported(*words, "zz-rates", "21", **rates, **variables)
    assert answer.code == 2
    assert f"plugin 'zz-rates-plugin' (zz-dist 3.2): it is disabled by {by}." in answer.err
    assert "zz_rates" not in modules


def test_a_local_plugin_adds_its_commands_by_p_before_them(here, files):
    (files / "local.py").write_text(COMMANDS)
    answer = here("-p", "local.py", "zz-rates", "4")
    assert (answer.code, answer.out) == (3, "8\n")
    assert "Multiply." in here("-p", "local.py", "--help").out
    assert here("zz-rates", "4").code == 2


def test_p_before_a_command_of_the_engine_is_as_good_as_after_it(here, files, row):
    rows = here("-p", "plugins.py:Slow", "plugins", "list", "--json").json
    assert row(rows, "slow")["state"] == "active"


def test_a_name_of_the_engines_is_refused_and_the_engines_command_works(hookloop, adding):
    variables = adding(command="plugins")
    answer = hookloop("--help", **variables)
    assert answer.code == 0
    assert answer.err == "warning: zz-adding 1.0 adds a command 'plugins', which is the engine's: left out\n"
    assert "zz-adding" in hookloop("plugins", **variables).out


def test_a_command_that_collides_when_it_is_added_names_the_plugin(hookloop, adding):
    answer = hookloop("zz-do", **adding("app.command(lambda: None, name='fit')"))
    assert answer.code == 2
    assert answer.err.startswith("plugin 'zz-adding' (zz-adding 1.0): its add_commands adds a command that is there")


def test_an_error_while_commands_are_added_names_the_plugin(hookloop, adding):
    answer = hookloop("zz-do", **adding("raise KeyError('gone')"))
    assert answer.code == 1
    assert "plugin 'zz-adding' (zz-adding 1.0): add_commands failed" in answer.err
    assert answer.err.count("  File ") == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "names the command 'zz-do', and its add_commands did not add it."),
        ({"target": "zz_adding:Other"}, "names zz_adding:Other, which is no plugin of its group hookloop."),
        (
            {"config": "    class Config(PluginConfig):\n        size: int\n    def __init__(self, config): pass\n"},
            "a plugin that adds commands must be built without options, and its Config is not",
        ),
    ],
)
def test_metadata_that_promise_too_much_are_an_error_that_says_so(hookloop, adding, changes, message):
    answer = hookloop("zz-do", **adding(**changes))
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err


def test_a_command_of_two_distributions_is_neithers(hookloop, site, rates):
    site("zz-second", {"hookloop.commands": ["zz-rates = zz_second:X"]})
    answer = hookloop("zz-rates", "1", **rates)
    assert (answer.code, answer.err) == (
        2,
        "the command 'zz-rates' is added by zz-dist 3.2 and zz-second 1.0: uninstall one.\n",
    )

import functools
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from hookloop.discovery import Candidate, find_candidates
from hookloop.errors import ConfigError, PluginConfigError, PluginIncompatibleError, PluginLoadError
from hookloop.loading import LoadedPlugin, assemble, build, load, validate_options
from hookloop.markers import hookimpl
from hookloop.policy import Policy, with_switches
from hookloop.requests import read_python, read_requests
from hookloop.selection import decide

HOOKS = {"on_fit_start": ("run",), "on_step_end": ("run",)}

GOOD = """
from pydantic import BaseModel, ConfigDict
from hookloop.markers import hookimpl

class Watch:
    role = "observer"
    after = ("checkpoint",)

    class Config(BaseModel):
        model_config = ConfigDict(frozen=True, extra="forbid")
        every_seconds: float = 1.0

    def __init__(self, config):
        self.config = config

    @hookimpl
    def on_step_end(self, run):
        pass
"""


class Site:
    """A folder on ``sys.path`` in which distributions are put as pip leaves them."""

    def __init__(self, folder):
        self.folder = folder

    def install(self, name, source=GOOD, *, attribute="Watch", version="1.2", requires="hookloop>=0.1", groups=None):
        """Install the distribution ``zz-NAME`` with the plugin *name*, whose module is ``zz_NAME``."""
        module = f"zz_{name.replace('-', '_')}"
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: zz-{name}\nVersion: {version}\nRequires-Dist: {requires}\n\n"
        )
        line = f"zz-{name} = {module}{':' if attribute else ''}{attribute}\n"
        (info / "entry_points.txt").write_text("\n".join(f"[{group}]\n{line}" for group in groups or ["hookloop"]))
        (self.folder / f"{module}.py").write_text(dedent(source))
        return module


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield Site(folder)
    for name in [name for name in sys.modules if name.startswith("zz_")]:
        del sys.modules[name]


def decisions_of(plugins, *flags, environment=None):
    requests, policy, problems = read_requests(plugins, lambda key: "run.toml:7")
    assert not problems
    decisions = decide(find_candidates(), requests, with_switches(policy, flags, environment or {}), "0.1.0")
    return {each.instance: each for each in sorted(decisions, key=lambda each: each.wanted)}


def given(plugin, name="mine"):
    requests, _ = read_python([(name, plugin)])
    return decide([], requests, Policy(), "0.1.0")[0]


def loaded(decision):
    target = load(decision)
    options = validate_options(target, decision.request.table if decision.request else {}, decision)
    return assemble(decision, target, options, HOOKS)


def load_error(decision):
    with pytest.raises(PluginLoadError) as caught:
        loaded(decision)
    return caught.value


def test_an_installed_plugin_is_loaded_with_its_options(site):
    module = site.install("watch")
    table = {"use": "zz-watch", "every_seconds": 3, "on_error": "warn", "before": ["csv"], "after": ["monitor"]}
    result = loaded(decisions_of({"second": table})["second"])
    assert isinstance(result, LoadedPlugin)
    assert isinstance(result.plugin, sys.modules[module].Watch)
    assert (result.instance, result.name, result.role, result.builtin) == ("second", "zz-watch", "observer", False)
    assert (result.distribution, result.version, result.origin) == ("zz-watch", "1.2", "zz-watch 1.2")
    assert (result.on_error, result.before, result.after) == ("warn", ("csv",), ("monitor", "checkpoint"))
    assert result.options is result.plugin.config
    assert result.options.every_seconds == 3.0
    assert result.raw_options == {"every_seconds": 3}
    assert result.hooks == ("on_step_end",)


def test_only_what_is_on_is_imported(site):
    on, off = site.install("on"), site.install("off", "raise RuntimeError('imported')")
    unnamed, old = site.install("unnamed"), site.install("old", requires="hookloop>=2")
    decisions = decisions_of({"zz-on": {}, "zz-off": {"enabled": False}}, "no:zz-old")
    for each in decisions.values():
        if each.wanted:
            load(each)
    assert on in sys.modules
    assert not {off, unnamed, old} & set(sys.modules)


@pytest.mark.parametrize(
    ("plugins", "flags", "environment"),
    [
        ({"zz-off": {}}, ["no:zz-off"], {}),
        ({"zz-off": {}}, [], {"HOOKLOOP_PLUGINS": ""}),
        ({"zz-off": {}}, [], {"HOOKLOOP_DISABLE_PLUGINS": "zz-off"}),
        ({"zz-off": {}, "disable": ["zz-off"]}, [], {}),
        ({"autoload": False}, [], {}),
    ],
)
def test_a_plugin_that_is_switched_off_is_not_loaded(site, plugins, flags, environment):
    module = site.install("off", groups=["hookloop", "hookloop.autoload"])
    decision = decisions_of(plugins, *flags, environment=environment)["zz-off"]
    assert (decision.state, decision.wanted) == ("disabled", False)
    with pytest.raises(PluginLoadError, match=r"plugin 'zz-off' \(zz-off 1\.2\): it is disabled by "):
        load(decision)
    assert module not in sys.modules


def test_a_plugin_is_on_by_being_installed(site):
    site.install("auto", groups=["hookloop", "hookloop.autoload"])
    result = loaded(decisions_of({})["zz-auto"])
    assert (result.instance, result.raw_options, result.on_error) == ("zz-auto", {}, "raise")


def test_an_actor_that_is_on_by_being_installed_is_refused(site):
    site.install("auto", GOOD.replace('"observer"', '"actor"'), groups=["hookloop", "hookloop.autoload"])
    with pytest.raises(PluginConfigError, match="an actor changes the training"):
        loaded(decisions_of({})["zz-auto"])


def test_an_incompatible_plugin_is_an_error_and_is_not_imported(site):
    module = site.install("old", "raise RuntimeError('imported')", requires="hookloop>=2")
    with pytest.raises(PluginIncompatibleError) as caught:
        load(decisions_of({"zz-old": {}})["zz-old"])
    assert str(caught.value) == (
        "plugin 'zz-old' (zz-old 1.2): requires hookloop>=2, this is 0.1.0, so it was not imported. "
        "Upgrade one of the two. Switch it off with: -p no:zz-old"
    )
    assert module not in sys.modules


def test_a_name_of_two_distributions_is_an_error_that_names_both(site):
    site.install("same")
    twin = site.folder / "zz_twin-3.0.dist-info"
    twin.mkdir()
    (twin / "METADATA").write_text("Metadata-Version: 2.1\nName: zz-twin\nVersion: 3.0\n\n")
    (twin / "entry_points.txt").write_text("[hookloop]\nZZ_Same = zz_twin:Twin\n")
    text = str(load_error(decisions_of({"zz-same": {}})["zz-same"]))
    assert "it is provided by zz-same 1.2 and zz-twin 3.0: uninstall one, or say which with" in text
    assert 'use = "zz_same:Watch" or use = "zz_twin:Twin"' in text
    assert load(decisions_of({"zz-same": {"use": "zz_same:Watch"}})["zz-same"]).__name__ == "Watch"


def test_a_name_of_nothing_is_a_load_error_too():
    assert "no plugin 'zz-absent' is installed" in str(load_error(decisions_of({"zz-absent": {}})["zz-absent"]))


@pytest.mark.parametrize(
    ("source", "cause", "message"),
    [
        ("import zz_absent", ModuleNotFoundError, "ModuleNotFoundError: No module named 'zz_absent'"),
        ("raise RuntimeError('no driver')", RuntimeError, "RuntimeError: no driver"),
        ("raise SystemExit(3)", SystemExit, "SystemExit: 3"),
        ("x = = 3", SyntaxError, "SyntaxError: invalid syntax"),
        ("", AttributeError, "has no attribute 'Watch'"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_named_with_its_cause(site, source, cause, message):
    site.install("broken", source)
    error = load_error(decisions_of({"zz-broken": {}})["zz-broken"])
    assert str(error).startswith("plugin 'zz-broken' (zz-broken 1.2): zz_broken:Watch cannot be imported: ")
    assert message in str(error)
    assert str(error).endswith("Switch it off with: -p no:zz-broken")
    assert isinstance(error.__cause__, cause)


def test_an_interrupt_during_an_import_is_not_the_plugins_fault(site):
    site.install("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load(decisions_of({"zz-slow": {}})["zz-slow"])


@pytest.mark.parametrize(
    ("source", "attribute", "message"),
    [
        ("Watch = 3", "Watch", "zz_wrong:Watch is 3; it must be a class, or a function that returns the plugin."),
        ("", "", "zz_wrong is <module 'zz_wrong'"),
    ],
)
def test_an_entry_point_to_anything_but_a_class_or_a_function_is_refused(site, source, attribute, message):
    site.install("wrong", source, attribute=attribute)
    assert message in str(load_error(decisions_of({"zz-wrong": {}})["zz-wrong"]))


class Plain:
    @hookimpl
    def on_step_end(self, run):
        pass


class TakesSomething(Plain):
    def __init__(self, every):
        self.every = every


class Breaks(Plain):
    def __init__(self):
        raise ValueError("no such sensor")


class Ends(Plain):
    def __init__(self):
        raise SystemExit("enough")


class Configures(Plain):
    def __init__(self):
        raise ConfigError("the sensor is off")


def returns_nothing():
    return None


def returns_a_class():
    return Plain


def makes_plain():
    return Plain()


@pytest.mark.parametrize("target", [Plain, makes_plain, functools.partial(Plain), Plain()])
def test_classes_factories_and_ready_objects_become_plugins(target):
    result = loaded(given(target))
    assert isinstance(result.plugin, Plain)
    assert (result.instance, result.role, result.options, result.raw_options) == ("mine", "actor", None, {})


def test_a_ready_object_is_taken_as_it_is():
    plugin = Plain()
    assert loaded(given(plugin)).plugin is plugin


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (TakesSomething, "must be callable as TakesSomething(), since it has no Config, and has (every)."),
        (Breaks, "Breaks cannot be built: ValueError: no such sensor."),
        (Ends, "Ends cannot be built: SystemExit: enough."),
        (returns_nothing, "the factory returns_nothing returned None; it must return the plugin, an object."),
        (returns_a_class, "it must return the plugin, an object."),
    ],
)
def test_a_plugin_that_cannot_be_built_is_named_with_the_way_out(target, message):
    assert message in str(load_error(given(target)))


def test_the_cause_of_a_failed_build_is_kept():
    assert isinstance(load_error(given(Breaks)).__cause__, ValueError)


def test_a_plugin_may_refuse_its_configuration_in_its_own_words():
    with pytest.raises(ConfigError, match=r"^the sensor is off$"):
        loaded(given(Configures))


def test_a_class_with_a_config_has_to_take_it(site):
    source = GOOD.replace("def __init__(self, config):", "def __init__(self, *, config):")
    site.install("deaf", source)
    message = "it must be callable as Watch(config), since it has a Config, and has (*, config)."
    assert message in str(load_error(decisions_of({"zz-deaf": {}})["zz-deaf"]))


def test_a_builtin_callable_without_a_signature_is_simply_called():
    assert build(dict, None, given(dict)) == {}


def test_a_misspelt_hook_is_told_when_the_plugin_is_assembled(site):
    site.install("typo", GOOD.replace("on_step_end", "on_stepend"))
    with pytest.raises(PluginConfigError, match=r"there is no hook on_stepend\. Did you mean 'on_step_end'\?"):
        loaded(decisions_of({"zz-typo": {}})["zz-typo"])


FILE = """
from pathlib import Path
from hookloop.markers import hookimpl

class Helper:
    pass

class _Base:
    @hookimpl
    def on_step_end(self, run):
        pass

class Stopper(_Base):
    pass

Alias = Stopper

def make():
    return Stopper()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_stopper.py").write_text(FILE)
    return tmp_path


def test_the_one_plugin_class_of_a_file_is_meant_by_the_file(folder):
    result = loaded(decisions_of({}, "my_stopper.py")["my-stopper"])
    assert type(result.plugin).__name__ == "Stopper"
    assert (result.distribution, result.version, result.hooks) == ("my_stopper.py", "", ("on_step_end",))


@pytest.mark.parametrize(("attribute", "instance"), [("Stopper", "stopper"), ("make", "make")])
def test_an_attribute_of_a_file_is_meant_by_its_name(folder, attribute, instance):
    result = loaded(decisions_of({}, f"my_stopper.py:{attribute}")[instance])
    assert type(result.plugin).__name__ == "Stopper"


def test_a_table_may_use_a_file(folder):
    result = loaded(decisions_of({"mine": {"use": "my_stopper.py"}})["mine"])
    assert (result.instance, result.name) == ("mine", "my-stopper")


def test_an_attribute_of_a_module_is_meant_by_its_name(site):
    site.install("watch")
    result = loaded(decisions_of({}, "zz_watch:Watch")["watch"])
    assert (result.distribution, result.version) == ("zz-watch", "1.2")


def test_a_module_that_is_not_there_says_how_to_name_a_file():
    text = str(load_error(decisions_of({}, "zz_nowhere:Watch")["watch"]))
    assert "No module named 'zz_nowhere'. A file of your own is named by its path: path/to/file.py:attr." in text


def test_a_file_with_several_plugin_classes_needs_a_name(folder):
    Path("my_stopper.py").write_text(FILE + "\nclass Starter(_Base):\n    pass\n")
    text = str(load_error(decisions_of({}, "my_stopper.py")["my-stopper"]))
    message = "my_stopper.py has more than one plugin class; name the one you mean: "
    assert message + "my_stopper.py:Stopper or my_stopper.py:Starter." in text


def test_a_file_without_a_plugin_class_says_what_it_has(folder):
    Path("my_stopper.py").write_text("class One:\n    pass\nclass Two:\n    def on_step_end(self, run): pass\n")
    text = str(load_error(decisions_of({}, "my_stopper.py")["my-stopper"]))
    assert (
        "my_stopper.py has no class with an @hookimpl method; name what makes the plugin: my_stopper.py:NAME." in text
    )
    assert "Its classes: One, Two." in text


def test_a_class_that_a_file_only_imports_is_not_its_plugin(site, folder):
    site.install("watch")
    Path("my_stopper.py").write_text(FILE + "\nfrom zz_watch import Watch\n")
    assert type(loaded(decisions_of({}, "my_stopper.py")["my-stopper"]).plugin).__name__ == "Stopper"


def test_a_broken_file_is_named_with_its_cause(folder):
    Path("my_stopper.py").write_text("raise RuntimeError('no')")
    error = load_error(decisions_of({}, "my_stopper.py")["my-stopper"])
    assert "plugin 'my-stopper' (my_stopper.py): my_stopper.py cannot be imported: RuntimeError: no." in str(error)
    assert isinstance(error.__cause__, RuntimeError)


def test_a_file_that_is_switched_off_is_not_imported(folder):
    Path("my_stopper.py").write_text("raise RuntimeError('imported')")
    decisions = decisions_of({"mine": {"use": "my_stopper.py"}}, "no:mine")
    assert decisions["mine"].state == "disabled"


def test_a_candidate_of_the_engine_itself_is_marked_as_such(site):
    site.install("core")
    candidate = Candidate("core", "zz_core:Watch", "hookloop", "0.1.0", source="built-in")
    (decision,) = decide([candidate], [], Policy(), "0.1.0")
    assert loaded(decision).builtin

import subprocess
import sys
from pathlib import Path

import pytest

from hookloop.discovery import (
    Candidate,
    duplicates,
    find_candidates,
    from_argument,
    incompatibility,
    known_distributions,
    owner_of,
    unknown_plugin,
)
from hookloop.errors import ConfigError


def install(site, name, entry_points, version="1.0", requires=(), modules=()):
    """Put a distribution on disk as pip leaves it; *entry_points* maps a group to lines."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    (info / "METADATA").write_text("\n".join(metadata) + "\n\n")
    groups = [f"[{group}]\n" + "\n".join(lines) for group, lines in entry_points.items()]
    (info / "entry_points.txt").write_text("\n\n".join(groups) + "\n")
    for path, text in dict(modules).items():
        (site / path).write_text(text)


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def found(*names):
    return [each for each in find_candidates() if each.name in names]


def test_an_installed_plugin_is_found_with_its_metadata(site):
    requires = ["hookloop>=0.1", "numpy", "hookloop-other"]
    install(site, "zz-monitor", {"hookloop": ["zz-watch = zz_watch:Watch"]}, requires=requires)
    (candidate,) = found("zz-watch")
    assert candidate == Candidate("zz-watch", "zz_watch:Watch", "zz-monitor", "1.0", ("hookloop>=0.1",))
    assert candidate.origin == "zz-monitor 1.0"
    assert candidate.source == "entry point"
    assert candidate.entry_point is not None


def test_finding_imports_nothing(site):
    module = {"zz_explodes.py": "raise RuntimeError('imported')"}
    install(site, "zz-explodes", {"hookloop": ["zz-explodes = zz_explodes:X"]}, modules=module)
    assert found("zz-explodes")
    assert "zz_explodes" not in sys.modules


def test_candidates_are_sorted_by_name_and_then_by_distribution(site):
    install(site, "zz-c", {"hookloop": ["zz-same = c:C"]})
    install(site, "zz-a", {"hookloop": ["zz_b = a:B", "ZZ-A = a:A"]})
    install(site, "zz-b", {"hookloop": ["zz-same = b:B"]})
    candidates = [(each.name, each.distribution) for each in find_candidates() if each.distribution.startswith("zz-")]
    assert candidates == [("ZZ-A", "zz-a"), ("zz_b", "zz-a"), ("zz-same", "zz-b"), ("zz-same", "zz-c")]


def test_a_second_group_marks_names_that_are_on_by_being_installed(site):
    groups = {"hookloop": ["zz-on = m:On", "zz-off = m:Off"], "hookloop.autoload": ["zz_on = m:On"]}
    install(site, "zz-auto", groups)
    assert [(each.name, each.autoload) for each in found("zz-on", "zz-off")] == [("zz-off", False), ("zz-on", True)]


def test_a_name_in_the_second_group_only_is_a_plugin_too(site):
    install(site, "zz-auto", {"hookloop.autoload": ["zz-lone = m:Lone"]})
    (candidate,) = found("zz-lone")
    assert (candidate.value, candidate.autoload) == ("m:Lone", True)


def test_another_distribution_cannot_mark_a_name(site):
    install(site, "zz-one", {"hookloop": ["zz-marked = m:One"]})
    install(site, "zz-two", {"hookloop.autoload": ["zz-marked = n:Two"]})
    assert [(each.distribution, each.autoload) for each in found("zz-marked")] == [("zz-one", False), ("zz-two", True)]


def test_a_distribution_that_is_on_the_path_twice_counts_once(site, tmp_path, monkeypatch):
    install(site, "zz-twice", {"hookloop": ["zz-twice = m:X"]})
    install(tmp_path / "other", "zz-twice", {"hookloop": ["zz-twice = m:X"]})
    monkeypatch.syspath_prepend(str(tmp_path / "other"))
    assert len(found("zz-twice")) == 1
    assert not duplicates(found("zz-twice"))


def test_of_two_versions_on_the_path_the_first_counts_as_in_an_import(site, tmp_path, monkeypatch):
    install(site, "zz-twice", {"hookloop": ["zz-twice = m:X"]}, version="1.0")
    install(tmp_path / "other", "zz_Twice", {"hookloop": ["zz-twice = m:X"]}, version="2.0")
    monkeypatch.syspath_prepend(str(tmp_path / "other"))
    assert [each.version for each in found("zz-twice")] == ["2.0"]


def test_a_name_of_two_distributions_is_a_duplicate_in_any_spelling():
    one = Candidate("lr-finder", "a:A", "one", "1.0")
    two = Candidate("LR_Finder", "b:B", "two", "2.0")
    assert duplicates([one, two, Candidate("csv", "c:C", "three", "1.0")]) == {"lr-finder": (one, two)}


@pytest.mark.parametrize(
    ("requires", "version", "reason"),
    [
        ((), "0.1.0", None),
        (("hookloop",), "0.1.0", None),
        (("hookloop>=0.1,<0.2",), "0.1.5", None),
        (("hookloop>=2",), "0.1.0", "requires hookloop>=2, this is 0.1.0"),
        (("hookloop>=0.1",), "0.2.0.dev3", None),
        (("hookloop>=0.2",), "0.2.0rc1", "requires hookloop>=0.2, this is 0.2.0rc1"),
        (("hookloop>=0.2a0",), "0.2.0rc1", None),
        (("hookloop>=2; python_version < '3'",), "0.1.0", None),
        (("hookloop>=2; python_version >= '3'",), "0.1.0", "requires hookloop>=2, this is 0.1.0"),
        (("hookloop>=2; extra == 'test'",), "0.1.0", None),
        (("hookloop[extra]>=0.1", "hookloop<0.1"), "0.1.0", "requires hookloop<0.1, this is 0.1.0"),
        (("hookloop @ file:///somewhere",), "0.1.0", None),
        (("hookloop=>1",), "0.1.0", "its requirement 'hookloop=>1' cannot be read"),
    ],
)
def test_compatibility_is_judged_by_the_requirements(requires, version, reason):
    assert incompatibility(Candidate("x", "x:X", "x", "1.0", requires), version) == reason


def test_a_requirement_of_another_distribution_is_not_the_engines(site):
    install(site, "zz-r", {"hookloop": ["zz-r = r:R"]}, requires=["hookloop-csv>=9", "HookLoop (>=0.1)"])
    assert found("zz-r")[0].requires == ("HookLoop (>=0.1)",)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("my_stopper.py", "my-stopper"),
        ("my_stopper.py:EarlyStopping", "early-stopping"),
        ("my_stopper.py:LRFinder", "lr-finder"),
        ("my_stopper.py:make_it", "make-it"),
        ("my_stopper.py:Outer.make", "make"),
    ],
)
def test_a_file_argument_is_named_after_its_attribute_or_else_its_file(text, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_stopper.py").write_text("raise RuntimeError('imported')")
    candidate = from_argument(text)
    assert candidate == Candidate(name, text, "my_stopper.py", source="file")
    assert candidate.origin == "my_stopper.py"


def test_a_relative_file_starts_from_the_given_directory(tmp_path):
    (tmp_path / "own.py").touch()
    assert from_argument("own.py:X", base=tmp_path).value == f"{tmp_path / 'own.py'}:X"


def test_a_module_argument_names_its_distribution_when_it_is_called_the_same():
    candidate = from_argument("pluggy._manager:PluginManager")
    assert (candidate.name, candidate.source) == ("plugin-manager", "module")
    assert (candidate.distribution, candidate.version) == owner_of("pluggy")
    assert owner_of("pluggy")[0] == "pluggy"
    assert from_argument("zz_nowhere.mod:X").origin == "zz_nowhere.mod"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("missing.py", "run.toml:3: there is no file 'missing.py'."),
        ("missing.py:X", "run.toml:3: there is no file 'missing.py'."),
        ("own.py:", "'' after the colon of 'own.py:' is not a name."),
        ("own.py:a b", "'a b' after the colon of 'own.py:a b' is not a name."),
        ("a-b:X", "'a-b:X' is neither path/to/file.py, path/to/file.py:attr nor module:attr."),
        (":X", "':X' is neither path/to/file.py, path/to/file.py:attr nor module:attr."),
    ],
)
def test_a_wrong_argument_says_what_is_wrong_with_it(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.py").touch()
    with pytest.raises(ConfigError, match=r"^run\.toml:3: ") as caught:
        from_argument(text, where="run.toml:3")
    assert message in str(caught.value)


def test_a_first_party_plugin_that_is_missing_gets_its_pip_line():
    assert unknown_plugin("monitor", []) == "no plugin 'monitor' is installed: pip install hookloop-monitor"
    assert unknown_plugin("Early_Stopping", []).endswith("pip install hookloop-guards")


def test_a_misspelt_plugin_gets_the_installed_name_that_is_near():
    installed = [Candidate("monitor", "m:M", "hookloop-monitor", "1.0")]
    assert unknown_plugin("monitr", installed) == "no plugin 'monitr' is installed. Did you mean 'monitor'?"


def test_a_misspelt_instance_gets_the_instance_that_is_near():
    assert unknown_plugin("bset", [], ["best"]) == "no plugin 'bset' is installed. Did you mean 'best'?"


def test_a_misspelt_first_party_plugin_that_is_missing_gets_both():
    text = "no plugin 'monitr' is installed. Did you mean 'monitor'? It comes with: pip install hookloop-monitor"
    assert unknown_plugin("monitr", []) == text


def test_a_name_like_no_other_is_sent_to_the_list():
    assert unknown_plugin("qqqq", []) == "no plugin 'qqqq' is installed. Those that are: hookloop plugins list"


def test_the_table_of_first_party_plugins_is_read_from_data():
    known = known_distributions()
    assert known["predictions"] == "hookloop-csv"
    assert all(distribution.startswith("hookloop-") for distribution in known.values())


def test_discovery_imports_nothing_heavy():
    code = (
        "import sys, hookloop.discovery as d, hookloop.loading; d.find_candidates();"
        "print(sorted({'torch', 'pydantic', 'cyclopts'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"

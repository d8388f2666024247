import subprocess
import sys

import pytest
import torch

from hookloop import HookloopError, PluginHookError, SupervisedTask, hookimpl
from hookloop.testing import tiny_task

HEAVY = ("torch", "pydantic", "cyclopts", "hypothesis")


@pytest.mark.parametrize("module", ["hookloop.testing.fixtures", "hookloop.testing", "hookloop.testing.contract"])
def test_the_kit_imports_nothing_heavy(module):
    code = f"import sys, {module}; print(sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_pytest_loads_no_more_of_hookloop_than_the_fixtures(pytestconfig):
    code = "import sys, hookloop.testing.fixtures; print([n for n in sys.modules if n.startswith('hookloop.testing.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['hookloop.testing.fixtures']\n"
    assert pytestconfig.pluginmanager.has_plugin("hookloop")


def test_every_public_name_can_be_imported():
    from hookloop import testing

    assert all(getattr(testing, name) for name in testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'TinyRuns'"):
        testing.TinyRuns  # noqa: B018


def test_tiny_run_trains_and_returns_the_result(tiny_run, tmp_path):
    result = tiny_run(epochs=2, steps=3)
    assert (result.outcome, result.epoch, result.step) == ("completed", 2, 6)
    assert result.directory.parent == tmp_path
    assert {"train/loss", "val/loss"} <= result.metrics.keys()


def test_tiny_run_is_the_same_each_time_and_differs_by_its_seed(tiny_run):
    one, same, other = tiny_run(), tiny_run(), tiny_run(seed=1)
    assert one.directory != same.directory
    assert one.metrics == same.metrics != other.metrics


def test_tiny_run_runs_other_commands_and_keeps_each_result(tiny_run):
    result = tiny_run(commands=("fit", "validate", "test", "predict"))
    assert list(tiny_run.results) == ["fit", "validate", "test", "predict"]
    assert result is tiny_run.results["predict"]
    assert "test/loss" in tiny_run.results["test"].metrics


def test_tiny_run_goes_on_from_a_state(tiny_run):
    whole, half = tiny_run(epochs=2), tiny_run(epochs=1)
    rest = tiny_run(epochs=2, resume=half.state)
    assert all(map(torch.equal, whole.state["model"].values(), rest.state["model"].values()))


def test_tiny_run_takes_every_keyword_of_the_engine(tiny_run, fake_clock):
    result = tiny_run(
        steps=2, metrics={"accuracy": {}}, accumulate=2, optimizer=("adamw", {"lr": 0.01}), clock=fake_clock
    )
    assert result.step == 4
    assert "val/accuracy" in result.metrics
    assert result.elapsed_seconds == 0


def test_tiny_run_takes_another_task(tiny_run):
    batches = [(torch.ones(2, 1), torch.zeros(2, 1))]
    task = SupervisedTask(torch.nn.Linear(1, 1), train=batches)
    assert tiny_run(task=task, loss="mse", epochs=1).step == 1


def test_tiny_run_trains_on_the_meta_device_up_to_a_logging_boundary(tiny_run, failing_plugin):
    enough = Exception("enough")
    with pytest.raises(PluginHookError) as caught:
        tiny_run([failing_plugin("on_data_exhausted", enough)], device="meta", log_every="100 steps")
    assert caught.value.__cause__ is enough


def test_tiny_run_ignores_what_the_environment_switches_on_and_off(tiny_run, monkeypatch, hook_recorder):
    monkeypatch.setenv("HOOKLOOP_PLUGINS", "nonsense")
    monkeypatch.setenv("HOOKLOOP_DISABLE_PLUGINS", "hook-recorder")
    tiny_run([hook_recorder], epochs=1)
    assert hook_recorder.count("on_run_start") == 1


def test_the_tiny_task_has_data_for_every_command():
    task = tiny_task(4)
    assert len(task.train_loader()) == 4
    assert all(len(loader()) == 2 for loader in (task.val_loader, task.test_loader, task.predict_loader))


def test_the_fake_clock_moves_only_when_told_to(fake_clock, tiny_run):
    class Slow:
        @hookimpl
        def on_step_end(self, run):
            fake_clock.advance(60)

    result = tiny_run([Slow()], clock=fake_clock, max_seconds=150)
    assert (result.outcome, result.step, result.elapsed_seconds) == ("stopped", 3, 180)
    with pytest.raises(ValueError, match="goes forward"):
        fake_clock.advance(-1)


def test_a_failing_plugin_fails_where_it_is_told_to(tiny_run, failing_plugin):
    with pytest.raises(PluginHookError, match="on_step_end failed at step 2: RuntimeError: boom"):
        tiny_run([failing_plugin("on_step_end", at_step=2)])


@pytest.mark.parametrize("hook", ["on_run_start", "prepare_model", "run_epoch", "provide_losses", "decide"])
def test_a_failing_plugin_can_fail_in_every_kind_of_hook(tiny_run, failing_plugin, hook):
    with pytest.raises(PluginHookError) as caught:
        tiny_run([failing_plugin(hook, KeyError("lost"))])
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.hook == hook


def test_a_failing_plugin_can_fail_in_the_hook_without_a_run(failing_plugin):
    with pytest.raises(RuntimeError, match="boom"):
        failing_plugin("add_commands").add_commands()


def test_a_plugin_given_by_its_file_may_be_tolerated(tiny_run):
    (failure,) = tiny_run([("flaky", {"use": f"{__file__}:Flaky", "on_error": "warn"})]).failures
    assert (failure.plugin, failure.hook, failure.count) == ("flaky", "on_step_end", 6)


class Flaky:
    role = "observer"

    @hookimpl
    def on_step_end(self, run):
        raise RuntimeError("boom")


def test_a_failing_plugin_for_a_misspelt_hook_is_refused(failing_plugin):
    with pytest.raises(ValueError, match=r"no hook 'on_stepp_end'\. Did you mean 'on_step_end'"):
        failing_plugin("on_stepp_end")


def test_two_failing_plugins_have_a_pair_of_name_and_plugin_each(tiny_run, failing_plugin):
    with pytest.raises(HookloopError, match="plugin 'second'"):
        tiny_run([("first", failing_plugin("on_epoch_end")), ("second", failing_plugin("on_step_end"))])

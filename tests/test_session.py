"""However a run ends, everybody is told once, the first error comes out, the record is complete and nothing is left."""

import gc
import json
import logging
import os
import shutil
import signal
import time
import weakref

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from hookloop import ConfigError, Engine, HookloopError, PluginConfigError, PluginHookError, SupervisedTask, hookimpl
from hookloop.records import read_metrics
from hookloop.state import run_state
from hookloop.testing import tiny_task
from hookloop.testing.comparison import first_difference

ENDINGS = ("on_stop_requested", "on_interrupt", "on_preempted", "on_exception", "on_fit_end", "on_run_end")


def plugin(*methods, role="actor", name="Local", **marks):
    """Return a plugin whose hooks are *methods*, by their names."""
    return type(name, (), {"role": role, **{each.__name__: hookimpl(**marks)(each) for each in methods}})()


class Listener:
    """Notes which ending hooks are called, with the outcome of the run at that time."""

    role = "observer"

    def __init__(self):
        self.heard = []

    def hear(self, hook, run):
        self.heard.append((hook, run.outcome))


def listen(hook):
    def call(self, run):
        self.hear(hook, run)

    return hookimpl(call)


for each in ENDINGS:
    setattr(Listener, each, listen(each))


class At:
    """Does something in ``on_step_end`` of one step."""

    def __init__(self, action, step=2):
        self.action, self.step = action, step

    @hookimpl
    def on_step_end(self, run):
        if run.step == self.step:
            self.action(run)


def kill(*numbers):
    def send(run):
        for number in numbers:
            os.kill(os.getpid(), number)

    return send


def throw(error):
    def fail(run):
        raise error

    return fail


def record_of(tiny_run):
    (path,) = tiny_run.directory.glob(f"run-{tiny_run.runs}/run.json")
    return json.loads(path.read_text())


# the outcomes

CASES = {
    "completed": (None, None, []),
    "stopped": (lambda run: run.request_stop("enough"), None, ["on_stop_requested"]),
    "interrupted": (kill(signal.SIGINT), None, ["on_interrupt"]),
    "interrupted twice": (kill(signal.SIGINT, signal.SIGINT), KeyboardInterrupt, ["on_interrupt", "on_exception"]),
    "interrupted by an exception": (throw(KeyboardInterrupt()), KeyboardInterrupt, ["on_interrupt", "on_exception"]),
    "preempted": (kill(signal.SIGTERM), None, ["on_preempted"]),
    "preempted by another signal": (kill(signal.SIGUSR1), None, ["on_preempted"]),
    "failed": (throw(RuntimeError("boom")), PluginHookError, ["on_exception"]),
    "failed by an exit": (throw(SystemExit(3)), SystemExit, ["on_exception"]),
}
RECORD = {
    "outcome", "started", "ended", "versions", "seed", "plugins", "stop_reason", "error", "counters", "metrics",
    "plugin_seconds", "failures", "attempts", "exact", "inexact_because",
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_ending_is_told_to_everybody_and_recorded(tiny_run, case):
    action, raised, told = CASES[case]
    listener = Listener()
    plugins = [listener, *([At(action)] if action else [])]
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    if raised:
        with pytest.raises(raised):
            tiny_run(plugins, epochs=2, steps=3)
    else:
        result = tiny_run(plugins, epochs=2, steps=3)
    outcome = case.split()[0]
    assert listener.heard == [(hook, outcome) for hook in [*told, "on_fit_end", "on_run_end"]]
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]

    record = record_of(tiny_run)
    assert record.keys() == RECORD
    assert record["outcome"] == outcome
    assert record["stop_reason"] == ("enough" if case == "stopped" else None)
    assert (record["error"] is None) == (raised is None)
    assert record["counters"]["step"] == (6 if case == "completed" else 2)
    assert record["metrics"]["train/loss"] > 0
    assert [each["instance"] for each in record["plugins"]] == ["listener", "at"][: len(plugins)]
    assert "listener" in record["plugin_seconds"]
    if not raised:
        assert (result.outcome, result.step) == (outcome, record["counters"]["step"])
        assert record["counters"] == result.state["counters"] | {
            "elapsed_seconds": record["counters"]["elapsed_seconds"]
        }


@pytest.mark.parametrize("hook", ["on_run_start", "prepare_model", "on_ready"])
def test_a_failure_before_the_fit_is_told_and_recorded(tiny_run, failing_plugin, hook):
    listener = Listener()
    with pytest.raises(PluginHookError):
        tiny_run([listener, failing_plugin(hook)])
    assert listener.heard == [("on_exception", "failed"), ("on_run_end", "failed")]
    record = record_of(tiny_run)
    assert record.keys() == RECORD
    assert (record["outcome"], record["error"]) == ("failed", "RuntimeError: boom")


@pytest.mark.parametrize("hook", ["on_fit_end", "on_run_end"])
def test_an_ending_hook_that_fails_makes_a_run_that_was_well_a_failure(tiny_run, failing_plugin, hook):
    listener = Listener()
    with pytest.raises(PluginHookError, match=f"{hook} failed at step 6: RuntimeError: boom"):
        tiny_run([failing_plugin(hook), listener])
    assert ("on_run_end", "failed" if hook == "on_fit_end" else "completed") == listener.heard[-1]
    assert record_of(tiny_run)["outcome"] == "failed"


def test_a_hook_that_hangs_while_a_run_ends_can_be_broken_off_and_makes_it_interrupted(tiny_run):
    def on_run_end(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    listener = Listener()
    with pytest.raises(KeyboardInterrupt):
        tiny_run([listener, plugin(on_run_end)])
    assert listener.heard[-1][0] == "on_run_end"
    assert record_of(tiny_run)["outcome"] == "interrupted"


def test_ctrl_c_again_and_again_breaks_off_no_ending_hook(tiny_run):
    def pressing(hook):
        def press(self):
            for _ in range(20):
                os.kill(os.getpid(), signal.SIGINT)
            finished.append(hook)

        press.__name__ = hook
        return press

    finished = []
    endings = ["on_interrupt", "on_exception", "on_fit_end", "on_run_end"]
    with pytest.raises(KeyboardInterrupt) as caught:
        tiny_run([At(kill(signal.SIGINT, signal.SIGINT)), plugin(*map(pressing, endings))])
    assert finished == endings
    assert not hasattr(caught.value, "__notes__")
    assert record_of(tiny_run)["outcome"] == "interrupted"


def test_a_signal_before_the_first_step_waits_for_it(tiny_run, hook_recorder):
    result = tiny_run([plugin(on_run_start_killing()), hook_recorder])
    assert (result.outcome, result.step) == ("preempted", 1)
    hook_recorder.assert_order("on_step_end", "on_preempted", "persist", "on_fit_end")


def on_run_start_killing():
    def on_run_start(self):
        os.kill(os.getpid(), signal.SIGTERM)

    return on_run_start


def test_a_handler_of_the_users_own_is_put_back(tiny_run):
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append("mine"))
    try:
        assert tiny_run([At(kill(signal.SIGUSR1))]).outcome == "preempted"
        os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == ["mine"]


# which error comes out


@pytest.mark.parametrize("hook", ["on_exception", "on_fit_end", "on_run_end"])
@pytest.mark.parametrize("second", [RuntimeError("second"), KeyboardInterrupt("second"), SystemExit("second")])
def test_an_ending_hook_that_fails_never_masks_why_the_run_ended(tiny_run, failing_plugin, hook, second):
    first = ValueError("first")
    listener = Listener()
    with pytest.raises(PluginHookError, match="on_step_end failed at step 2: ValueError: first") as caught:
        tiny_run([At(throw(first)), failing_plugin(hook, second), listener])
    assert caught.value.__cause__ is first
    assert any(f"{type(second).__name__}: second" in note for note in first.__notes__)
    assert [name for name, _ in listener.heard] == ["on_exception", "on_fit_end", "on_run_end"]
    assert record_of(tiny_run)["error"] == "ValueError: first"


def test_ending_hooks_that_fail_are_raised_together_when_nothing_else_failed(tiny_run, failing_plugin):
    listener = Listener()
    plugins = [
        ("one", failing_plugin("on_run_end", KeyError("a"))),
        ("two", failing_plugin("on_run_end", OSError("b"))),
    ]
    with pytest.raises(ExceptionGroup) as caught:
        tiny_run([*plugins, listener])
    assert {type(each) for each in caught.value.exceptions} == {KeyError, OSError}
    assert all("plugin '" in each.__notes__[0] for each in caught.value.exceptions)
    assert listener.heard[-1] == ("on_run_end", "completed")


def test_a_plugins_error_names_everything(tiny_run, failing_plugin):
    cause = ValueError("boom")
    with pytest.raises(PluginHookError) as caught:
        tiny_run([("flaky", failing_plugin("on_backward_end", cause, at_step=1))])
    error = caught.value
    assert (error.plugin, error.hook, error.step, error.__cause__) == ("flaky", "on_backward_end", 1, cause)
    assert error.distribution
    assert "Switch it off with: -p no:flaky" in str(error)


@pytest.mark.parametrize("method", ["train_step", "validation_step", "train_loader", "optimizers"])
def test_the_users_own_error_comes_out_as_it_was(tiny_run, hook_recorder, method):
    mine = ZeroDivisionError("mine")

    def fail(self, *given):
        raise mine

    task = type("Broken", (SupervisedTask,), {method: fail})
    make = lambda: task(torch.nn.Linear(4, 3), train=tiny_task().train_loader(), val=tiny_task().val_loader())  # noqa: E731
    with pytest.raises(ZeroDivisionError) as caught:
        tiny_run([hook_recorder], task=make, **({"optimizer": None} if method == "optimizers" else {}))
    assert caught.value is mine
    assert not hasattr(mine, "__notes__")
    assert hook_recorder.of("on_exception")[0].arguments["error"] is mine


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_an_exit_in_a_step_reaches_the_endings_and_comes_out(tiny_run, error):
    class Leaving(SupervisedTask):
        def train_step(self, batch):
            raise error

    listener = Listener()
    with pytest.raises(type(error)) as caught:
        tiny_run([listener], task=Leaving(torch.nn.Linear(4, 3), train=tiny_task().train_loader()))
    assert caught.value is error
    assert [hook for hook, _ in listener.heard if hook != "on_interrupt"] == [
        "on_exception",
        "on_fit_end",
        "on_run_end",
    ]


def test_a_record_that_cannot_be_written_does_not_hide_why_the_run_ended(tiny_run, caplog):
    def on_run_end(self, run):
        shutil.rmtree(run.directory)

    with pytest.raises(PluginHookError, match="ValueError: first"):
        tiny_run([At(throw(ValueError("first"))), plugin(on_run_end)])
    with pytest.raises(FileNotFoundError):
        tiny_run([plugin(on_run_end)])


# plugins that may fail

FLAKY = """
from hookloop import hookimpl

class Flaky:
    role = "observer"
    calls = 0

    @hookimpl
    def on_step_end(self, run):
        type(self).calls += 1
        if run.step >= 2:
            raise RuntimeError("flaky")

    @hookimpl
    def on_run_end(self, run):
        run.directory.joinpath("calls").write_text(str(self.calls))
"""


@pytest.mark.parametrize(("on_error", "counted", "disabled"), [("warn", 5, False), ("disable", 1, True)])
def test_an_observer_may_fail_and_training_goes_on(tiny_run, tmp_path, caplog, on_error, counted, disabled):
    (tmp_path / "flaky.py").write_text(FLAKY)
    flaky = ("flaky", {"use": f"{tmp_path}/flaky.py:Flaky", "on_error": on_error})
    with caplog.at_level(logging.ERROR):
        result = tiny_run([flaky], epochs=2, steps=3)
    (failure,) = result.failures
    assert (result.outcome, result.step) == ("completed", 6)
    assert (failure.plugin, failure.hook, failure.step, failure.error) == (
        "flaky",
        "on_step_end",
        2,
        "RuntimeError: flaky",
    )
    assert (failure.count, failure.disabled) == (counted, disabled)
    assert record_of(tiny_run)["failures"] == [vars(failure)]
    assert len([each for each in caplog.records if each.exc_info]) == 1
    assert (result.directory / "calls").exists() is not disabled
    assert torch.equal(weights(result), weights(tiny_run(epochs=2, steps=3)))


def test_no_policy_tolerates_an_interrupt(tiny_run, tmp_path):
    (tmp_path / "rude.py").write_text(FLAKY.replace('RuntimeError("flaky")', "KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        tiny_run([("rude", {"use": f"{tmp_path}/rude.py:Flaky", "on_error": "disable"})])


# the state


def weights(result):
    return torch.cat([each.flatten() for each in result.state["model"].values()])


def demanding_task():
    """Return a task that draws random numbers for its weights, its dropout and the order of its data."""
    generator = torch.Generator().manual_seed(5)
    data = TensorDataset(torch.randn(40, 4, generator=generator), torch.randint(3, (40,), generator=generator))
    layers = torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3)
    loader = DataLoader(data, batch_size=4, shuffle=True)
    return SupervisedTask(torch.nn.Sequential(*layers), train=loader, val=loader)


DEMANDING = {
    "task": demanding_task,
    "optimizer": ("adamw", {"lr": 0.01}),
    "schedule": ("cosine", {"unit": "step", "period": 40}),
    "metrics": {"accuracy": {}},
    "log_every": "3 steps",
    "accumulate": 2,
}


@pytest.mark.parametrize("through_a_file", [False, True])
def test_a_run_that_goes_on_from_a_state_ends_like_one_that_was_never_stopped(tiny_run, tmp_path, through_a_file):
    whole = tiny_run(epochs=4, **DEMANDING)
    half = tiny_run(epochs=2, **DEMANDING)
    state = half.state
    if through_a_file:
        torch.save(state, tmp_path / "state.pt")
        state = torch.load(tmp_path / "state.pt", weights_only=True)
    torch.rand(7)
    rest = tiny_run(epochs=4, resume=state, **DEMANDING)
    for part in ("model", "optimizers", "plugins", "rng"):
        assert first_difference(whole.state[part], rest.state[part], part) is None
    assert (rest.epoch, rest.step, rest.samples) == (whole.epoch, whole.step, whole.samples) == (4, 20, 160)
    rows = [{name: value for name, value in row.items() if name != "time"} for row in half.history + rest.history]
    assert rows == [{name: value for name, value in row.items() if name != "time"} for row in whole.history]


def test_a_state_can_be_resumed_from_twice(tiny_run):
    state = tiny_run(epochs=1, **DEMANDING).state
    one, other = (tiny_run(epochs=2, resume=state, **DEMANDING) for _ in range(2))
    assert first_difference(one.state["model"], other.state["model"]) is None


def test_a_plugins_state_is_saved_and_put_back(tiny_run):
    class Counter:
        steps = 0

        @hookimpl
        def on_step_end(self):
            self.steps += 1

        def state_dict(self):
            return {"steps": self.steps}

        def load_state_dict(self, state):
            self.steps = state["steps"]

    half = tiny_run([Counter()], epochs=1, steps=3)
    counter = Counter()
    tiny_run([counter], epochs=2, steps=3, resume=half.state)
    assert (half.state["plugins"]["counter"]["state"], counter.steps) == ({"steps": 3}, 6)


def test_a_state_of_another_model_is_refused(tiny_run):
    state = tiny_run(epochs=1).state
    with pytest.raises(ConfigError, match="does not fit Sequential"):
        tiny_run(resume=state, task=demanding_task)


# the directory


def fit(directory, **keywords):
    keywords = {"loss": "cross_entropy", "optimizer": "sgd", "max_epochs": 1, "device": "cpu", **keywords}
    return Engine(lambda: tiny_task(3), run_dir=directory, **keywords)


def test_every_row_is_on_file_when_a_state_counts_it_and_when_training_or_the_run_ends(tmp_path):
    counted = []

    class Reader:
        role = "observer"

        @hookimpl
        def report(self, run):
            if run.step == 7:
                self.compare(run_state(run)["log"]["rows"])

        @hookimpl
        def on_fit_end(self, run):
            self.compare(len(run.history))

        @hookimpl
        def on_run_end(self, run):
            self.compare(len(run.history))

        def compare(self, rows):
            counted.append((rows, len(read_metrics(tmp_path / "metrics.jsonl"))))

    fit(tmp_path, plugins=[Reader()], max_epochs=4, log_every="1 step").fit()
    assert [each[0] for each in counted] == [9, 16, 16]
    assert [each[1] for each in counted] == [9, 16, 16]


def test_a_directory_that_holds_a_run_is_refused(tmp_path):
    fit(tmp_path).fit()
    before = (tmp_path / "run.json").read_text()
    with pytest.raises(ConfigError, match=r"holds a run already.*--overwrite"):
        fit(tmp_path).fit()
    assert (tmp_path / "run.json").read_text() == before


def test_overwrite_replaces_a_run_and_keeps_what_is_not_the_engines(tmp_path):
    fit(tmp_path, max_epochs=3).fit()
    (tmp_path / "notes.txt").write_text("mine")
    fit(tmp_path, overwrite=True).fit()
    assert [row["epoch"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [1]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_resumed_run_goes_on_in_its_directory(tmp_path):
    half = fit(tmp_path, max_epochs=1).fit()
    rest = fit(tmp_path, max_epochs=3).fit(resume=half.state)
    assert [row["epoch"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3]
    assert json.loads((tmp_path / "run.json").read_text())["counters"]["epoch"] == rest.epoch == 3


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_an_evaluation_after_a_fit_adds_to_its_directory_and_keeps_its_record(tmp_path, command):
    engine = fit(tmp_path)
    trained = engine.fit()
    before = [(tmp_path / name).read_text() for name in ("run.json", "config.toml")]
    rows = len(read_metrics(tmp_path / "metrics.jsonl"))
    result = getattr(engine, command)()
    assert result.directory == trained.directory == tmp_path
    assert [(tmp_path / name).read_text() for name in ("run.json", "config.toml")] == before
    after = read_metrics(tmp_path / "metrics.jsonl")
    assert len(after) == rows + (command != "predict")
    assert (after[-1]["step"], after[-1]["epoch"]) == (3, 1)
    assert (result.outcome, result.step, result.epoch) == ("completed", 3, 1)


def test_an_evaluation_after_a_fit_is_of_the_trained_model(tmp_path):
    engine = fit(tmp_path, max_epochs=20, optimizer=("sgd", {"lr": 1.0}))
    trained = engine.fit()
    assert engine.validate().metrics["val/loss"] == trained.metrics["val/loss"]
    assert torch.equal(weights(engine.test()), weights(trained))


def test_an_evaluation_after_a_fit_knows_the_state_of_the_plugins(tmp_path):
    class Factor:
        """An actor that learns something in training, which its evaluation needs."""

        factor = 1.0

        @hookimpl
        def on_step_end(self):
            self.factor += 1.0

        @hookimpl
        def on_test_end(self, run):
            run.log("test/factor", self.factor)

        def state_dict(self):
            return {"factor": self.factor}

        def load_state_dict(self, state):
            self.factor = state["factor"]

    engine = fit(tmp_path, plugins=[("factor", Factor)])
    engine.fit()
    assert engine.test().metrics["test/factor"] == 4.0


def test_an_evaluation_without_a_fit_has_a_directory_and_a_record_of_its_own(tmp_path):
    result = fit(tmp_path / "new").test()
    record = json.loads((tmp_path / "new" / "run.json").read_text())
    assert (record["outcome"], record["metrics"]) == ("completed", dict(result.metrics))


def test_an_evaluation_in_a_directory_that_holds_a_run_adds_to_it(tmp_path):
    fit(tmp_path).fit()
    before = (tmp_path / "run.json").read_text()
    fit(tmp_path, overwrite=True).test()
    assert (tmp_path / "run.json").read_text() == before
    assert "test/loss" in read_metrics(tmp_path / "metrics.jsonl")[-1]


def test_a_new_directory_is_made_for_each_run_and_latest_points_at_it(tmp_path):
    engine = fit(None, runs_dir=tmp_path, name="digits")
    first, second = engine.fit(), engine.fit()
    assert first.directory != second.directory
    assert (tmp_path / "digits" / "latest").resolve() == second.directory.resolve()


class First:
    before = ("second",)

    @hookimpl
    def on_step_end(self):
        pass


class Second(First):
    before = ("first",)


MISTAKES = {
    "nothing ends the run": ({"max_epochs": None}, ConfigError),
    "an unknown option": ({"max_epoch": 3}, ConfigError),
    "a wrong value": ({"accumulate": 0}, ConfigError),
    "an unknown plugin": ({"plugins": ["no-such-plugin"]}, ConfigError),
    "plugins in a circle": ({"plugins": [First(), Second()]}, ConfigError),
    "a plugin without a hook": ({"plugins": [object()]}, PluginConfigError),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_configuration_leaves_no_directory(tmp_path, mistake):
    keywords, kind = MISTAKES[mistake]
    with pytest.raises(kind):
        fit(tmp_path / "new", **keywords).fit()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("keywords", [{"loss": "no_such_loss"}, {"optimizer": None}, {"device": "no-such-device"}])
def test_what_only_shows_when_a_run_is_built_is_recorded(tmp_path, keywords):
    with pytest.raises(ConfigError):
        fit(tmp_path, **keywords).fit()
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["outcome"], record["counters"]["step"]) == ("failed", 0)
    assert record["error"].startswith("ConfigError: ")


def test_a_command_without_data_says_which_method_to_write(tmp_path):
    engine = Engine(SupervisedTask(torch.nn.Linear(4, 3)), run_dir=tmp_path, max_epochs=1, device="cpu")
    with pytest.raises(ConfigError, match="SupervisedTask has no data to test: test_loader gave None"):
        engine.test()


# the process


@pytest.mark.parametrize("failing", [False, True])
def test_what_a_run_sets_of_the_whole_process_is_put_back(tiny_run, failing):
    seen = []

    def on_step_end(self):
        seen.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
        if failing:
            raise RuntimeError

    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        tiny_run([plugin(on_step_end)], threads=2, deterministic=True, epochs=1, steps=1)
    except PluginHookError:
        assert failing
    assert seen == [(2, True)]
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_an_error_that_was_handled_lets_go_of_what_the_step_made(tiny_run):
    made = []

    class Wasteful(SupervisedTask):
        def train_step(self, batch):
            activations = torch.zeros(1000)
            made.append(weakref.ref(activations))
            raise MemoryError

    task = Wasteful(torch.nn.Linear(4, 3), train=tiny_task().train_loader())
    gc.collect()
    gc.disable()
    try:
        tiny_run(task=task)
    except MemoryError:
        assert made[0]() is not None
    finally:
        gc.enable()
    assert made[0]() is None


def test_the_result_lets_go_of_the_run(tiny_run):
    runs = []

    def on_run_start(self, run):
        runs.append(weakref.ref(run.store))

    result = tiny_run([plugin(on_run_start)])
    gc.collect()
    assert result.outcome == "completed"
    assert runs[0]() is None


@pytest.mark.parametrize(("error", "code"), [(ConfigError("log in first"), 2), (HookloopError("it is full"), 1)])
def test_a_mistake_in_the_configuration_that_a_hook_finds_has_its_exit_code(tiny_run, error, code):
    class Finds:
        role = "observer"

        @hookimpl
        def on_run_start(self, run):
            raise error

    with pytest.raises(PluginHookError, match=str(error)) as caught:
        tiny_run([Finds()])
    assert caught.value.exit_code == code

import sys

import pytest
import torch
from torch.nn.functional import cross_entropy

from hookloop import ConfigError, Engine, PluginConfig, SupervisedTask, hookimpl
from hookloop.testing import tiny_task


class Counter:
    """Counts steps by the number that its options say."""

    role = "observer"

    class Config(PluginConfig):
        by: int = 1

    def __init__(self, config):
        self.by = config.by
        made.append(self)
        self.count = 0

    @hookimpl
    def on_step_end(self):
        self.count += self.by


class Bare:
    role = "observer"

    def __init__(self):
        made.append(self)
        self.steps = []

    @hookimpl
    def on_step_end(self, run):
        self.steps.append(run.step)


made = []


@pytest.fixture(autouse=True)
def fresh():
    made.clear()


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """A function that makes an engine for the tiny task, with no other plugins than it is given."""
    for name in ("HOOKLOOP_PLUGINS", "HOOKLOOP_DISABLE_PLUGINS"):
        monkeypatch.delenv(name, raising=False)

    def make(task=tiny_task, **keywords):
        settings = {
            "loss": "cross_entropy",
            "optimizer": ("sgd", {"lr": 0.1}),
            "max_epochs": 1,
            "device": "cpu",
            "runs_dir": tmp_path / "runs",
        }
        return Engine(task, **{**settings, **keywords})

    return make


def problems(call):
    with pytest.raises(ConfigError) as caught:
        call()
    return str(caught.value).splitlines()


def test_a_result_tells_how_a_fit_ended(engine, tmp_path):
    result = engine(metrics={"accuracy": {}}, log_every="1 step", name="digits").fit()
    assert (result.outcome, result.stop_reason, result.epoch, result.step, result.samples) == (
        "completed",
        None,
        1,
        3,
        18,
    )
    assert result.directory.parent == tmp_path / "runs" / "digits"
    assert set(result.metrics) == {"train/loss", "val/loss", "val/accuracy"}
    assert [row["step"] for row in result.history] == [1, 2, 3, 3]
    assert result.history[-1]["val/accuracy"] == result.metrics["val/accuracy"]
    assert result.state["counters"]["step"] == 3
    assert (result.best_checkpoint, result.last_checkpoint, result.failures) == (None, None, ())


def test_nothing_is_checked_or_built_before_a_command(engine):
    def build():
        raise AssertionError("built too early")

    broken = engine(build, loss=3, optimiser="sgd", plugins=["nonsense"])
    assert broken.loss == 3
    assert made == []


def test_a_task_is_made_after_the_seed_is_set(engine):
    one, same, other = (engine(seed=seed).fit().state["model"]["0.weight"] for seed in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_everything_that_is_wrong_is_told_at_once(engine):
    wrong = engine(
        loss=5,
        optimiser="sgd",
        max_epoch=3,
        metrics=["accuracy"],
        accumulate="two",
        log_every=10,
        precision="fp16_mixed",
        plugins=["zz-absent"],
    )
    lines = problems(wrong.fit)
    assert lines == [
        "Engine(...): run.accumulate: got 'two' (a string), expected a whole number",
        "Engine(...): run.log_every: got 10 (a whole number). Write a number and a unit, as in '100 steps', '1 epoch', "
        "'5000 samples', '30 s', '10 min', '2 hours'.",
        "Engine(...): run.precision: got 'fp16_mixed', expected one of 'fp32', 'bf16-mixed', 'fp16-mixed'. "
        "Did you mean 'fp16-mixed'?",
        "Engine(plugins=...): no plugin 'zz-absent' is installed. Those that are: hookloop plugins list",
        "Engine(...): optimiser: unknown keyword. Did you mean 'optimizer'?",
        "Engine(...): max_epoch: unknown keyword. Did you mean 'max_epochs'?",
        "Engine(...): metrics: got ['accuracy'], expected a mapping, such as {'accuracy': {}}.",
        "Engine(...): loss: got 5, expected a name, a pair (name, {options}), or a callable.",
    ]
    assert made == []


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict", "plan"])
def test_every_command_refuses_an_unknown_keyword(engine, command):
    lines = problems(getattr(engine(metric={"accuracy": {}}), command))
    assert lines == ["Engine(...): metric: unknown keyword. Did you mean 'metrics'?"]


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"optimizer": 3}, "optimizer: got 3, expected a name, a pair (name, {options}), or a callable."),
        (
            {"schedule": ("cosine", 3)},
            "schedule: got ('cosine', 3), expected a name, a pair (name, {options}), or a call",
        ),
        ({"metrics": {"f1": 3}}, "metrics.f1: got 3, expected a name, a pair (name, {options}), or a callable."),
        ({"plugins": "progress"}, "plugins: got 'progress', expected a list: plugins=['progress']."),
        ({"loss": ""}, 'loss.use: says not what to use: write use = "NAME" or use = "file.py:attr" below [loss].'),
        ({"task": None}, 'task: says not what to use: write use = "NAME" or use = "file.py:attr" below [task].'),
    ],
)
def test_what_a_keyword_cannot_be_is_an_error(engine, keywords, said):
    (line,) = problems(engine(**keywords).fit)
    assert line.startswith(f"Engine(...): {said}")


def test_a_training_that_nothing_ends_is_an_error(engine):
    lines = problems(engine(max_epochs=None).fit)
    assert lines == ["nothing ends this run: set run.max_epochs, run.max_steps or run.max_seconds."]


def weights(result):
    return torch.cat([each.flatten() for each in result.state["model"].values()])


@pytest.mark.parametrize(
    "loss", [("cross_entropy", {}), cross_entropy, torch.nn.CrossEntropyLoss, "torch.nn:CrossEntropyLoss"]
)
@pytest.mark.parametrize("optimizer", [("sgd", {"lr": 0.1}), lambda params: torch.optim.SGD(params, lr=0.1)])
def test_the_forms_of_a_part_come_to_the_same(engine, loss, optimizer):
    assert torch.equal(weights(engine(loss=loss, optimizer=optimizer).fit()), weights(engine().fit()))


class Fixed:
    """A metric by its three methods."""

    def __init__(self, value=7.0):
        self.value = value

    def update(self, output, target):
        pass

    def compute(self):
        return self.value

    def reset(self):
        pass


def correct(output, target, scale=1):
    return scale * (output.argmax(1) == target).float().mean()


def test_the_forms_of_a_metric(engine):
    metrics = {
        "accuracy": {},
        "acc": {"use": "accuracy"},
        "named": "accuracy",
        "function": correct,
        "scaled": (correct, {"scale": 2}),
        "object": Fixed(5.0),
        "class": Fixed,
        "with_options": (Fixed, {"value": 6.0}),
    }
    result = engine(metrics=metrics).fit()
    accuracy = result.metrics["val/accuracy"]
    assert [result.metrics[f"val/{name}"] for name in ("acc", "named", "function")] == pytest.approx([accuracy] * 3)
    assert result.metrics["val/scaled"] == pytest.approx(2 * accuracy)
    assert [result.metrics[f"val/{name}"] for name in ("object", "class", "with_options")] == [5.0, 7.0, 6.0]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Put the class Counter where a name finds it, as the plugin of an installed distribution."""
    site = tmp_path / "site"
    info = site / "zz_counter-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zz-counter\nVersion: 1.0\n\n")
    (info / "entry_points.txt").write_text(f"[hookloop]\nzz-counter = {__name__}:Counter\n")
    monkeypatch.syspath_prepend(str(site))
    assert sys.modules[__name__].Counter is Counter


@pytest.mark.parametrize(
    ("plugins", "counts"),
    [
        (["zz-counter"], [3]),
        ([("zz-counter", {})], [3]),
        ([("zz-counter", {"by": 2})], [6]),
        ([("second", {"use": "zz-counter", "by": 5}), "zz-counter"], [15, 3]),
        ([Counter], [3]),
        ([("mine", Counter)], [3]),
    ],
)
@pytest.mark.usefixtures("installed")
def test_a_plugin_is_a_name_a_pair_or_a_class(engine, plugins, counts):
    engine(plugins=plugins).fit()
    assert sorted(each.count for each in made) == sorted(counts)


def test_a_plugin_may_be_a_ready_object_or_a_class_without_options(engine):
    ready = Bare()
    engine(plugins=[ready, Bare]).fit()
    assert [each.steps for each in made] == [[1, 2, 3], [1, 2, 3]]
    assert made[0] is ready


def test_plugins_may_be_any_iterable(engine):
    engine(plugins=(kind for kind in (Bare, Bare))).fit()
    assert len(made) == 2


@pytest.mark.usefixtures("installed")
def test_wrong_options_of_plugins_are_told_with_everything_else(engine):
    plugins = [("watch", {"use": "zz-counter", "bye": 3}), ("zz-counter", {"by": "two"})]
    lines = problems(engine(plugins=plugins, max_epoch=2).fit)
    assert lines == [
        "Engine(...): plugins.watch.bye: unknown option. Did you mean 'by'?",
        "Engine(...): plugins.zz-counter.by: got 'two' (a string), expected a whole number.",
        "Engine(...): max_epoch: unknown keyword. Did you mean 'max_epochs'?",
    ]


def test_validation_test_and_prediction_go_on_with_the_trained_model(engine):
    trained = engine(max_epochs=5, metrics={"accuracy": {}})
    fitted = trained.fit()
    validated, tested, predicted = trained.validate(), trained.test(), trained.predict()
    assert validated.metrics["val/loss"] == pytest.approx(fitted.metrics["val/loss"])
    assert validated.metrics["val/accuracy"] == fitted.metrics["val/accuracy"]
    assert set(tested.metrics) == {"test/loss", "test/accuracy"}
    assert {each.directory for each in (validated, tested, predicted)} == {fitted.directory}
    assert (predicted.epoch, predicted.step) == (5, 15)


def test_an_evaluation_alone_makes_a_run_of_its_own(engine):
    result = engine(optimizer=None, max_epochs=None).validate()
    assert (result.outcome, set(result.metrics), result.step) == ("completed", {"val/loss"}, 0)


def test_an_engine_may_fit_again_from_the_start(engine):
    again = engine()
    first, second = again.fit(), again.fit()
    assert first.directory != second.directory
    assert torch.equal(weights(first), weights(second))


def test_a_fit_goes_on_from_the_state_of_a_result(engine):
    half = engine(max_epochs=1).fit()
    whole, rest = engine(max_epochs=2).fit(), engine(max_epochs=2).fit(resume=half.state)
    assert torch.equal(weights(whole), weights(rest))
    assert (rest.epoch, rest.step, rest.samples) == (2, 6, 36)


def test_time_goes_by_the_clock_that_is_given(engine, fake_clock):
    class Tick:
        @hookimpl
        def on_step_end(self):
            fake_clock.advance(10)

    result = engine(clock=fake_clock, plugins=[Tick()], max_epochs=None, max_seconds=25).fit()
    assert (result.outcome, result.step, result.elapsed_seconds) == ("stopped", 3, 30.0)


def test_what_the_task_raises_is_raised(engine):
    class Broken(SupervisedTask):
        def train_step(self, batch):
            raise ZeroDivisionError("in my own code")

    tiny = tiny_task()
    with pytest.raises(ZeroDivisionError, match="in my own code"):
        engine(Broken(tiny.model, tiny.train_loader())).fit()


def test_the_environment_switches_plugins_here_too(engine, monkeypatch):
    monkeypatch.setenv("HOOKLOOP_PLUGINS", "")
    engine(plugins=[Bare]).fit()
    assert made == []


def test_a_plan_is_the_checked_configuration(engine):
    plan = engine(plugins=[("mine", Bare)], metrics={"accuracy": {}}, schedule="cosine").plan()
    assert "mine" in [each.instance for each in plan.plugins]
    assert plan.options.max_epochs == 1
    assert plan.schedule is not None
    assert plan.schedule.use == "cosine"
    assert list(plan.metrics) == ["accuracy"]

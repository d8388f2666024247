"""Averages of weights: the numbers, where they are used, and that the trained weights always come back."""

import math

import pytest
import torch

from hookloop import PluginHookError, SupervisedTask, snapshots
from hookloop_guards.averaging import Average, weight_of

OPTIONS = {"decay": 0.5}


def copied(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


class Watching:
    """Keeps the weights at the events named, as name -> list of copies."""

    def __init__(self, acting, *hooks):
        self.seen = {hook: [] for hook in hooks}
        self.plugins = [(f"watch-{number}", self.watch(acting, hook)) for number, hook in enumerate(hooks)]

    def watch(self, acting, hook):
        return acting(hook, lambda run: self.seen[hook].append(copied(run.model)))


def average_of(result):
    return result.state["plugins"]["ema"]["state"]["average"]


def with_norm():
    torch.manual_seed(3)
    batches = [(torch.randn(6, 4), torch.randint(3, (6,))) for _ in range(4)]
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 3))
    return SupervisedTask(model=model, train=batches, val=batches[:2], test=batches[:2], predict=batches[:2])


def test_the_average_is_that_of_the_formula(tiny_run, acting):
    watch = Watching(acting, "on_step_end")
    result = tiny_run([("ema", {"decay": 0.9}), *watch.plugins])
    first, *others = watch.seen["on_step_end"]
    for name, value in first.items():
        expected = value.double()
        for each in others:
            expected = 0.9 * expected + 0.1 * each[name].double()
        torch.testing.assert_close(average_of(result)[name].double(), expected, rtol=1e-5, atol=1e-6)


def test_swa_is_the_mean_of_the_weights_after_each_epoch(tiny_run, acting):
    watch = Watching(acting, "on_train_epoch_end")
    result = tiny_run([("ema", {"averaging": "swa", "every": "1 epoch", "start": "1 epoch"}), *watch.plugins], epochs=4)
    for name, value in average_of(result).items():
        expected = torch.stack([each[name] for each in watch.seen["on_train_epoch_end"][1:]]).mean(0)
        torch.testing.assert_close(value, expected)


def test_the_warmup_forgets_the_first_weights():
    weights = [weight_of("ema", updates, 0.99, warmup=True) for updates in (0, 1, 2, 10_000)]
    assert weights == pytest.approx([1, 1 - 2 / 11, 1 - 3 / 12, 0.01])
    assert [weight_of("swa", updates, 0.9, warmup=False) for updates in (0, 1, 3)] == [1, 1 / 2, 1 / 4]


def test_an_update_is_counted_once_however_many_micro_batches_it_took(tiny_run):
    """Lightning#11688: an average under accumulation counts batches."""
    result = tiny_run([("ema", OPTIONS)], epochs=1, steps=3, accumulate=2)
    assert result.state["plugins"]["ema"]["state"]["updates"] == 3


def test_half_precision_is_averaged_in_float32():
    """In bfloat16, 1 % of a small difference rounds to nothing, and the average stands still."""
    model = torch.nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    torch.nn.init.constant_(model.weight, 1.0)
    average = Average(model, "copy")
    average.update(1.0)
    torch.nn.init.constant_(model.weight, 1.0078125)
    for _ in range(400):
        average.update(0.01)
    assert average.values["weight"].item() == pytest.approx(1.0078125, abs=2e-4)
    with average.applied():
        assert model.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
@pytest.mark.parametrize("wanted", [True, False])
def test_each_evaluation_sees_the_average_if_it_is_configured_so(tiny_run, acting, stage, wanted):
    hook = f"on_{ {'validate': 'validation'}.get(stage, stage) }_batch_end"
    watch = Watching(acting, hook, "on_fit_end")
    use_in = [stage] if wanted else [each for each in ("validate", "test", "predict") if each != stage]
    commands = ("fit",) if stage == "validate" else ("fit", stage)
    tiny_run([("ema", {**OPTIONS, "use_in": use_in}), *watch.plugins], commands=commands)
    expected = average_of(tiny_run.results["fit"]) if wanted else watch.seen["on_fit_end"][-1]
    assert same(watch.seen[hook][-1], expected)


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_the_trained_weights_are_back_afterwards(tiny_run, acting, command):
    """Keras's SwapEMAWeights never swaps back after predict (1.5)."""
    watch = Watching(acting, "on_run_end")
    tiny_run([("ema", OPTIONS), *watch.plugins], commands=("fit", command))
    fitted, evaluated = watch.seen["on_run_end"]
    assert same(fitted, evaluated)
    assert not same(fitted, average_of(tiny_run.results["fit"]))


@pytest.mark.parametrize("hook", ["on_validation_batch_end", "on_test_batch_end", "on_predict_batch_end"])
def test_the_trained_weights_are_back_after_an_error(tiny_run, acting, failing_plugin, hook):
    watch = Watching(acting, "on_step_end", "on_exception")
    plugins = [("ema", OPTIONS), *watch.plugins, failing_plugin(hook, KeyboardInterrupt())]
    commands = ("fit",) if hook == "on_validation_batch_end" else ("fit", hook.split("_")[1])
    with pytest.raises(KeyboardInterrupt):
        tiny_run(plugins, commands=commands)
    assert same(watch.seen["on_exception"][0], watch.seen["on_step_end"][-1])


def test_training_is_not_changed_by_an_average_that_is_only_looked_at(tiny_run):
    without, averaged = tiny_run([]), tiny_run([("ema", OPTIONS)])
    assert same(without.state["model"], averaged.state["model"])


def test_a_checkpoint_is_never_taken_of_swapped_weights(tiny_run, acting):
    """nequip#590: a checkpoint at the end of a validation held the average, and training went on with it."""
    watch = Watching(acting, "persist", "on_step_end")
    tiny_run([("ema", OPTIONS), *watch.plugins], epochs=1, steps=3)
    assert same(watch.seen["persist"][-1], watch.seen["on_step_end"][-1])


@pytest.mark.parametrize("ending", ["completed", "stopped"])
def test_the_final_weights_are_what_is_configured(tiny_run, acting, ending):
    """Keras, 1.5: after an early stop the model silently holds the raw weights."""
    stop = acting("decide", lambda run: run.request_stop("enough") if ending == "stopped" and run.step == 4 else None)
    trained = tiny_run([("ema", OPTIONS), ("stop", stop)])
    averaged = tiny_run([("ema", {**OPTIONS, "final": "average"}), ("stop", stop)])
    assert trained.outcome == averaged.outcome == ending
    assert same(averaged.state["model"], average_of(trained))
    assert not same(trained.state["model"], average_of(trained))


@pytest.mark.parametrize("options", [{}, {"final": "average"}, {"averaging": "swa", "start": "2 steps"}])
def test_a_resume_is_exact(tiny_run, options):
    options = options if "averaging" in options else {**OPTIONS, **options}
    whole = tiny_run([("ema", options)], epochs=4, task=with_norm)
    begun = tiny_run([("ema", options)], epochs=2, task=with_norm)
    rest = tiny_run([("ema", options)], epochs=4, task=with_norm, resume=begun.state)
    assert same(rest.state["model"], whole.state["model"])
    assert same(average_of(rest), average_of(whole))
    assert rest.metrics["val/loss"] == whole.metrics["val/loss"]


def test_buffers_are_averaged_or_copied(tiny_run, acting):
    for buffers in ("average", "copy"):
        watch = Watching(acting, "on_test_batch_end", "on_fit_end")
        plugins = [("ema", {**OPTIONS, "buffers": buffers}), *watch.plugins]
        tiny_run(plugins, task=with_norm, commands=("fit", "test"))
        used, trained = watch.seen["on_test_batch_end"][-1], watch.seen["on_fit_end"][-1]
        assert torch.equal(used["1.running_mean"], trained["1.running_mean"]) == (buffers == "copy")
        assert not torch.equal(used["0.weight"], trained["0.weight"])
        assert torch.equal(used["1.num_batches_tracked"], trained["1.num_batches_tracked"])


def test_tied_weights_are_averaged_once():
    model = torch.nn.ModuleList([torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 2, bias=False)])
    model[1].weight = model[0].weight
    average = Average(model, "average")
    average.update(1.0)
    assert list(average.values) == ["0.weight"]
    torch.nn.init.zeros_(model[0].weight)
    saved = average.in_state_dict(model)
    assert torch.equal(saved["0.weight"], saved["1.weight"])
    assert saved["0.weight"].abs().sum() > 0


def test_a_checkpoint_may_have_the_average_as_its_model_and_is_resumed_exactly(tiny_run, tmp_path):
    pytest.importorskip("hookloop_checkpoint")
    plugins = [("ema", {**OPTIONS, "checkpoint": "average"}), ("checkpoint", {})]
    whole = tiny_run(plugins, epochs=4)
    begun = tiny_run(plugins, epochs=2, run_dir=tmp_path / "run")
    state = snapshots.read(begun.last_checkpoint)
    assert same(state["model"], average_of(begun))
    assert same(state["trained_weights"], begun.state["model"])
    rest = tiny_run(plugins, epochs=4, run_dir=tmp_path / "run", resume=True)
    assert same(rest.state["model"], whole.state["model"])
    assert same(average_of(rest), average_of(whole))


def test_a_roll_back_takes_the_average_with_it(tiny_run, tmp_path, acting):
    """A NaN in the weights would stay in the average for ever."""
    pytest.importorskip("hookloop_checkpoint")
    kept = {}

    def act(run):
        ema = run.plugins["ema"]
        kept[run.step] = ema.copy()["average"]
        if run.step == 5:
            next(run.model.parameters()).data.fill_(math.nan)
            ema.update()
            snapshots.roll_back(run, run.last_checkpoint)
            kept["after"] = ema.copy()["average"]

    plugins = [("ema", {**OPTIONS, "checkpoint": "average"}), ("checkpoint", {"every": "3 steps"})]
    result = tiny_run([*plugins, ("act", acting("decide", act))], run_dir=tmp_path / "run")
    assert same(kept["after"], kept[3])
    assert all(value.isfinite().all() for value in average_of(result).values())


def test_the_file_holds_the_average_for_weights(tiny_run):
    result = tiny_run([("ema", {**OPTIONS, "file": "out/ema.pt"})])
    state = torch.load(result.directory / "out" / "ema.pt", weights_only=True)
    assert same(state, average_of(result))
    assert [each.name for each in (result.directory / "out").iterdir()] == ["ema.pt"]


def test_two_averages_in_one_place_are_refused(tiny_run):
    with pytest.raises(PluginHookError, match="only one average in: predict, test, validate"):
        tiny_run([("one", {"use": "ema"}), ("two", {"use": "ema"})])


def test_the_average_of_another_model_begins_anew(tiny_run, messages):
    begun = tiny_run([("ema", OPTIONS)], epochs=1)
    saved = begun.state["plugins"]["ema"]["state"]
    state = {**saved, "average": {"else": torch.zeros(2)}}
    plugins = {**begun.state["plugins"], "ema": {"version": "", "state": state}}
    rest = tiny_run([("ema", OPTIONS)], resume={**begun.state, "plugins": plugins})
    assert rest.state["plugins"]["ema"]["state"]["updates"] == 3
    assert "averaging begins anew" in messages()[0] or "begins anew" in messages()[0]


@pytest.mark.parametrize(
    "options",
    [{"averaging": "swa", "decay": 0.9}, {"file": "../x.pt"}, {"file": "ema.bin"}, {"every": "3 s"}, {"decay": 1}],
)
def test_options_that_make_no_sense_are_refused(tiny_run, options):
    with pytest.raises(Exception, match=r"swa|inside of the run|steps or epochs|less than 1"):
        tiny_run([("ema", options)])

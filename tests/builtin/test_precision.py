import pytest
import torch
from torch.nn.functional import cross_entropy

from hookloop import SkipStep, SupervisedTask, hookimpl
from hookloop.testing import tiny_task

SCALE = 65536.0


def sgd(params):
    return torch.optim.SGD(params, lr=0.1)


def weights(result):
    return torch.cat([each.flatten() for each in result.state["model"].values()])


def scaling(run):
    """Return the scale in force."""
    return run.plugins["engine:loss-scaling"].scaler.get_scale()


class Autocasting(SupervisedTask):
    """Notes in each stage whether autocast is on, and what types the work has."""

    def __init__(self):
        tiny = tiny_task(1)
        super().__init__(tiny.model, tiny.train_loader(), tiny.val_loader(), tiny.test_loader(), tiny.predict_loader())
        self.seen = {}

    def forward(self, batch):
        output = super().forward(batch)
        self.seen[self.run.stage] = torch.is_autocast_enabled("cpu"), output.dtype
        return output


class Outside:
    """Notes whether autocast is on in hooks around the forward pass."""

    role = "observer"

    def __init__(self):
        self.on = set()

    def note(self):
        self.on.add(torch.is_autocast_enabled("cpu"))

    @hookimpl
    def on_forward_start(self):
        self.note()

    @hookimpl
    def on_forward_end(self):
        self.note()

    @hookimpl
    def on_backward_start(self):
        self.note()

    @hookimpl
    def on_gradients_ready(self):
        self.note()

    @hookimpl
    def on_validation_batch_end(self):
        self.note()


@pytest.mark.parametrize(("precision", "dtype"), [("bf16-mixed", torch.bfloat16), ("fp16-mixed", torch.float16)])
def test_forward_runs_in_the_lower_precision_in_every_stage(tiny_run, precision, dtype):
    tasks = []

    def build():
        tasks.append(Autocasting())
        return tasks[-1]

    tiny_run(task=build, precision=precision, epochs=1, commands=("fit", "test", "predict"))
    seen = {stage: value for task in tasks for stage, value in task.seen.items()}
    assert seen == dict.fromkeys(("train", "validate", "test", "predict"), (True, dtype))


@pytest.mark.parametrize("precision", ["bf16-mixed", "fp16-mixed"])
def test_autocast_is_off_outside_of_forward(tiny_run, precision):
    outside = Outside()
    tiny_run([outside], precision=precision, epochs=1)
    assert outside.on == {False}
    assert not torch.is_autocast_enabled("cpu")


def test_in_full_precision_nothing_is_cast(tiny_run):
    task = Autocasting()
    tiny_run(task=task, epochs=1)
    assert task.seen["train"] == (False, torch.float32)


@pytest.mark.parametrize("precision", ["bf16-mixed", "fp16-mixed"])
def test_weights_and_gradients_stay_in_full_precision_and_learn(tiny_run, precision):
    class Types:
        @hookimpl
        def on_gradients_ready(self, run):
            types.update(each.grad.dtype for each in run.model.parameters())

    types = set()
    result = tiny_run([Types()], precision=precision, epochs=20)
    assert types == {torch.float32}
    assert {each.dtype for each in result.state["model"].values()} == {torch.float32}
    losses = [row["train/loss"] for row in result.history if "train/loss" in row]
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("precision", ["bf16-mixed", "fp16-mixed"])
def test_micro_batches_add_up_to_the_gradient_of_the_whole(tiny_run, precision):
    class Gradients:
        role = "observer"

        def __init__(self):
            self.seen = []

        @hookimpl
        def on_gradients_ready(self, run):
            self.seen.append(torch.cat([each.grad.flatten() for each in run.model.parameters()]))

    def whole():
        tiny = tiny_task(2)
        inputs, classes = map(torch.cat, zip(*tiny.train_loader(), strict=True))
        return SupervisedTask(tiny.model, [(inputs, classes)])

    parts, together = Gradients(), Gradients()
    tiny_run([parts], task=lambda: tiny_task(2), precision=precision, accumulate=2, epochs=1)
    tiny_run([together], task=whole, precision=precision, epochs=1)
    assert len(parts.seen) == len(together.seen) == 1
    assert torch.allclose(parts.seen[0], together.seen[0], rtol=0.05, atol=0.005)
    assert parts.seen[0].norm() < 10


class Overflow:
    """Makes the loss of one update infinite."""

    def __init__(self, at=0):
        self.at = at
        self.scales = []

    @hookimpl
    def transform_loss(self, run, loss):
        return loss * float("inf") if run.batch_index == self.at else loss

    @hookimpl
    def on_optimizer_step_skipped(self, run):
        self.scales.append(scaling(run))


def adamw(fused):
    return lambda params: torch.optim.AdamW(params, lr=0.1, fused=fused)


@pytest.mark.parametrize("optimizer", [sgd, adamw(fused=False), adamw(fused=True)])
def test_an_overflow_skips_the_update_and_halves_the_scale(tiny_run, hook_recorder, optimizer):
    class Weights:
        role = "observer"

        @hookimpl
        def on_step_start(self, run):
            seen.append(run.model[0].weight.detach().clone())

    seen = []
    overflow = Overflow(at=1)
    result = tiny_run(
        [overflow, Weights(), hook_recorder], precision="fp16-mixed", epochs=1, steps=4, optimizer=optimizer
    )
    assert (result.step, result.samples) == (3, 24)
    assert overflow.scales == [SCALE / 2]
    assert hook_recorder.count("on_optimizer_step_skipped") == 1
    assert hook_recorder.count("on_optimizer_step_end") == hook_recorder.count("on_step_end") == 3
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], seen[2])
    assert not torch.equal(seen[2], seen[3])
    assert torch.isfinite(weights(result)).all()


def test_an_update_counts_when_one_of_several_optimizers_made_it(tiny_run):
    class Half:
        @hookimpl
        def on_backward_end(self, run):
            run.model[0].weight.grad.fill_(float("inf"))

    def pair(params):
        return [sgd(params[:2]), sgd(params[2:])]

    result = tiny_run([Half()], precision="fp16-mixed", epochs=1, steps=2, optimizer=pair)
    assert result.step == 2
    assert result.state["plugins"]["engine:loss-scaling"]["state"]["scale"] == SCALE / 4


class Ready:
    """Notes the gradients as every plugin sees them, also one that asks to be first."""

    role = "observer"

    def __init__(self):
        self.norms = []
        self.scaled = []

    @staticmethod
    def norm(run):
        return torch.cat([each.grad.flatten() for each in run.model.parameters()]).norm().item()

    @hookimpl
    def on_backward_end(self, run):
        self.scaled.append(self.norm(run))

    @hookimpl(tryfirst=True)
    def on_gradients_ready(self, run):
        self.norms.append(self.norm(run))


def test_gradients_are_scaled_during_backward_and_seen_without_the_scale(tiny_run):
    plain, mixed = Ready(), Ready()
    tiny_run([plain], epochs=1)
    tiny_run([mixed], precision="fp16-mixed", epochs=1)
    assert mixed.norms == pytest.approx(plain.norms, rel=0.02)
    assert mixed.scaled == pytest.approx([SCALE * each for each in mixed.norms])


def test_the_loss_is_logged_and_shown_without_the_scale(tiny_run):
    plain, mixed = tiny_run(epochs=1), tiny_run(precision="fp16-mixed", epochs=1)
    assert mixed.metrics["train/loss"] == pytest.approx(plain.metrics["train/loss"], rel=0.01)


def test_clipping_goes_by_gradients_without_the_scale(tiny_run):
    plain, mixed = (
        tiny_run(precision=each, clip_grad_norm=0.1, epochs=1, steps=1).metrics for each in ("fp32", "fp16-mixed")
    )
    assert mixed["train/grad_norm"] == pytest.approx(plain["train/grad_norm"], rel=0.02)


@pytest.mark.parametrize("hook", ["on_step_start", "on_gradients_ready", "on_optimizer_step_start"])
def test_an_update_that_a_plugin_drops_leaves_the_scaler_in_order(tiny_run, hook):
    def drop(self, run):
        if run.batch_index < 2:
            raise SkipStep

    drop.__name__ = hook
    plugin = type("Drop", (), {hook: hookimpl(drop)})()
    result = tiny_run([plugin], precision="fp16-mixed", epochs=1, steps=4)
    assert result.step == (2 if hook == "on_step_start" else 3)
    state = result.state["plugins"]["engine:loss-scaling"]["state"]
    assert (state["scale"], state["_growth_tracker"]) == (SCALE, 2 if hook == "on_step_start" else 4)


def test_a_plugin_that_replaces_backward_wins_and_its_gradients_are_taken_as_they_are(tiny_run):
    class Own:
        @hookimpl
        def run_backward(self, loss):
            loss.backward()
            return True

    ready = Ready()
    result = tiny_run([Own(), ready], precision="fp16-mixed", epochs=1)
    assert ready.scaled == ready.norms
    assert result.step == 3
    plain = tiny_run(precision="fp16-mixed", epochs=1)
    assert torch.allclose(weights(result), weights(plain), atol=1e-3)


def test_a_plugin_that_replaces_the_optimizer_step_wins_with_gradients_without_the_scale(tiny_run):
    class Own:
        @hookimpl
        def run_optimizer_step(self, run):
            for optimizer in run.optimizers:
                optimizer.step()
            return True

    result = tiny_run([Own()], precision="fp16-mixed", epochs=2)
    plain = tiny_run(precision="fp16-mixed", epochs=2)
    assert torch.equal(weights(result), weights(plain))
    assert result.state["plugins"]["engine:loss-scaling"] == plain.state["plugins"]["engine:loss-scaling"]


def test_the_scale_is_part_of_the_state_and_comes_back(tiny_run):
    half = tiny_run([Overflow()], precision="fp16-mixed", epochs=1)
    saved = half.state["plugins"]["engine:loss-scaling"]["state"]
    assert (saved["scale"], saved["_growth_tracker"]) == (SCALE / 2, 2)

    class First:
        @hookimpl
        def on_ready(self, run):
            # In on_ready the state is back already.
            seen.append(scaling(run))

    seen = []
    rest = tiny_run([First()], precision="fp16-mixed", epochs=2, resume=half.state)
    assert seen == [SCALE / 2]
    assert rest.state["plugins"]["engine:loss-scaling"]["state"]["_growth_tracker"] == 5


def test_a_resumed_run_equals_one_that_went_through(tiny_run):
    whole = tiny_run(precision="fp16-mixed", epochs=3)
    half = tiny_run(precision="fp16-mixed", epochs=1)
    rest = tiny_run(precision="fp16-mixed", epochs=3, resume=half.state)
    assert torch.equal(weights(whole), weights(rest))


def test_scaling_leaves_evaluation_alone(tiny_run):
    result = tiny_run(precision="fp16-mixed", commands=("validate",))
    assert result.metrics["val/loss"] == pytest.approx(tiny_run(commands=("validate",)).metrics["val/loss"], rel=0.01)


def test_other_losses_than_the_tasks_work_in_mixed_precision(tiny_run):
    def half(output, target):
        types.add(output.dtype)
        return cross_entropy(output, target)

    types = set()
    assert tiny_run(loss=half, precision="bf16-mixed", epochs=1).outcome == "completed"
    assert types == {torch.bfloat16}

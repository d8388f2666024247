import pytest
import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from hookloop import hookimpl
from hookloop.testing import tiny_task


class Looking:
    """Keeps the gradients of the first step, before and after the engine clips them."""

    role = "observer"

    def __init__(self):
        self.ready = self.used = None

    def gradients(self, run):
        return [parameter.grad.clone() for parameter in run.model.parameters() if parameter.grad is not None]

    @hookimpl
    def on_gradients_ready(self, run):
        self.ready = self.ready or self.gradients(run)

    @hookimpl
    def on_optimizer_step_start(self, run):
        self.used = self.used or self.gradients(run)


def with_gradients(gradients):
    parameters = [torch.nn.Parameter(torch.zeros_like(each)) for each in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    return parameters


def same(one, other):
    return len(one) == len(other) and all(map(torch.equal, one, other))


@pytest.mark.parametrize(
    ("options", "clip"),
    [
        ({"clip_grad_norm": 0.1}, [lambda parameters: clip_grad_norm_(parameters, 0.1)]),
        ({"clip_grad_norm": 1e9}, [lambda parameters: clip_grad_norm_(parameters, 1e9)]),
        ({"clip_grad_value": 0.05}, [lambda parameters: clip_grad_value_(parameters, 0.05)]),
        (
            {"clip_grad_norm": 0.3, "clip_grad_value": 0.05},
            [
                lambda parameters: clip_grad_norm_(parameters, 0.3),
                lambda parameters: clip_grad_value_(parameters, 0.05),
            ],
        ),
    ],
)
def test_gradients_are_clipped_as_torch_does_it_after_everyone_saw_them(tiny_run, options, clip):
    plain, clipped = Looking(), Looking()
    tiny_run([plain], epochs=1, steps=1)
    tiny_run([clipped], epochs=1, steps=1, **options)
    assert same(plain.ready, plain.used)
    assert same(clipped.ready, plain.ready)
    expected = with_gradients(plain.ready)
    for each in clip:
        each(expected)
    assert same(clipped.used, [parameter.grad for parameter in expected])


def test_a_plugin_that_asks_to_be_last_sees_gradients_before_they_are_clipped(tiny_run):
    class Last:
        @hookimpl(trylast=True)
        def on_gradients_ready(self, run):
            for parameter in run.model.parameters():
                parameter.grad.fill_(100.0)

    looking = Looking()
    tiny_run([Last(), looking], epochs=1, steps=1, clip_grad_value=1.0)
    assert {each.item() for gradient in looking.used for each in gradient.flatten()} == {1.0}


def test_the_norm_before_clipping_is_logged(tiny_run):
    looking = Looking()
    result = tiny_run([looking], epochs=1, steps=1, clip_grad_norm=0.1)
    norm = torch.stack([gradient.norm() for gradient in looking.ready]).norm()
    assert result.metrics["train/grad_norm"] == pytest.approx(norm.item())
    assert norm > 0.1


def test_clipping_by_value_logs_no_norm(tiny_run):
    assert "train/grad_norm" not in tiny_run(epochs=1, steps=1, clip_grad_value=0.1).metrics


def test_the_norm_is_that_of_all_optimizers_together(tiny_run):
    def pair(params):
        return [torch.optim.SGD(params[:2], lr=0.1), torch.optim.SGD(params[2:], lr=0.1)]

    alone, together = Looking(), Looking()
    tiny_run([alone], epochs=1, steps=1, clip_grad_norm=0.1)
    tiny_run([together], epochs=1, steps=1, clip_grad_norm=0.1, optimizer=pair)
    assert same(together.used, alone.used)


def test_only_gradients_that_are_used_count(tiny_run):
    def frozen():
        task = tiny_task(1)
        task.model[0].requires_grad_(False)
        return task

    looking = Looking()
    result = tiny_run([looking], task=frozen, epochs=1, clip_grad_norm=0.1)
    norm = torch.stack([gradient.norm() for gradient in looking.ready]).norm()
    assert len(looking.ready) == 2
    assert result.metrics["train/grad_norm"] == pytest.approx(norm.item())


def test_accumulated_gradients_are_clipped_once_an_update(tiny_run):
    looking = Looking()
    result = tiny_run([looking], epochs=1, steps=2, accumulate=3, clip_grad_norm=0.1, log_every="1 step")
    assert [row["step"] for row in result.history if "train/grad_norm" in row] == [1, 2]
    assert torch.stack([gradient.norm() for gradient in looking.used]).norm() == pytest.approx(0.1, rel=1e-4)

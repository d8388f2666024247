"""Parameters that are left alone, and then not any more."""

import pytest
import torch

from hookloop import PluginHookError, SupervisedTask


def task():
    torch.manual_seed(5)
    batches = [(torch.randn(6, 4), torch.randint(3, (6,))) for _ in range(3)]
    body = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8))
    model = torch.nn.Sequential()
    model.add_module("body", body)
    model.add_module("norm", torch.nn.BatchNorm1d(8))
    model.add_module("head", torch.nn.Linear(8, 3))
    return SupervisedTask(model=model, train=batches, val=batches)


def adamw(params):
    return torch.optim.AdamW(params, lr=0.01, weight_decay=0.1)


@pytest.fixture
def weights(acting):
    """A plugin that keeps the weights after each step, by its number; 0 is before the first."""
    kept = {}

    def keep(run):
        kept[run.step] = {name: value.clone() for name, value in run.model.state_dict().items()}

    plugins = [("before", acting("on_fit_start", keep)), ("after", acting("on_step_end", keep))]
    return plugins, kept


def changed(first, second):
    return {name for name, value in first.items() if not torch.equal(value, second[name]) and "num_batches" not in name}


BODY = {"body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias", "body.1.running_mean", "body.1.running_var"}
OTHERS = {"norm.weight", "norm.bias", "norm.running_mean", "norm.running_var", "head.weight", "head.bias"}


def test_what_is_frozen_keeps_every_bit_statistics_and_weight_decay_included(tiny_run, weights):
    plugins, kept = weights
    tiny_run([("freeze", {"parameters": ["body"]}), *plugins], task=task, optimizer=adamw)
    assert changed(kept[0], kept[6]) == OTHERS


def test_statistics_may_go_on(tiny_run, weights):
    plugins, kept = weights
    tiny_run([("freeze", {"parameters": ["body.*"], "statistics": False}), *plugins], task=task)
    assert changed(kept[0], kept[6]) == OTHERS | {"body.1.running_mean", "body.1.running_var"}


@pytest.mark.parametrize(("until", "step"), [("1 epoch", 3), ("4 steps", 4)])
def test_it_is_trained_again_when_it_is_time(tiny_run, weights, until, step):
    plugins, kept = weights
    tiny_run([("freeze", {"parameters": ["body"], "until": until}), *plugins], task=task, optimizer=adamw)
    assert changed(kept[0], kept[step]) == OTHERS
    assert changed(kept[step], kept[step + 1]) == OTHERS | BODY


def test_the_optimizer_has_no_state_for_what_it_has_not_trained(tiny_run):
    result = tiny_run([("freeze", {"parameters": ["body"], "until": "4 steps"})], task=task, optimizer=adamw)
    steps = {number: int(each["step"]) for number, each in result.state["optimizers"][0]["state"].items()}
    assert steps == {0: 2, 1: 2, 2: 2, 3: 2, 4: 6, 5: 6, 6: 6, 7: 6}
    frozen = tiny_run([("freeze", {"parameters": ["body"]})], task=task, optimizer=adamw)
    assert list(frozen.state["optimizers"][0]["state"]) == [4, 5, 6, 7]


@pytest.mark.parametrize("until", ["1 epoch", "2 epochs", "4 steps", "8 steps"])
@pytest.mark.parametrize("stopped_after", [1, 2])
def test_a_resume_is_exact_before_at_and_after_the_thaw(tiny_run, until, stopped_after):
    plugins = [("freeze", {"parameters": ["body"], "until": until})]
    run = {"task": task, "optimizer": adamw}
    whole = tiny_run(plugins, epochs=3, **run)
    begun = tiny_run(plugins, epochs=stopped_after, **run)
    rest = tiny_run(plugins, epochs=3, resume=begun.state, **run)
    assert not changed(whole.state["model"], rest.state["model"])
    for number, each in whole.state["optimizers"][0]["state"].items():
        assert torch.equal(each["exp_avg"], rest.state["optimizers"][0]["state"][number]["exp_avg"])


def test_several_instances_thaw_one_after_the_other(tiny_run, weights):
    plugins, kept = weights
    outer = ("outer", {"use": "freeze", "parameters": ["body"], "until": "2 steps"})
    inner = ("inner", {"use": "freeze", "parameters": ["body.0"], "until": "4 steps"})
    tiny_run([outer, inner, *plugins], task=task, optimizer=adamw)
    assert changed(kept[0], kept[2]) == OTHERS
    assert changed(kept[2], kept[4]) == OTHERS | {each for each in BODY if each.startswith("body.1")}
    assert changed(kept[4], kept[5]) == OTHERS | BODY


def test_what_the_model_itself_froze_stays_frozen(tiny_run, weights):
    plugins, kept = weights

    def own():
        made = task()
        made.model.body[0].bias.requires_grad_(False)
        return made

    tiny_run([("freeze", {"parameters": ["body"], "until": "2 steps"}), *plugins], task=own)
    assert "body.0.bias" not in changed(kept[0], kept[6])
    assert "body.0.weight" in changed(kept[2], kept[6])


def test_afterwards_the_model_is_as_it_was_given(tiny_run):
    made = task()
    tiny_run([("freeze", {"parameters": ["body"]})], task=made)
    assert all(each.requires_grad for each in made.model.parameters())
    assert all(each.training for each in made.model.modules())


def test_validation_leaves_what_is_frozen_in_evaluation_mode(tiny_run, acting):
    modes = []
    watch = acting("on_step_end", lambda run: modes.append([run.model.body[1].training, run.model.norm.training]))
    tiny_run([("freeze", {"parameters": ["body"]}), ("watch", watch)], task=task, validate_every="1 step")
    assert modes == [[False, True]] * 6


def test_in_several_processes_gradients_are_computed_and_dropped(tiny_run, weights, acting):
    """DistributedDataParallel waits for the gradient of every parameter that it was given."""
    plugins, kept = weights
    several = acting("on_fit_start", lambda run: setattr(run, "world_size", 2), tryfirst=True)
    several = type(several)()
    type(several).before = ("freeze",)
    wanted = []
    watch = acting("on_backward_end", lambda run: wanted.append(run.model.body[0].weight.grad is not None))
    freeze = ("freeze", {"parameters": ["body"], "until": "3 steps"})
    tiny_run([freeze, ("several", several), ("watch", watch), *plugins], task=task, optimizer=adamw)
    assert all(wanted)
    assert changed(kept[0], kept[3]) == OTHERS
    assert changed(kept[3], kept[4]) == OTHERS | BODY


def test_a_pattern_that_means_nothing_is_an_error(tiny_run):
    with pytest.raises(PluginHookError, match=r"no parameter is called like 'bdy'\. There are: body\.0\.weight"):
        tiny_run([("freeze", {"parameters": ["bdy"]})], task=task)


def test_freezing_everything_is_an_error(tiny_run):
    with pytest.raises(PluginHookError, match="freezes the whole model"):
        tiny_run([("freeze", {"parameters": ["*"]})], task=task)

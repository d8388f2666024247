import pytest
import torch
from torch.nn.functional import cross_entropy

from hookloop import ConfigError, PluginConfigError, PluginHookError, SupervisedTask, Task, hookimpl
from hookloop.build import find_device, is_itself
from hookloop.components import read_component
from hookloop.config import ConfigTree
from hookloop.testing import tiny_task

OWN = """\
import torch
from torch.nn.functional import cross_entropy
from hookloop import SupervisedTask
from hookloop.testing import tiny_task

def build(batches=2):
    return tiny_task(batches)

def number():
    return 3

def broken():
    return len(5)

def without_model():
    return SupervisedTask(None)

def scaled(output, target, factor=1.0):
    return factor * cross_entropy(output, target)

def make_scaled(factor):
    return lambda output, target: factor * cross_entropy(output, target)

def make_plain():
    return cross_entropy

class Scaled(torch.nn.Module):
    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = factor

    def forward(self, output, target):
        return self.factor * cross_entropy(output, target)
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


@pytest.fixture
def error(tiny_run):
    """A function that trains the tiny task with something wrong and returns what the error says."""

    def train(plugins=(), **keywords):
        with pytest.raises(ConfigError) as caught:
            tiny_run(plugins, **keywords)
        return str(caught.value)

    return train


# offers


def provider(name="Provider", **hooks):
    """Return a provider whose hooks give these mappings."""

    def giving(mapping):
        return lambda self: mapping

    methods = {hook: giving(mapping) for hook, mapping in hooks.items()}
    for hook, method in methods.items():
        method.__name__ = hook
    return type(name, (), {"role": "provider", **{hook: hookimpl(each) for hook, each in methods.items()}})()


def test_a_plugin_replaces_what_the_engine_offers(tiny_run):
    plugin = provider(provide_losses={"cross_entropy": lambda: lambda output, target: 0 * output.sum()})
    assert tiny_run([plugin], loss="cross_entropy", epochs=1).metrics["train/loss"] == 0.0


def test_two_plugins_that_offer_the_same_name_are_an_error_that_names_both(error):
    first, second = (provider(name, provide_losses={"mine": lambda: cross_entropy}) for name in ("First", "Second"))
    text = error([first, second], loss="mine")
    assert text.startswith("provide_losses: 'mine' is offered by 'first' (")
    assert ") and 'second' (" in text
    assert text.endswith("); switch one off with -p no:…")


def test_a_plugin_may_offer_nothing(tiny_run):
    assert tiny_run([provider(provide_losses=None)], loss="cross_entropy", epochs=1).outcome == "completed"


def test_what_cannot_offer_is_named(tiny_run):
    class Broken:
        @hookimpl
        def provide_losses(self, run):
            raise RuntimeError("no licence")

    with pytest.raises(PluginHookError, match=r"plugin 'broken' .* provide_losses failed .* RuntimeError: no licence"):
        tiny_run([Broken()], loss="mse")


def test_what_is_offered_cannot_be_wrapped(tiny_run):
    class Wrapper:
        @hookimpl(wrapper=True)
        def provide_losses(self):
            return (yield)

    with pytest.raises(PluginConfigError, match="provide_losses cannot be wrapped; return a mapping of names"):
        tiny_run([Wrapper()], loss="mse")


# the device


@pytest.mark.parametrize("name", ["cpu", "meta"])
def test_a_device_is_found_by_its_name(name):
    assert find_device(name, 0) == torch.device(name)


def test_the_automatic_device_is_the_accelerator_or_else_the_cpu():
    kind = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    assert find_device("auto", 0) == (torch.device(kind.type, 0) if kind else torch.device("cpu"))


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cuda:99"])
def test_a_device_that_is_not_there_says_what_is(name, error):
    text = error(device=name)
    assert text.startswith(f'run.device: "{name}" cannot be used: ')
    assert text.endswith('. Use "auto" or "cpu".')
    assert len(text.splitlines()) == 1


# the task


def test_a_task_is_made_by_the_users_own_file(tiny_run, own):
    assert tiny_run(task=f"{own}:build", epochs=1).step == 2


def test_a_task_that_is_given_ready_is_taken_as_it_is(tiny_run):
    task = tiny_task()
    before = task.model[0].weight.clone()
    tiny_run(task=task, epochs=1)
    assert not torch.equal(task.model[0].weight, before)


def test_a_task_is_offered_by_a_plugin_and_takes_options(tiny_run):
    plugin = provider(provide_tasks={"tiny": tiny_task})
    assert tiny_run([plugin], task="tiny", epochs=1).step == 3


def test_what_makes_no_task_is_an_error(error, own):
    assert error(task=f"{own}:number") == (
        f"Engine(...): task.use: '{own}:number' made an object of type int; it must return a hookloop.Task."
    )
    assert error(task=lambda: None).endswith("<lambda> made None; it must return a hookloop.Task.")


def test_a_task_without_a_model_is_an_error_however_it_was_given(error, own):
    class Empty(Task):
        pass

    said = "has no model: set self.model to a torch.nn.Module."
    assert error(task=Empty()).endswith(f"Empty {said}")
    assert error(task=Empty).endswith(f"Empty {said}")
    assert error(task=f"{own}:without_model").endswith(f"SupervisedTask {said}")


def test_a_model_alone_is_no_task(error):
    text = error(task=torch.nn.Linear(4, 3))
    assert text.endswith("a model is no task yet: give it data with hookloop.SupervisedTask(model, train=...).")


@pytest.mark.parametrize(
    ("task", "kind", "said"),
    [
        ("own.py:broken", TypeError, "has no len"),
        (lambda: int("nine"), ValueError, "invalid literal"),
    ],
)
def test_an_error_in_the_users_task_is_left_as_it_is(tiny_run, own, monkeypatch, task, kind, said):
    monkeypatch.chdir(own.parent)
    with pytest.raises(kind, match=said) as caught:
        tiny_run(task=task)
    assert not isinstance(caught.value, ConfigError)


# the loss


@pytest.mark.parametrize("use", ["scaled", "make_plain", "Scaled"])
def test_a_loss_of_ones_own_is_a_function_a_factory_or_a_class(tiny_run, own, use):
    plain = tiny_run(epochs=1)
    assert tiny_run(loss=f"{own}:{use}", epochs=1).metrics == plain.metrics


@pytest.mark.parametrize("use", ["scaled", "make_scaled", "Scaled"])
def test_a_loss_of_ones_own_takes_options(tiny_run, own, use):
    plain = tiny_run(epochs=1, steps=1)
    tripled = tiny_run(loss=(f"{own}:{use}", {"factor": 3.0}), epochs=1, steps=1)
    assert tripled.metrics["train/loss"] == pytest.approx(3 * plain.metrics["train/loss"])


@pytest.mark.parametrize(
    "loss", [cross_entropy, torch.nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss, lambda output, target: output.sum()]
)
def test_a_loss_may_be_a_function_a_module_or_its_class(tiny_run, loss):
    assert tiny_run(loss=loss, epochs=1).outcome == "completed"


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (("cross_entropy", {"label_smoothin": 0.1}), "loss.label_smoothin: unknown option. Did you mean 'label_smooth"),
        (("own.py:scaled", {"facter": 2}), "loss.facter: unknown option. Did you mean 'factor'? It takes: factor."),
        ("own.py:make_scaled", "loss.use: needs the option 'factor'."),
        (lambda: 3, "made an object of type int; a loss is called with (output, target)."),
        ("cross_entropi", "there is no loss 'cross_entropi'. Did you mean 'cross_entropy'?"),
    ],
)
def test_a_wrong_loss_is_an_error_before_training(error, own, monkeypatch, loss, said):
    monkeypatch.chdir(own.parent)
    assert said in error(loss=loss)


def from_python(use, **options):
    component = read_component(ConfigTree.from_python({"loss": {"use": use, **options}}), ("loss",))
    assert component is not None
    return component


@pytest.mark.parametrize(
    ("function", "options", "itself"),
    [
        (lambda output, target: 0, {}, True),
        (lambda output, target, gamma: 0, {"gamma": 1}, True),
        (lambda output, target, *, gamma=2: 0, {}, True),
        (lambda *both: 0, {}, True),
        (torch.dist, {}, True),
        (cross_entropy, {"label_smoothing": 0.1}, True),
        (lambda gamma, alpha: 0, {"gamma": 1, "alpha": 2}, False),
        (lambda gamma=2, alpha=1: 0, {}, False),
        (lambda gamma: 0, {}, False),
        (lambda *, gamma, alpha: 0, {}, False),
        (lambda: 0, {}, False),
        (torch.nn.MSELoss, {}, False),
    ],
)
def test_a_function_that_wants_two_more_values_is_the_thing_itself(function, options, itself):
    assert is_itself(from_python(function, **options), function) is itself


def test_what_a_plugin_offers_always_makes_the_thing():
    assert not is_itself(from_python("offered"), cross_entropy)


# the optimizers


@pytest.mark.parametrize(
    "optimizer",
    [
        "sgd",
        "AdamW",
        ("adamw", {"lr": 1e-3, "betas": [0.9, 0.95], "weight_decay": 0.1}),
        torch.optim.SGD,
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
        "torch.optim:RMSprop",
        lambda params: torch.optim.SGD(params, lr=0.1),
        lambda params: [torch.optim.SGD(params[:2], lr=0.1), torch.optim.AdamW(params[2:])],
    ],
)
def test_an_optimizer_is_a_name_a_class_or_a_function(tiny_run, optimizer):
    result = tiny_run(optimizer=optimizer, epochs=1)
    fresh = tiny_run(optimizer=("sgd", {"lr": 0.0}), epochs=1)
    assert not torch.equal(result.state["model"]["0.weight"], fresh.state["model"]["0.weight"])


def test_only_parameters_that_learn_are_optimized(tiny_run):
    def frozen():
        task = tiny_task()
        task.model[0].weight.requires_grad_(False)
        return task

    result = tiny_run(task=frozen, optimizer="sgd", epochs=1)
    assert len(result.state["optimizers"][0]["param_groups"][0]["params"]) == 3


def all_frozen():
    task = tiny_task()
    task.model.requires_grad_(False)
    return task


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (("sgd", {"lr": -1}), "optimizer.use: 'sgd' refuses its options: Invalid learning rate: -1"),
        (("adamw", {"lr": -1}), "optimizer.use: 'adamw' refuses its options: Invalid learning rate: -1"),
        (("sgd", {"nesterov": True}), "'sgd' refuses its options: Nesterov momentum requires a momentum and zero damp"),
        (("adamw", {"wieght_decay": 0.1}), "optimizer.wieght_decay: unknown option. Did you mean 'weight_decay'?"),
        (("adamw", {"params": 1}), "optimizer.params: unknown option."),
        ("adamm", "there is no optimizer 'adamm'. Did you mean 'adam'?"),
        ("lbfgs", "there is no optimizer 'lbfgs'."),
        (None, 'there is no optimizer: write [optimizer] and use = "adamw", or override SupervisedTask.optimizers.'),
        (lambda params: None, "gave None; it must give one or several torch.optim.Optimizer."),
        (lambda params: [], "gave nothing; it must give one or several torch.optim.Optimizer."),
        (lambda params: [3], "gave an object of type int; it must give one or several torch.optim.Optimizer."),
    ],
)
def test_a_wrong_optimizer_is_an_error_before_training(error, optimizer, said):
    assert said in error(optimizer=optimizer)


def test_a_model_that_cannot_learn_is_an_error(error):
    text = error(task=all_frozen, optimizer="sgd")
    assert text == "Engine(...): optimizer.use: Sequential has no parameter that requires a gradient."


class Own(SupervisedTask):
    def __init__(self, made):
        tiny = tiny_task()
        super().__init__(tiny.model, tiny.train_loader())
        self.made = made

    def optimizers(self):
        return self.made(self.model.parameters())


def test_a_tasks_own_optimizer_needs_no_configuration(tiny_run):
    made = lambda params: torch.optim.SGD(params, lr=0.1)  # noqa: E731
    assert tiny_run(task=lambda: Own(made), optimizer=None, epochs=1).step == 3


def test_a_tasks_own_optimizer_and_a_configured_one_are_too_many(error):
    text = error(task=lambda: Own(torch.optim.SGD), optimizer="sgd")
    assert text == "Engine(...): optimizer.use: Own makes its own optimizers; take [optimizer] out."


def test_a_task_that_makes_no_optimizers_is_an_error(error):
    text = error(task=lambda: Own(lambda params: "adam"), optimizer=None)
    assert text == "Own.optimizers gave an object of type str; it must give one or several torch.optim.Optimizer."


# the loaders


@pytest.mark.parametrize("loader", [3, print])
def test_a_loader_that_cannot_be_walked_is_an_error(error, loader):
    task = SupervisedTask(tiny_task().model, train=loader)
    text = error(task=task)
    assert text.startswith("SupervisedTask.train_loader gave ")
    assert "not iterable" in text


def test_a_loader_may_be_anything_with_a_length_and_places(tiny_run):
    class Indexed:
        def __len__(self):
            return 2

        def __getitem__(self, index):
            if index >= 2:
                raise IndexError
            return tiny_task().train_loader()[index]

    assert tiny_run(task=lambda: SupervisedTask(tiny_task().model, train=Indexed()), epochs=1).step == 2


def test_a_task_without_training_data_says_so(error):
    text = error(task=SupervisedTask(tiny_task().model))
    assert text.startswith("SupervisedTask has no data to train: train_loader gave None")

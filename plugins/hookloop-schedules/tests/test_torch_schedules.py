"""torch's own schedulers by name, through whole runs: each the very sequence of torch, also when resumed."""

import copy

import pytest
import torch
from torch.optim import lr_scheduler

from hookloop import ConfigError, hookimpl
from hookloop_schedules.torchs import torch_schedules

EPOCHS, STEPS = 4, 5
COUNT = EPOCHS * STEPS


def halve(count):
    return 0.5**count


def shrink(count):
    return 0.9


def fade(count):
    return 0.99**count


HERE = f"{__file__}:"

# name -> options in a file, and the same for torch where they differ
CASES = {
    "LambdaLR": ({"lr_lambda": HERE + "halve"}, lambda o: lr_scheduler.LambdaLR(o, halve)),
    "MultiplicativeLR": ({"lr_lambda": HERE + "shrink"}, lambda o: lr_scheduler.MultiplicativeLR(o, shrink)),
    "StepLR": ({"step_size": 3, "gamma": 0.3}, None),
    "MultiStepLR": ({"milestones": [2, 3, 9], "gamma": 0.3}, None),
    "ConstantLR": ({"factor": 0.25, "total_iters": 4}, None),
    "LinearLR": ({"start_factor": 0.2, "total_iters": 7}, None),
    "ExponentialLR": ({"gamma": 0.93}, None),
    "PolynomialLR": ({"total_iters": 11, "power": 2.0}, None),
    "CosineAnnealingLR": ({"T_max": 9, "eta_min": 0.001}, None),
    "CosineAnnealingWarmRestarts": ({"T_0": 3, "T_mult": 2}, None),
    "CyclicLR": ({"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 4, "mode": "triangular2"}, None),
    "OneCycleLR": ({"max_lr": 0.3, "total_steps": COUNT + 1}, None),
    "SequentialLR": (
        {
            "schedulers": [
                {"use": "LinearLR", "start_factor": 0.1, "total_iters": 3},
                {"use": "StepLR", "step_size": 4},
            ],
            "milestones": [3],
        },
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o, 0.1, total_iters=3), lr_scheduler.StepLR(o, 4)], [3]
        ),
    ),
    "ChainedScheduler": (
        {"schedulers": [{"use": "ConstantLR", "factor": 0.5, "total_iters": 3}, {"use": "ExponentialLR", "gamma": 0.9}]
        },
        lambda o: lr_scheduler.ChainedScheduler(
            [lr_scheduler.ConstantLR(o, 0.5, 3), lr_scheduler.ExponentialLR(o, 0.9)]
        ),
    ),
}  # fmt: skip


def grouped(params):
    """Two optimizers, the first with two groups."""
    first, second, *others = params
    groups = [{"params": [first], "lr": 0.1}, {"params": [second], "lr": 0.05}]
    return [torch.optim.SGD(groups, lr=0.1, momentum=0.9), torch.optim.SGD(others, lr=0.02, momentum=0.9)]


class Rates:
    """Notes what the optimizers hold before each step and at the end, momentum with it."""

    role = "observer"

    def __init__(self):
        self.seen = []

    def note(self, run):
        groups = [group for optimizer in run.optimizers for group in optimizer.param_groups]
        self.seen.append([(float(group["lr"]), group["momentum"]) for group in groups])

    @hookimpl
    def on_step_start(self, run):
        self.note(run)

    @hookimpl
    def on_fit_end(self, run):
        self.note(run)


class Keeper:
    """Keeps the whole state at a step, as a checkpoint would."""

    role = "observer"

    def __init__(self, step):
        self.step = step
        self.state = None

    @hookimpl
    def persist(self, run):
        if run.step == self.step and self.state is None:
            from hookloop.snapshots import take

            self.state = copy.deepcopy(take(run))


def torchs_own(make, count):
    """Return what torch's own loop gives, with the same optimizers."""
    optimizers = grouped([torch.nn.Parameter(torch.ones(2)) for _ in range(4)])
    schedulers = [make(each) for each in optimizers]
    seen = Rates()
    for _ in range(count):
        seen.note(type("Run", (), {"optimizers": optimizers}))
        for optimizer, scheduler in zip(optimizers, schedulers, strict=True):
            optimizer.step()
            scheduler.step()
    seen.note(type("Run", (), {"optimizers": optimizers}))
    return seen.seen


def test_every_class_of_torch_is_offered_and_tried_here():
    assert {*CASES, "ReduceLROnPlateau"} == {*torch_schedules()}


@pytest.mark.parametrize("name", CASES)
def test_it_is_torchs_own_sequence_for_every_group_and_goes_on_when_resumed(tiny_run, name):
    options, make = CASES[name]
    make = make or (lambda optimizer: getattr(lr_scheduler, name)(optimizer, **options))
    whole, rest, keeper = Rates(), Rates(), Keeper(7)
    settings = {"optimizer": grouped, "epochs": EPOCHS, "steps": STEPS}
    schedule = (name, {**options, "unit": "step"})
    first = tiny_run(["schedules", whole, keeper], schedule=schedule, **settings)
    assert whole.seen == torchs_own(make, COUNT)
    again = tiny_run(["schedules", rest], schedule=schedule, resume=keeper.state, **settings)
    assert rest.seen == whole.seen[7:]
    assert all(torch.equal(first.state["model"][key], again.state["model"][key]) for key in first.state["model"])


def test_by_epoch_it_steps_once_an_epoch(tiny_run):
    seen = Rates()
    tiny_run(["schedules", seen], schedule=("StepLR", {"step_size": 1}), optimizer=grouped, epochs=3, steps=2)
    assert [rates[0][0] for rates in seen.seen] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 0.0001])


def test_names_are_found_in_small_letters_as_well(tiny_run):
    seen = Rates()
    tiny_run(["schedules", seen], schedule=("steplr", {"step_size": 1}), optimizer=grouped, epochs=1, steps=1)
    assert seen.seen[-1][0][0] == pytest.approx(0.01)


def test_a_class_needs_no_plugin_in_python(tiny_run):
    seen = Rates()
    schedule = (lr_scheduler.ExponentialLR, {"gamma": 0.5})
    tiny_run([seen], schedule=schedule, optimizer=grouped, epochs=2, steps=1)
    assert [rates[0][0] for rates in seen.seen] == [0.1, 0.05, 0.025]


def test_changed_options_are_told_because_torchs_state_brings_the_old_ones_back(tiny_run, caplog):
    settings = {"optimizer": grouped, "epochs": 2}
    half = tiny_run(["schedules"], schedule=("StepLR", {"step_size": 3}), **settings)
    with pytest.raises(
        ConfigError, match=r"StepLR had the options .*'step_size': 3.* then and has .*'step_size': 5"
    ) as e:
        tiny_run(["schedules"], schedule=("StepLR", {"step_size": 5}), resume=half.state, **{**settings, "epochs": 3})
    assert "--set run.strict_resume=false" in str(e.value)
    settings |= {"epochs": 3, "strict_resume": False}
    tiny_run(["schedules"], schedule=("StepLR", {"step_size": 5}), resume=half.state, **settings)
    assert "begins anew" in caplog.text


def test_another_scheduler_than_the_states_is_an_error(tiny_run):
    half = tiny_run(["schedules"], schedule=("StepLR", {"step_size": 3}), optimizer=grouped)
    schedule = ("ExponentialLR", {"gamma": 0.5})
    with pytest.raises(ConfigError, match="it is that of StepLR, and the schedule is ExponentialLR now"):
        tiny_run(["schedules"], schedule=schedule, optimizer=grouped, resume=half.state, epochs=3)


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (("StepLR", {}), "needs the option 'step_size'"),
        (("StepLR", {"stepsize": 3}), "unknown option. Did you mean 'step_size'"),
        (("StepLR", {"step_size": 3, "last_epoch": 4}), "unknown option"),
        (("OneCycleLR", {"max_lr": 1.0}), "refuses its options: You must define either total_steps"),
        (("StepLR", {"step_size": 3, "monitor": "val/loss"}), "schedule.monitor: unknown option: 'StepLR' follows no"),
        (("SequentialLR", {"schedulers": ["constant"], "milestones": []}), "schedulers takes schedulers of torch"),
        (("LambdaLR", {"lr_lambda": "nowhere.py:f"}), "there is no file 'nowhere.py'"),
        ((lambda optimizer: 3, {}), "made an object of type int of an optimizer"),
    ],
)
def test_what_torch_refuses_is_a_mistake_in_the_configuration(tiny_run, schedule, said):
    with pytest.raises(ConfigError) as caught:
        tiny_run(["schedules"], schedule=schedule)
    assert said in str(caught.value)


def bad(count):
    raise TypeError("of the user's own")


def test_an_error_in_a_users_lambda_comes_out_as_it_is(tiny_run):
    with pytest.raises(TypeError, match="of the user's own"):
        tiny_run(["schedules"], schedule=("LambdaLR", {"lr_lambda": HERE + "bad"}))


def test_tnts_reduce_on_plateau_gets_its_metric_here(tiny_run):
    """TorchTNT's AutoUnit calls step() without one: TypeError."""
    options = {"factor": 0.5, "patience": 0, "threshold": 1e9, "threshold_mode": "abs"}
    seen = Rates()
    tiny_run(["schedules", seen], schedule=("ReduceLROnPlateau", options), optimizer=grouped, epochs=3, steps=1)
    assert [rates[0][0] for rates in seen.seen] == [0.1, 0.1, 0.05, 0.025]

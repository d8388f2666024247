"""``lr-monitor`` in whole runs: which names, which values, and when."""

import copy

import pytest
import torch

from hookloop import hookimpl
from hookloop.loggers import named_groups


def sgd(params):
    return torch.optim.SGD(params, lr=1.0)


def several(params):
    first, second, third, fourth = params
    groups = [{"params": [first]}, {"params": [second], "name": "head"}, {"params": [third], "lr": 0.25}]
    return [torch.optim.SGD(groups, lr=0.5), torch.optim.SGD([fourth], lr=0.125)]


def rows(result):
    return [
        (row["step"], {name: value for name, value in row.items() if name.startswith("lr/")}) for row in result.history
    ]


HALVING = ("exponential", {"gamma": 0.5, "unit": "step"})


def test_the_rate_at_a_step_is_the_one_that_holds_after_so_many_steps(tiny_run):
    result = tiny_run(["lr-monitor"], schedule=HALVING, optimizer=sgd, epochs=1, steps=3, validate_every="never")
    assert rows(result) == [(1, {"lr/sgd": 0.5}), (2, {"lr/sgd": 0.25}), (3, {"lr/sgd": 0.125})]


def test_it_logs_at_logging_boundaries_only_and_no_mean_over_the_steps_between(tiny_run):
    """TorchTNT's LearningRateMonitor calls its loggers in every step."""
    result = tiny_run(
        ["lr-monitor"], schedule=HALVING, optimizer=sgd, epochs=1, steps=4, log_every="2 steps", validate_every="never"
    )
    assert rows(result) == [(2, {"lr/sgd": 0.25}), (4, {"lr/sgd": 0.0625})]


def test_it_makes_no_row_of_its_own(tiny_run):
    settings = {"schedule": HALVING, "optimizer": sgd, "epochs": 3, "steps": 3}
    without, with_it = tiny_run(**settings), tiny_run(["lr-monitor"], **settings)
    assert [row["step"] for row in with_it.history] == [row["step"] for row in without.history]


def test_every_group_of_every_optimizer_is_there_once(tiny_run):
    """TorchTNT logs each rate a second time for the scheduler, under another name."""
    result = tiny_run(["lr-monitor"], optimizer=several, epochs=1, steps=1)
    rates = {"lr/sgd": 0.5, "lr/sgd/head": 0.5, "lr/sgd/2": 0.25, "lr/sgd-1": 0.125}
    assert rows(result) == [(1, rates), (1, {})]


def test_the_end_of_an_epoch_tells_what_has_changed_and_no_point_twice(tiny_run):
    schedule = ("exponential", {"gamma": 0.5})
    result = tiny_run(["lr-monitor"], schedule=schedule, optimizer=sgd, epochs=2, steps=2)
    wanted = [(1, 1.0), (2, 1.0), (2, 0.5), (3, 0.5), (4, 0.5), (4, 0.25)]
    assert [(step, row["lr/sgd"]) for step, row in rows(result)] == wanted
    same = tiny_run(["lr-monitor"], optimizer=sgd, epochs=2, steps=2)
    assert [step for step, row in rows(same) if row] == [1, 2, 3, 4]


def test_without_a_schedule_the_rates_are_logged_all_the_same(tiny_run):
    assert rows(tiny_run(["lr-monitor"], optimizer=sgd, epochs=1, steps=1))[0] == (1, {"lr/sgd": 1.0})


def test_a_group_that_is_added_while_training_is_logged_from_then_on(tiny_run):
    class Adding:
        role = "actor"

        @hookimpl
        def on_step_end(self, run):
            if run.step == 2:
                run.optimizers[0].add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.5})

    result = tiny_run(["lr-monitor", Adding()], optimizer=sgd, epochs=1, steps=3, validate_every="never")
    one, both = {"lr/sgd": 1.0}, {"lr/sgd": 1.0, "lr/sgd/1": 0.5}
    assert rows(result) == [(1, one), (2, both), (3, both)]


def test_names_stay_when_groups_are_added():
    one = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    before = [name for name, _ in named_groups([one])]
    one.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
    after = [name for name, _ in named_groups([one, one])]
    assert before == ["lr/sgd"]
    assert after == ["lr/sgd", "lr/sgd/1", "lr/sgd-1", "lr/sgd-1/1"]


def test_groups_with_the_same_name_are_told_apart():
    """TorchTNT numbers them by how many there are, so that a name changes when one is added."""
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "name": "head"} for _ in range(3)]
    names = [name for name, _ in named_groups([torch.optim.SGD(groups, lr=1.0)])]
    assert names == ["lr/sgd/head", "lr/sgd/head-1", "lr/sgd/head-2"]


def test_a_rate_that_is_a_tensor_is_logged_as_a_number(tiny_run):
    def adam(params):
        return torch.optim.Adam(params, lr=torch.tensor(0.5), foreach=False)

    result = tiny_run(["lr-monitor"], schedule=HALVING, optimizer=adam, epochs=1, steps=2, validate_every="never")
    assert [row["lr/adam"] for _, row in rows(result)] == [0.25, 0.125]


def test_a_rate_on_a_device_is_handed_over_unread(tiny_run):
    def adam(params):
        return torch.optim.Adam(params, lr=torch.tensor(0.5, device="meta"), foreach=False)

    class Instead:
        @hookimpl
        def run_optimizer_step(self, run):
            return True

    settings = {"optimizer": adam, "device": "meta", "epochs": None, "max_steps": 3, "validate_every": "never"}
    with pytest.raises(Exception, match="meta"):  # at the boundary, where everything is read at once
        tiny_run(["lr-monitor", Instead()], log_every="2 steps", **settings)


class Keeper:
    role = "observer"

    def __init__(self):
        self.states = []

    @hookimpl
    def persist(self, run):
        from hookloop.snapshots import take

        self.states.append(copy.deepcopy(take(run)))


def test_resumed_anywhere_it_logs_what_a_run_that_was_never_stopped_does(tiny_run):
    """TorchTNT's monitor has no state, and no test of a resume."""
    settings = {"schedule": ("exponential", {"gamma": 0.5}), "optimizer": sgd, "epochs": 3, "steps": 2}
    keeper = Keeper()
    whole = rows(tiny_run(["lr-monitor", keeper], **settings))
    for state in keeper.states[::2]:
        rest = rows(tiny_run(["lr-monitor"], resume=state, **settings))
        assert rest == whole[len(whole) - len(rest) :]


def test_the_same_plugin_object_can_watch_two_runs(tiny_run):
    from hookloop_schedules import LrMonitor

    monitor = LrMonitor()
    first, second = (tiny_run([monitor], optimizer=sgd, epochs=1, steps=2) for _ in range(2))
    assert rows(first) == rows(second)

import math

import pytest
import torch

from hookloop import ConfigError, hookimpl
from hookloop.schedules import constant, cosine, decayed, exponential, linear, step
from hookloop.testing import tiny_task
from hookloop.testing.comparison import first_difference


class Rates:
    """Notes the learning rate of every parameter group before each step, and the last one."""

    role = "observer"

    def __init__(self):
        self.seen = []

    def note(self, run):
        self.seen.append([float(group["lr"]) for optimizer in run.optimizers for group in optimizer.param_groups])

    @hookimpl
    def on_step_start(self, run):
        self.note(run)

    @hookimpl
    def on_fit_end(self, run):
        self.note(run)

    @property
    def firsts(self):
        return [rates[0] for rates in self.seen]


def sgd(lr=0.1):
    return lambda params: torch.optim.SGD(params, lr=lr)


@pytest.fixture
def rates(tiny_run):
    """A function that trains with a schedule and returns the learning rate of each step, and the last one."""

    def train(schedule, optimizer=None, **keywords):
        seen = Rates()
        tiny_run([seen], schedule=schedule, optimizer=optimizer or sgd(), **keywords)
        return seen

    return train


@pytest.mark.parametrize(
    ("rate", "lr", "values"),
    [
        (constant(), 0.1, {0: 0.1, 1: 0.1, 1000: 0.1}),
        (step(30), 0.1, {0: 0.1, 1: 0.1, 29: 0.1, 30: 0.01, 59: 0.01, 60: 0.001}),
        (step(30, gamma=0.1), 0.1, {0: 0.1, 30: 0.01, 60: 0.001}),
        (step(2, gamma=0.5), 1.0, {1: 1.0, 2: 0.5, 4: 0.25}),
        (exponential(0.5), 0.8, {0: 0.8, 1: 0.4, 2: 0.2, 3: 0.1}),
        (linear(100, 0.001), 0.1, {0: 0.1, 50: 0.0505, 100: 0.001, 200: 0.001}),
        (linear(4), 1.0, {1: 0.75, 2: 0.5, 4: 0.0}),
        (cosine(100, 0.001), 0.1, {0: 0.1, 50: 0.0505, 100: 0.001, 150: 0.001}),
        (cosine(3), 1.0, {0: 1.0, 1: 0.75, 2: 0.25, 3: 0.0}),
    ],
)
def test_a_schedule_has_its_reference_values(rate, lr, values):
    assert {progress: rate(progress, lr) for progress in values} == pytest.approx(values, abs=1e-15)


@pytest.mark.parametrize("progress", range(12))
@pytest.mark.parametrize(
    ("rate", "torchs"),
    [
        (step(3, 0.5), lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)),
        (exponential(0.9), lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)),
        (cosine(20, 0.01), lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20, 0.01)),
    ],
)
def test_a_schedule_equals_torchs(rate, torchs, progress):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3)
    scheduler = torchs(optimizer)
    for _ in range(progress):
        optimizer.step()
        scheduler.step()
    assert rate(progress, 0.3) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12)


def test_per_step_the_rate_changes_after_each_step(rates):
    seen = rates(("exponential", {"gamma": 0.5, "unit": "step"}), epochs=2, steps=2)
    assert seen.firsts == pytest.approx([0.1, 0.05, 0.025, 0.0125, 0.00625])


def test_per_epoch_the_rate_changes_after_each_epoch(rates):
    seen = rates(("exponential", {"gamma": 0.5}), epochs=2, steps=2)
    assert seen.firsts == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025])


def test_a_period_is_the_length_of_the_run_in_its_unit(rates):
    assert rates(("linear", {"unit": "step"}), epochs=2, steps=2).firsts == pytest.approx([0.1, 0.075, 0.05, 0.025, 0])
    assert rates("linear", epochs=2, steps=2).firsts == pytest.approx([0.1, 0.1, 0.05, 0.05, 0])


def test_a_period_counts_updates_and_not_micro_batches(rates):
    seen = rates(("linear", {"unit": "step"}), epochs=1, steps=2, accumulate=3)
    assert seen.firsts == pytest.approx([0.1, 0.05, 0.0])


def test_a_period_ends_where_the_first_limit_does(rates):
    seen = rates(("linear", {"unit": "step"}), epochs=2, steps=3, max_steps=4)
    assert seen.firsts == pytest.approx([0.1, 0.075, 0.05, 0.025, 0.0])


def test_a_period_that_is_given_counts(rates):
    seen = rates(("cosine", {"unit": "step", "period": 2, "min_lr": 0.01}), epochs=1, steps=3)
    assert seen.firsts == pytest.approx([0.1, 0.055, 0.01, 0.01])


@pytest.mark.parametrize(
    ("unit", "missing"),
    [("step", "max_steps, or max_epochs and a loader with a length,"), ("epoch", "max_epochs")],
)
def test_a_period_that_nobody_can_know_is_an_error(rates, unit, missing):
    with pytest.raises(ConfigError) as caught:
        rates(("cosine", {"unit": unit}), epochs=None, max_seconds=1)
    assert str(caught.value) == (
        f"Engine(...): schedule.use: needs `period`, in {unit}s: it is the run's length by default, and {missing} "
        "is not set."
    )


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (("step", {"step_size": 0}), "'step' refuses its options: step_size must be more than 0, not 0"),
        (("linear", {"period": 0}), "'linear' refuses its options: period must be more than 0, not 0"),
        (("cosine", {"period": -1}), "'cosine' refuses its options: period must be more than 0, not -1"),
        (("cosine", {"period": "10"}), "schedule.use: 'cosine' refuses its options: "),
        (("step", {}), "schedule.use: needs the option 'step_size'."),
        (("exponential", {"gama": 0.5}), "schedule.gama: unknown option. Did you mean 'gamma'? It takes: gamma."),
        (("exponential", {"gamma": 0.5, "unit": "batch"}), "schedule.unit: got 'batch', expected 'step' or 'epoch'."),
        ("cosin", "schedule.use: there is no schedule 'cosin'. Did you mean 'cosine'?"),
        (lambda: 0.1, "made an object of type float; a schedule is called with (progress, lr)."),
        (dict, "builtins:dict made an object of type dict; a schedule is called with (progress, lr)."),
    ],
)
def test_a_wrong_schedule_is_an_error_before_training(rates, schedule, said):
    with pytest.raises(ConfigError) as caught:
        rates(schedule)
    assert said in str(caught.value)


def warmup(t, lr, length=2, *, factor=1.0):
    return lr * factor * min(1.0, (t + 1) / length)


class Halving:
    def __call__(self, t, lr):
        return lr / 2**t


def inverse(power):
    return lambda t, lr: lr / (t + 1) ** power


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        (lambda t, lr: lr / (t + 1), [0.1, 0.05, 0.1 / 3]),
        (warmup, [0.05, 0.1, 0.1]),
        ((warmup, {"length": 4}), [0.025, 0.05, 0.075]),
        ((warmup, {"factor": 2.0, "unit": "epoch"}), [0.1, 0.2, 0.2]),
        (Halving(), [0.1, 0.05, 0.025]),
        (Halving, [0.1, 0.05, 0.025]),
        ((inverse, {"power": 2}), [0.1, 0.025, 0.1 / 9]),
    ],
)
def test_a_schedule_of_ones_own_is_a_function_or_makes_one(rates, schedule, wanted):
    assert rates(schedule, epochs=2, steps=1).firsts == pytest.approx(wanted)


def test_an_own_schedule_may_ask_for_the_period_too(rates):
    def down(t, lr, period):
        return lr * (1 - t / period)

    assert rates((down, {"unit": "step"}), epochs=1, steps=2).firsts == pytest.approx([0.1, 0.05, 0.0])


def test_an_option_that_an_own_schedule_does_not_take_is_an_error(rates):
    with pytest.raises(ConfigError, match=r"schedule\.lenght: unknown option\. Did you mean 'length'\?"):
        rates((warmup, {"lenght": 4, "unit": "step"}))


def test_every_parameter_group_goes_by_its_own_rate(rates):
    def grouped(params):
        first, *others = params
        return torch.optim.SGD([{"params": [first], "lr": 1.0}, {"params": others}], lr=0.1)

    seen = rates(("exponential", {"gamma": 0.5}), grouped, epochs=1, steps=1).seen
    assert seen == [pytest.approx([1.0, 0.1]), pytest.approx([0.5, 0.05])]


def test_every_optimizer_goes_by_the_schedule(rates):
    def pair(params):
        first, *others = params
        return [torch.optim.SGD([first], lr=1.0), torch.optim.AdamW(others, lr=0.1)]

    seen = rates(("exponential", {"gamma": 0.5}), pair, epochs=1, steps=1).seen
    assert seen == [pytest.approx([1.0, 0.1]), pytest.approx([0.5, 0.05])]


def test_a_rate_that_is_a_tensor_is_set_in_place(rates):
    kept = []

    def adam(params):
        kept.append(torch.optim.Adam(params, lr=torch.tensor(0.1), foreach=False))
        return kept[0]

    seen = rates(("exponential", {"gamma": 0.5, "unit": "step"}), adam, epochs=1, steps=2)
    assert seen.firsts == pytest.approx([0.1, 0.05, 0.025])
    (group,) = kept[0].param_groups
    assert isinstance(group["lr"], torch.Tensor)
    assert group["initial_lr"] == pytest.approx(0.1)


def test_a_schedule_goes_on_where_a_resumed_run_stood(tiny_run):
    schedule = ("cosine", {"unit": "step", "period": 6, "min_lr": 0.01})
    whole, second = Rates(), Rates()
    tiny_run([whole], schedule=schedule, optimizer=sgd(), epochs=2, steps=3)
    half = tiny_run(schedule=schedule, optimizer=sgd(), epochs=1, steps=3)
    tiny_run([second], schedule=schedule, optimizer=sgd(), epochs=2, steps=3, resume=half.state)
    assert whole.firsts[0] == 0.1
    assert second.seen == whole.seen[3:]


def test_a_stopped_run_keeps_the_rate_that_it_came_to(rates):
    seen = rates(("exponential", {"gamma": 0.5, "unit": "step"}), epochs=2, steps=3, max_steps=2)
    assert math.isclose(seen.firsts[-1], 0.025)


def test_without_a_schedule_the_rate_is_left_alone(tiny_run):
    seen = Rates()
    result = tiny_run([seen], optimizer=sgd(0.3), task=tiny_task, epochs=1)
    assert set(seen.firsts) == {0.3}
    assert "initial_lr" not in result.state["optimizers"][0]["param_groups"][0]


class Remembering:
    """A schedule with a memory: halves the rate each time, and at a high value of the metric once more."""

    def __init__(self, optimizer, start=1.0):
        self.optimizer = optimizer
        self.rate = start

    def step(self):
        self.rate /= 2
        self.optimizer.param_groups[0]["lr"] = self.rate

    def state_dict(self):
        return {"rate": self.rate}

    def load_state_dict(self, state):
        if state["rate"] <= 0:
            raise ValueError("the rate is 0 or less")
        self.rate = state["rate"]


class Following(Remembering):
    def observe(self, value):
        self.seen = value
        self.rate *= 100


def remembering(start):
    def attach(optimizer):
        return Remembering(optimizer, start)

    return attach


@pytest.mark.parametrize("schedule", [Remembering, (remembering, {"start": 1.0})])
def test_what_takes_the_optimizer_sets_its_rates_itself_once_a_unit(rates, schedule):
    assert rates(schedule, epochs=3, steps=1).firsts == [0.1, 0.5, 0.25, 0.125]


def test_what_it_remembers_is_in_the_state_and_goes_on(tiny_run):
    first, second = Rates(), Rates()
    half = tiny_run([first], schedule=Remembering, optimizer=sgd(), epochs=2)
    assert half.state["schedules"][0]["state"] == {"rate": 0.25}
    tiny_run([second], schedule=Remembering, optimizer=sgd(), epochs=3, resume=half.state)
    assert second.firsts[0] == 0.25
    assert second.firsts[-1] == 0.125


def test_a_state_that_it_refuses_is_an_error_or_with_strict_resume_off_a_warning(tiny_run, caplog):
    settings = {"schedule": Remembering, "optimizer": sgd()}
    half = tiny_run(epochs=2, **settings)
    state = {**half.state, "schedules": [{**half.state["schedules"][0], "state": {"rate": 0}}]}
    with pytest.raises(ConfigError, match="the state of schedule 0 does not fit: the rate is 0 or less"):
        tiny_run(epochs=3, resume=state, **settings)
    assert tiny_run(epochs=3, resume=state, strict_resume=False, **settings).epoch == 3
    assert "schedule 0 begins anew: the rate is 0 or less" in caplog.text


def test_a_state_without_what_it_needs_is_an_error(tiny_run):
    settings = {"schedule": Remembering, "optimizer": sgd()}
    half = tiny_run(epochs=1, **settings)
    state = {**half.state, "schedules": [{**half.state["schedules"][0], "state": {}}]}
    with pytest.raises(ConfigError, match="Remembering cannot read it: KeyError: 'rate'"):
        tiny_run(epochs=2, resume=state, **settings)


def test_a_schedule_that_observes_gets_the_metric_beside_its_steps(rates):
    seen = rates((Following, {"monitor": "val/loss"}), epochs=2, steps=1)
    assert seen.firsts == [0.1, 0.5, 25.0]


def test_a_pure_schedule_follows_no_metric(rates):
    with pytest.raises(ConfigError, match=r"schedule\.monitor: unknown option: 'step' follows no metric"):
        rates(("step", {"step_size": 1, "monitor": "val/loss"}))


def test_a_metric_has_a_name(rates):
    with pytest.raises(ConfigError, match="got 3; it is the name of a metric"):
        rates((Following, {"monitor": 3}))


def test_what_cannot_set_rates_is_an_error(rates):
    with pytest.raises(ConfigError, match=r"what sets its rates has step\(\), state_dict\(\) and load_state_dict\(\)"):
        rates(lambda optimizer: None)


def test_a_tenth_of_a_tenth_is_a_hundredth():
    assert [decayed(0.1, 0.1, times) for times in range(4)] == [0.1, 0.01, 0.001, 0.0001]
    assert decayed(0.1, 0.1, 5000) == 0.0
    assert decayed(1.0, 0.3, 2) == 0.3**2
    assert decayed(1.0, 0.0, 1) == decayed(1.0, 0.0, 3) == 0.0
    assert decayed(1.0, 1.0, 10**6) == 1.0
    assert decayed(1.0, -0.5, 3) == -0.125


def test_ends_and_middles_are_exact():
    assert [cosine(100, 0.001)(t, 0.1) for t in (0, 50, 100)] == [0.1, 0.0505, 0.001]
    assert [linear(100, 0.001)(t, 0.1) for t in (0, 50, 100)] == [0.1, 0.0505, 0.001]


class Gauge:
    """Reads something at each logging boundary."""

    def __init__(self):
        self.steps = []

    @hookimpl
    def on_fit_start(self, run):
        run.gauge(lambda: self.read(run))

    def read(self, run):
        self.steps.append(run.step)
        run.log("gauge", run.step)


@pytest.mark.parametrize("make", [int, float, torch.tensor, lambda step: torch.tensor([float(step)])])
def test_a_gauge_may_return_what_it_logs(tiny_run, make):
    class Returning:
        role = "observer"

        @hookimpl
        def on_fit_start(self, run):
            run.gauge(lambda: {"gauge/step": make(run.step), "gauge/half": run.step / 2})
            run.gauge(dict)
            run.gauge(lambda: run.log("gauge/logged", 3))

    result = tiny_run([Returning()], epochs=1, steps=4, log_every="2 steps", validate_every="never")
    rows = [{name: value for name, value in row.items() if name.startswith("gauge")} for row in result.history]
    assert rows == [{"gauge/logged": 3.0, "gauge/step": step, "gauge/half": step / 2} for step in (2.0, 4.0)]
    assert all(type(value) is float for row in rows for value in row.values())
    assert list(result.history[0])[3] == "train/loss"


def test_a_gauge_is_read_at_logging_boundaries_and_makes_none(tiny_run):
    gauge = Gauge()
    result = tiny_run([gauge], epochs=1, steps=5, log_every="2 steps", validate_every="never")
    assert gauge.steps == [2, 4, 5]
    assert [row["gauge"] for row in result.history] == [2, 4, 5]


class Rehearsing:
    """Trains three steps before training begins, and raises or not."""

    def __init__(self, error=None):
        self.error = error

    @hookimpl
    def on_fit_start(self, run):
        with run.rehearse() as batches:
            for _ in range(3):
                run.window = [next(batches)]
                run.plugins.hooks.run_step(run)
            if self.error:
                raise self.error


def test_a_rehearsal_leaves_no_trace_and_no_observer_sees_it(tiny_run, hook_recorder):
    settings = {"task": lambda: tiny_task(dropout=0.5), "schedule": ("cosine", {"unit": "step"})}
    without = tiny_run(**settings)
    after = tiny_run([Rehearsing(), hook_recorder], **settings)
    for part in ("model", "optimizers", "rng", "metrics", "log", "schedules"):
        assert first_difference(without.state[part], after.state[part], part) is None
    assert hook_recorder.count("on_batch_start") == without.step


def test_a_rehearsal_that_fails_puts_everything_back_as_well(tiny_run):
    seen = []

    class Looking:
        @hookimpl
        def on_exception(self, run):
            seen.append([weight.clone() for weight in run.model.parameters()])

    with pytest.raises(Exception, match="enough"):
        tiny_run([Rehearsing(RuntimeError("enough")), Looking()])
    torch.manual_seed(0)
    assert all(torch.equal(a, b) for a, b in zip(seen[0], tiny_task().model.parameters(), strict=True))

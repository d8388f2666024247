"""A run that is stopped anywhere and resumed ends as one that never was, bit by bit; and what it goes on from."""

import copy
import gc
import json
import logging
import random
import signal
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from hookloop import ConfigError, PluginHookError, SupervisedTask, hookimpl, snapshots
from hookloop.records import read_metrics
from hookloop.testing import tiny_task
from hookloop.testing.comparison import first_difference

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

BATCHES, ACCUMULATE, EPOCHS = 7, 3, 3  # the last step of an epoch has one micro-batch


@pytest.fixture(autouse=True)
def no_workers_left():
    """Collect what a test leaves behind now: torch waits for workers that are collected at an odd moment."""
    yield
    if active_children():
        gc.collect()


# What trains


class Augmented(Dataset):
    """Rows with noise from every stream."""

    def __len__(self):
        return 4 * BATCHES - 1

    def __getitem__(self, index):
        noise = torch.randn(8) * 0.1 + random.random() * 0.1 + np.random.random() * 0.1
        return torch.full((8,), index / 27) + noise.float(), index % 3


def task(workers=0, loader=None):
    layers = torch.nn.Linear(8, 12), torch.nn.BatchNorm1d(12), torch.nn.Dropout(0.3), torch.nn.Linear(12, 3)
    train = loader or DataLoader(Augmented(), batch_size=4, shuffle=True, num_workers=workers)
    return SupervisedTask(torch.nn.Sequential(*layers), train=train, val=DataLoader(Augmented(), batch_size=9))


class Position:
    """A loader that knows its position, and keeps the order of an epoch to itself."""

    def __init__(self):
        self.position = self.first = 0
        self.generator = torch.Generator().manual_seed(1)

    def __len__(self):
        return BATCHES

    def __iter__(self):
        first, self.first = self.first, 0
        for index in range(first, BATCHES):
            self.position = index + 1
            yield torch.randn(4, 8, generator=self.generator) + index, torch.arange(4) % 3
        self.position = 0

    def state_dict(self):
        return {"position": self.position, "generator": self.generator.get_state()}

    def load_state_dict(self, state):
        self.position = self.first = state["position"]
        self.generator.set_state(state["generator"])


class Reckoning:
    """Has a state, draws from the streams that dropout does not draw from, and looks at the newest metrics."""

    role = "observer"

    def __init__(self):
        self.total = 0.0
        self.seen = [0, 0]

    @hookimpl
    def on_epoch_start(self):
        self.seen[0] += 1

    @hookimpl
    def on_data_exhausted(self):
        self.seen[1] += 1

    @hookimpl
    def on_step_end(self, run):
        self.total = 0.9 * self.total + random.random() + float(np.random.random())
        run.log("own/total", self.total)
        run.log("own/newest", run.metrics.get("train/loss", 0.0) + run.metrics.get("val/loss", 0.0))
        run.log("own/counted", run.samples + 100 * run.batch_index + 10000 * run.epoch)

    def state_dict(self):
        return {"total": self.total, "seen": self.seen}

    def load_state_dict(self, state):
        self.total, self.seen = state["total"], list(state["seen"])


class Keeping:
    """Keeps the state of every boundary."""

    role = "observer"

    def __init__(self):
        self.states = []

    @hookimpl
    def persist(self, run):
        self.states.append(snapshots.copy_state(snapshots.take(run)))


class Saving:
    """Saves every boundary, as a plugin does."""

    role = "observer"

    def __init__(self, until=None):
        self.until = until

    @hookimpl
    def persist(self, run):
        name = f"epoch-{run.epoch}-step-{run.step:04}"
        if self.until is not None and run.step > self.until:
            return
        place = run.directory / "checkpoints" / "saving"
        kept = snapshots.write(place, name, snapshots.take(run), instance="saving", attempt=run.attempt)
        snapshots.saved(run, kept.path)


class Dying:
    """Ends the run at a step, as a kill would: after everybody else has saved."""

    role = "observer"

    def __init__(self, step, epoch=None):
        self.step, self.epoch = step, epoch

    @hookimpl(trylast=True)
    def report(self, run):
        if run.step == self.step and self.epoch in (None, run.epoch):
            raise KeyboardInterrupt


@pytest.fixture
def train(tiny_run):
    """A function that trains with everything that has a state; the loop is left at *dies*, a step, if that is given."""

    def fit(plugins=(), *, workers=0, dies=None, loader=None, **keywords):
        settings = {
            "task": lambda: task(workers, loader and loader()),
            "epochs": EPOCHS,
            "optimizer": ("adamw", {"lr": 0.02}),
            "schedule": ("cosine", {"unit": "step"}),
            "metrics": {"accuracy": {}},
            "accumulate": ACCUMULATE,
            "clip_grad_norm": 1.0,
            "log_every": "41 samples",
            "validate_every": "45 samples",
        }
        given = [Reckoning(), *plugins]
        if dies is None:
            return tiny_run(given, **(settings | keywords))
        with pytest.raises(KeyboardInterrupt):
            tiny_run([*given, Dying(*dies) if isinstance(dies, tuple) else Dying(dies)], **(settings | keywords))
        return None

    return fit


def untimed(rows):
    return [{name: value for name, value in row.items() if name != "time"} for row in rows]


def ending(result):
    """Return what of a run's end is the same however fast the machine is, and whatever watched it."""
    kept = ("model", "optimizers", "rng", "metrics")
    counters = {name: value for name, value in result.state["counters"].items() if name != "elapsed_seconds"}
    plugins = {name: each["state"] for name, each in result.state["plugins"].items()}
    pending = result.state["log"]["pending"]
    return {**{name: result.state[name] for name in kept}, "plugins": plugins, "counters": counters, "pending": pending}


def difference(whole, resumed, rows):
    """Return the first difference between a run that went through and one with its first *rows* cut off, or None."""
    found = first_difference(ending(whole), ending(resumed))
    return found or first_difference(untimed(whole.history)[rows:], untimed(resumed.history))


def files(directory):
    return untimed(read_metrics(Path(directory) / "metrics.jsonl"))


def record(directory):
    return json.loads((Path(directory) / "run.json").read_text())


@pytest.fixture
def warnings_of(caplog):
    """A function that returns what was warned about since it was last called."""
    caplog.set_level(logging.WARNING, logger="hookloop")

    def take():
        found = [each.getMessage() for each in caplog.records]
        caplog.clear()
        return found

    return take


# In memory: exact at every boundary


def test_keeping_states_changes_nothing(train):
    assert difference(train(), train([Keeping()]), 0) is None


@pytest.mark.parametrize("workers", [0, 2])
def test_every_boundary_of_a_run_can_be_resumed_from_exactly(train, workers):
    keeping = Keeping()
    whole = train([keeping])
    steps = -(-BATCHES // ACCUMULATE) * EPOCHS
    assert len(keeping.states) == steps + EPOCHS
    assert {state["counters"]["batch_index"] for state in keeping.states} == {3, 6, 7}
    for state in keeping.states:
        resumed = train(workers=workers, resume=state)
        assert difference(whole, resumed, state["log"]["rows"]) is None, state["counters"]


def test_a_loader_with_a_position_of_its_own_can_be_resumed_from_exactly(train):
    keeping = Keeping()
    whole = train([keeping], loader=Position)
    for state in keeping.states:
        resumed = train(loader=Position, resume=state)
        assert difference(whole, resumed, state["log"]["rows"]) is None, state["counters"]


def test_resuming_again_and_again_is_exact_as_well(train):
    whole = train()
    directory = whole.directory.parent / "again"
    train([Saving()], run_dir=directory, dies=1)
    for step in range(2, 10):
        train([Saving()], run_dir=directory, dies=step, resume=True, workers=step % 2)
    last = train([Saving()], run_dir=directory, resume=True)
    assert difference(whole, last, 0) is None
    assert files(directory) == untimed(whole.history)
    assert [each["resumed_from"] is None for each in record(directory)["attempts"]] == [True, *[False] * 9]


# Leaving out any part of the state shows


def reset_buffers(state):
    for name, value in state["model"].items():
        if name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            value.zero_()


def forget_stream(name):
    def forget(state):
        state["rng"].pop(name)
        if name == "torch":
            state["rng"][name] = torch.Generator().manual_seed(0).get_state()
        if name == "python":
            state["rng"][name] = random.Random(0).getstate()

    return forget


def forget_moments(state):
    state["optimizers"] = [{**each, "state": {}} for each in state["optimizers"]]


def count(name):
    return lambda state: state["counters"].update({name: 0})


def loop_without(**fresh):
    return lambda state: state["plugins"]["engine:loop"]["state"].update(fresh)


def fresh_trigger(name):
    def forget(state):
        state["plugins"]["engine:loop"]["state"][name]["mark"] = 0

    return forget


OMISSIONS = {
    "weights": lambda state: state["model"]["0.weight"].zero_(),
    "buffers": reset_buffers,
    "optimizers": forget_moments,
    "learning rate": lambda state: state["optimizers"][0]["param_groups"][0].update(betas=(0.5, 0.5)),
    "torch's stream": forget_stream("torch"),
    "python's stream": forget_stream("python"),
    "numpy's stream": forget_stream("numpy"),
    "epoch": count("epoch"),
    "step": count("step"),
    "batch_index": count("batch_index"),
    "samples": count("samples"),
    "plugins": lambda state: state["plugins"].pop("reckoning"),
    "that it is in an epoch": loop_without(in_epoch=False),
    "when it last logged": fresh_trigger("log"),
    "when it last validated": fresh_trigger("validate"),
    "all of the loop": lambda state: state["plugins"].pop("engine:loop"),
    "pending metrics": lambda state: state["log"].update(pending={}),
    "newest metrics": lambda state: state.update(metrics={}),
}


@pytest.fixture
def halfway(train):
    """A run that went through, and its state in the middle of the third epoch, where something is yet to be logged."""
    keeping = Keeping()
    whole = train([keeping])
    state = next(each for each in keeping.states if each["counters"]["step"] == 7)
    assert state["log"]["pending"]
    assert state["plugins"]["engine:loop"]["state"]["in_epoch"]
    return whole, state


def test_what_is_left_out_below_is_all_there_is(halfway):
    _, state = halfway
    covered = {"model", "optimizers", "rng", "counters", "plugins", "log", "metrics"}
    elsewhere = {"format", "fingerprint", "data", "schedules"}
    assert set(state) == covered | elsewhere
    assert set(state["counters"]) == {"epoch", "step", "batch_index", "samples", "elapsed_seconds"}
    assert set(state["plugins"]["engine:loop"]["state"]) == {
        "log", "validate", "owes_validation", "in_epoch", "data_ended"
    }  # fmt: skip
    assert set(state["log"]) == {"pending", "rows"}
    assert set(state["rng"]) == {"torch", "python", "numpy"}


@pytest.mark.parametrize("omission", OMISSIONS)
def test_leaving_out_any_part_of_the_state_makes_another_run(train, halfway, omission):
    whole, state = halfway
    assert difference(whole, train(resume=copy.deepcopy(state)), state["log"]["rows"]) is None
    less = copy.deepcopy(state)
    OMISSIONS[omission](less)
    assert difference(whole, train(resume=less), state["log"]["rows"]) is not None


def test_leaving_out_the_position_of_a_loader_makes_another_run(train):
    keeping = Keeping()
    whole = train([keeping], loader=Position)
    state = keeping.states[4]
    for name, value in (("position", 0), ("generator", torch.Generator().get_state())):
        less = copy.deepcopy(state)
        less["data"]["position"]["owner"][name] = value
        assert difference(whole, train(loader=Position, resume=less), state["log"]["rows"]) is not None


def test_leaving_out_how_far_a_schedule_has_come_makes_another_run(train):
    schedule = (torch.optim.lr_scheduler.StepLR, {"step_size": 2, "gamma": 0.5, "unit": "step"})
    keeping = Keeping()
    whole = train([keeping], schedule=schedule)
    state = keeping.states[4]
    assert difference(whole, train(resume=state, schedule=schedule), state["log"]["rows"]) is None
    state["schedules"][0]["state"].update(last_epoch=3, _step_count=4)
    assert difference(whole, train(resume=state, schedule=schedule), state["log"]["rows"]) is not None


def test_leaving_out_that_the_data_has_ended_tells_of_it_twice(train):
    keeping = Keeping()
    whole = train([keeping])
    state = next(each for each in keeping.states if each["plugins"]["engine:loop"]["state"]["data_ended"])
    assert difference(whole, train(resume=copy.deepcopy(state)), state["log"]["rows"]) is None
    loop_without(data_ended=False)(state)
    resumed = train(resume=state)
    assert resumed.state["plugins"]["reckoning"]["state"]["seen"] == [EPOCHS, EPOCHS + 1]


def test_leaving_out_how_many_rows_there_were_logs_some_twice(train, tmp_path):
    keeping = Keeping()
    whole = train([keeping], run_dir=tmp_path / "whole")
    state = next(each for each in keeping.states if each["counters"]["step"] == 5)
    less = copy.deepcopy(state)
    less["log"]["rows"] = 10**6
    train(run_dir=tmp_path / "whole", resume=less)
    assert len(files(tmp_path / "whole")) > len(whole.history)


# From disk


@pytest.fixture
def stopped(train, tmp_path):
    """The directory of a run that saved each boundary and died at step 5 of 9."""
    train([Saving()], run_dir=tmp_path / "stopped", dies=5)
    return tmp_path / "stopped"


def saved_in(directory):
    return [each.path for each in snapshots.find(directory)]


def damage(path):
    file = path / "model.pt"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["true", "run", "text"])
def test_a_run_goes_on_in_its_directory(train, stopped, how, warnings_of):
    whole = train()
    given = {"true": True, "run": stopped, "text": str(stopped)}[how]
    newest = saved_in(stopped)[0]
    result = train([Saving()], resume=given, run_dir=stopped)
    assert result.directory == stopped
    assert difference(whole, result, 0) is None
    assert files(stopped) == untimed(whole.history)
    assert warnings_of() == []
    facts = record(stopped)
    assert [each["resumed_from"] for each in facts["attempts"]] == [None, str(newest)]
    assert (facts["exact"], facts["inexact_because"], facts["outcome"]) == (True, None, "completed")
    assert saved_in(stopped)[0].name == "epoch-3-step-0009"
    assert {each.attempt for each in snapshots.find(stopped)} == {0, 1}


def test_the_newest_run_of_the_name_is_found(train, tmp_path):
    place = {"runs_dir": tmp_path / "runs", "name": "mine"}
    train([Saving()], dies=2, **place)
    train([Saving()], dies=4, **place)
    result = train(resume=True, **place)
    assert result.directory == (tmp_path / "runs" / "mine" / "latest").resolve()
    assert record(result.directory)["attempts"][1]["resumed_from"].endswith("epoch-1-step-0004")
    assert len(list((tmp_path / "runs" / "mine").iterdir())) == 3


def test_where_links_are_missing_the_newest_run_is_found_by_its_name(train, tmp_path):
    place = {"runs_dir": tmp_path / "runs", "name": "mine"}
    train([Saving()], dies=2, **place)
    latest = tmp_path / "runs" / "mine" / "latest"
    directory = latest.resolve()
    latest.unlink()
    latest.write_text(directory.name + "\n")
    assert train(resume=True, **place).directory == directory


@pytest.mark.parametrize("deep", [False, True], ids=["in a new directory", "in a named one"])
def test_a_snapshot_begins_a_new_directory_with_what_was_logged_up_to_it(train, stopped, tmp_path, deep):
    whole = train()
    before = (stopped / "metrics.jsonl").read_bytes()
    third = next(path for path in saved_in(stopped) if path.name == "epoch-0-step-0002")
    place = {"run_dir": tmp_path / "other"} if deep else {"runs_dir": tmp_path / "runs"}
    result = train(resume=third, **place)
    assert result.directory != stopped
    assert difference(whole, result, 0) is None
    assert files(result.directory) == untimed(whole.history)
    assert (stopped / "metrics.jsonl").read_bytes() == before
    assert record(result.directory)["attempts"][0]["resumed_from"] == str(third)
    assert saved_in(stopped)[-1].name == "epoch-0-step-0001"


def test_a_snapshot_may_be_named_from_where_it_lies(train, stopped, monkeypatch, tmp_path):
    monkeypatch.chdir(stopped / "checkpoints" / "saving")
    result = train(resume="epoch-0-step-0002", run_dir=tmp_path / "other")
    assert files(result.directory)[0] == files(stopped)[0]


def test_going_back_in_the_same_directory_puts_what_came_later_aside(train, stopped, warnings_of):
    whole = train()
    third = next(path for path in saved_in(stopped) if path.name == "epoch-0-step-0003")
    result = train(resume=third, run_dir=stopped)
    assert difference(whole, result, 0) is None
    assert files(stopped) == untimed(whole.history)
    assert [path.name for path in saved_in(stopped)] == [
        "epoch-0-step-0003", "epoch-0-step-0002", "epoch-0-step-0001"
    ]  # fmt: skip
    aside = sorted(each.name for each in third.parent.glob(".*"))
    assert aside == [".aside-epoch-1-step-0003", ".aside-epoch-1-step-0004", ".aside-epoch-1-step-0005"]
    assert len([each for each in warnings_of() if "is newer than what the run goes on from" in each]) == 3


def test_a_snapshot_is_not_resumed_into_the_directory_of_another_run(train, stopped, tmp_path):
    train(run_dir=tmp_path / "other")
    before = (tmp_path / "other" / "metrics.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=r"other holds a run already, and this is not one of its snapshots"):
        train(resume=saved_in(stopped)[0], run_dir=tmp_path / "other")
    assert (tmp_path / "other" / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("there", [False, True], ids=["no directory", "an empty one"])
def test_where_nothing_is_a_run_begins_and_says_so(train, tmp_path, warnings_of, there):
    place = tmp_path / "fresh"
    if there:
        place.mkdir()
    result = train(resume=True, run_dir=place)
    assert warnings_of() == [f"there is no run to resume in {place}: this one begins"]
    assert difference(train(), result, 0) is None
    assert record(place)["attempts"][0]["resumed_from"] is None


def test_without_any_run_of_the_name_one_begins_and_says_so(train, tmp_path, warnings_of):
    result = train(resume=True, runs_dir=tmp_path / "runs", name="none")
    assert result.directory.parent == tmp_path / "runs" / "none"
    assert warnings_of() == ["there is no run to resume: this one begins"]


def test_a_run_that_never_came_to_save_begins_anew_in_its_directory(train, tmp_path, warnings_of):
    whole = train()
    train(run_dir=tmp_path / "mine", dies=5)
    result = train(run_dir=tmp_path / "mine", resume=True)
    assert warnings_of() == [
        f"{tmp_path / 'mine'} holds no snapshot to resume from: the run begins anew, in the same directory"
    ]
    assert difference(whole, result, 0) is None
    assert files(result.directory) == untimed(whole.history)
    assert len(record(result.directory)["attempts"]) == 2


def test_a_run_without_snapshots_that_is_named_is_an_error(train, tmp_path):
    train(run_dir=tmp_path / "mine", dies=5)
    before = (tmp_path / "mine" / "metrics.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=r"mine: this run has no snapshot\. It was saved by no plugin"):
        train(resume=tmp_path / "mine", run_dir=tmp_path / "mine")
    assert (tmp_path / "mine" / "metrics.jsonl").read_bytes() == before


def test_a_path_that_is_nothing_is_an_error(train, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"nowhere: there is no such directory\. Give that of a run, or of a snap"):
        train(resume=tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"empty: this is neither a run directory nor a snapshot of one"):
        train(resume=tmp_path / "empty")


def test_a_run_and_another_directory_are_an_error(train, stopped, tmp_path):
    with pytest.raises(ConfigError, match=r"goes on in that very directory, and --run-dir says .*other: give one"):
        train(resume=stopped, run_dir=tmp_path / "other")
    assert not (tmp_path / "other").exists()


# Damage


def test_a_damaged_snapshot_is_passed_over_for_the_one_before(train, stopped, warnings_of):
    whole = train()
    newest, second, *_ = saved_in(stopped)
    damage(newest)
    result = train(resume=True, run_dir=stopped)
    assert difference(whole, result, 0) is None
    assert files(stopped) == untimed(whole.history)
    assert record(stopped)["attempts"][1]["resumed_from"] == str(second)
    [said] = warnings_of()
    assert f"the snapshot {newest} is damaged and not used: model.pt: checksum differs" in said
    assert (newest.parent / f".bad-{newest.name}").is_dir()


def test_a_snapshot_without_its_manifest_is_passed_over(train, stopped, warnings_of):
    newest, second, *_ = saved_in(stopped)
    (newest / "MANIFEST.json").unlink()
    train(resume=True, run_dir=stopped)
    assert record(stopped)["attempts"][1]["resumed_from"] == str(second)
    assert "is damaged and not used" in warnings_of()[0]


@pytest.mark.parametrize("named", [False, True])
def test_where_all_are_damaged_nothing_begins(train, stopped, named):
    before = {name: (stopped / name).read_bytes() for name in ("metrics.jsonl", "run.json", "config.toml")}
    for path in saved_in(stopped):
        damage(path)
    for _ in range(2):  # the second time there are only those that were put aside
        with pytest.raises(snapshots.SnapshotError, match=r"has snapshots, but none to resume from: .*--overwrite"):
            train(resume=stopped if named else True, run_dir=stopped)
    assert {name: (stopped / name).read_bytes() for name in before} == before


def test_a_damaged_snapshot_that_is_named_is_an_error_and_stays(train, stopped, tmp_path):
    newest = saved_in(stopped)[0]
    damage(newest)
    with pytest.raises(
        snapshots.SnapshotDamaged, match=r"is damaged, and is not resumed from: model\.pt: checksum differs"
    ):
        train(resume=newest, run_dir=tmp_path / "other")
    assert newest.is_dir()
    assert not (tmp_path / "other").exists()


def test_an_unreadable_manifest_that_is_named_is_an_error(train, stopped, tmp_path):
    newest = saved_in(stopped)[0]
    (newest / "MANIFEST.json").write_text("{")
    with pytest.raises(snapshots.SnapshotDamaged, match="is not resumed from"):
        train(resume=newest, run_dir=tmp_path / "other")


def test_weights_alone_are_nothing_to_go_on_from(train, stopped, tmp_path):
    state = {name: value for name, value in snapshots.read(saved_in(stopped)[0]).items() if name in ("format", "model")}
    state |= {"counters": {"epoch": 9, "step": 99, "batch_index": 0, "samples": 0, "elapsed_seconds": 0.0}}
    kept = snapshots.write(stopped / "checkpoints" / "best", "best", state, kind="weights", instance="best")
    with pytest.raises(ConfigError, match="this is no state of a run, it lacks optimizers"):
        train(resume=kept.path, run_dir=tmp_path / "other")
    train(resume=True, run_dir=stopped)
    assert record(stopped)["attempts"][1]["resumed_from"].endswith("epoch-1-step-0005")


# What is logged


def test_rows_behind_the_snapshot_are_logged_once(train, tmp_path):
    whole = train()
    train([Saving(until=2)], run_dir=tmp_path / "mine", dies=8)
    assert files(tmp_path / "mine")[-1]["step"] > 2
    train(run_dir=tmp_path / "mine", resume=True)
    assert files(tmp_path / "mine") == untimed(whole.history)


def test_a_line_that_power_was_lost_in_is_dropped(train, tmp_path):
    train([Saving()], run_dir=tmp_path / "mine", dies=5)
    log = tmp_path / "mine" / "metrics.jsonl"
    log.write_bytes(log.read_bytes()[:-7])
    result = train(run_dir=tmp_path / "mine", resume=True)
    assert result.outcome == "completed"
    lost = untimed(train().history)
    assert files(tmp_path / "mine") == [row for row in lost if row in files(tmp_path / "mine")]
    assert len(files(tmp_path / "mine")) == len(lost) - 1


# What differs


def test_another_number_of_threads_is_warned_about_and_recorded(train, stopped, warnings_of):
    train(resume=True, run_dir=stopped, threads=2)
    assert warnings_of() == ["this run may not end as one that was never stopped: threads 1 then and 2 now"]
    facts = record(stopped)
    assert (facts["exact"], facts["inexact_because"]) == (False, "threads 1 then and 2 now")


def test_other_data_is_warned_about_and_recorded(train, stopped, warnings_of):
    class More(Augmented):
        def __len__(self):
            return 4 * BATCHES

    train(resume=True, run_dir=stopped, loader=lambda: DataLoader(More(), batch_size=4, shuffle=True))
    said = "the training data is not what it was: samples 27 then and 28 now"
    assert warnings_of() == [f"this run may not end as one that was never stopped: {said}"]
    assert record(stopped)["inexact_because"] == said


def walked():
    generator = torch.Generator().manual_seed(0)
    rows = [(torch.randn(4, 8, generator=generator), torch.arange(4) % 3) for _ in range(BATCHES)]
    return map(tuple, rows)


class Streamed:
    def __iter__(self):
        return iter(walked())


def test_data_without_a_position_is_warned_about_when_it_matters(train, tmp_path, warnings_of):
    place = {"run_dir": tmp_path / "mine", "loader": Streamed, "schedule": None}
    train([Saving()], dies=5, **place)
    assert warnings_of() == []
    assert record(tmp_path / "mine")["exact"] is False
    result = train([Saving()], resume=True, **place)
    [said] = warnings_of()
    assert said.startswith("this run may not end as one that was never stopped: the train loader, a Streamed, has no ")
    assert difference(train(loader=Streamed, schedule=None), result, 0) is None  # it draws nothing
    assert record(tmp_path / "mine")["inexact_because"] in said


def test_another_model_is_an_error_that_lists_the_keys(train, stopped):
    before = (stopped / "metrics.jsonl").read_bytes()

    def other():
        made = task()
        made.model[0] = torch.nn.Linear(8, 12, bias=False)
        made.model[3] = torch.nn.Linear(12, 4)
        made.model.append(torch.nn.PReLU())
        return made

    with pytest.raises(ConfigError) as caught:
        train(resume=True, run_dir=stopped, task=other)
    assert str(caught.value).splitlines() == [
        "the state to resume from does not fit Sequential:",
        "  4.weight is not in the state",
        "  0.bias is not in the model",
        "  3.weight has shape (3, 12) in the state and (4, 12) in the model",
        "  3.bias has shape (3,) in the state and (4,) in the model",
        "To load what fits and begin the rest anew: --set run.strict_resume=false",
    ]
    assert (stopped / "metrics.jsonl").read_bytes() == before


def test_what_fits_is_loaded_where_that_is_wanted(train, stopped, warnings_of):
    class Looking:
        role = "observer"

        @hookimpl
        def on_fit_start(self, run):
            self.weights = snapshots.copy_state(run.model.state_dict())
            self.step = run.step

    def other():
        made = task()
        made.model[3] = torch.nn.Linear(12, 4)
        return made

    looking = Looking()
    saved = snapshots.read(saved_in(stopped)[0])["model"]
    train([looking], resume=True, run_dir=stopped, task=other, strict_resume=False)
    assert looking.step == 5
    assert all(torch.equal(looking.weights[name], saved[name]) for name in saved if not name.startswith("3."))
    first, second = warnings_of()
    assert first.startswith("run.strict_resume is false, so these begin anew or are left out:\n  3.weight has shape")
    assert second == "the optimizers begin anew, as their state is that of the other model"


def test_another_optimizer_begins_anew_where_that_is_wanted(train, stopped, warnings_of):
    sgd = {"optimizer": ("sgd", {"lr": 0.01, "momentum": 0.9}), "resume": True, "run_dir": stopped}
    with pytest.raises(ConfigError, match="optimizer 0 of the state to resume from is not this run's SGD"):
        train(**sgd)
    assert train(strict_resume=False, **sgd).outcome == "completed"
    assert warnings_of()[0].startswith("run.strict_resume is false, so the optimizers begin anew: optimizer 0 of ")


# What plugins see


def test_plugins_may_adapt_a_snapshot_and_see_what_was_loaded(train, stopped):
    class Adapting:
        role = "observer"

        def __init__(self):
            self.seen = []

        @hookimpl
        def on_checkpoint_load(self, run, checkpoint):
            self.seen.append(("load", run.step, run.resumed_from))
            checkpoint["plugins"]["reckoning"]["state"]["total"] = -1.0

        @hookimpl
        def on_checkpoint_loaded(self, run, path):
            self.seen.append(("loaded", run.step, path))
            self.total = run.plugins["reckoning"].total

        @hookimpl
        def on_ready(self, run):
            self.seen.append(("ready", run.step, run.resumed_from))

    adapting = Adapting()
    newest = saved_in(stopped)[0]
    train([adapting], resume=True, run_dir=stopped)
    assert adapting.seen == [("load", 0, None), ("loaded", 5, newest), ("ready", 5, newest)]
    assert adapting.total == -1.0


@pytest.mark.parametrize(("dies", "epochs_started"), [(2, [1, 2]), (3, [1, 2]), ((3, 1), [1, 2])])
def test_the_start_of_an_epoch_is_told_once(train, tmp_path, dies, epochs_started):
    class Starting:
        role = "observer"

        def __init__(self):
            self.started = []

        @hookimpl
        def on_epoch_start(self, run):
            self.started.append(run.epoch)

    starting = Starting()
    train([Saving()], run_dir=tmp_path / "mine", dies=dies)
    train([starting], run_dir=tmp_path / "mine", resume=True)
    assert starting.started == epochs_started


def test_a_validation_that_was_cut_short_is_made_up_for(train, tmp_path):
    class Signalling:
        role = "observer"

        @hookimpl
        def on_validation_batch_end(self, run):
            if run.epoch == 1:
                signal.raise_signal(signal.SIGTERM)

    whole = train(validate_every="1 epoch")
    first = train([Saving(), Signalling()], run_dir=tmp_path / "mine", validate_every="1 epoch")
    assert (first.outcome, first.epoch) == ("preempted", 1)
    assert first.state["plugins"]["engine:loop"]["state"]["owes_validation"]
    second = train([Saving()], run_dir=tmp_path / "mine", validate_every="1 epoch", resume=True)
    assert not second.state["plugins"]["engine:loop"]["state"]["owes_validation"]
    assert first_difference(ending(whole)["model"], ending(second)["model"]) is None
    assert [row["val/loss"] for row in second.history if "val/loss" in row] == [
        row["val/loss"] for row in whole.history if "val/loss" in row
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.float64(0.5), "state['best'][0] is a numpy.float64"),
        (Path("a"), "state['best'][0] is a pathlib.PosixPath"),
        (b"", "state['best'][0] is an empty bytes object"),
    ],
)
def test_a_state_that_cannot_be_loaded_again_is_an_error_when_it_is_saved(tiny_run, tmp_path, value, said):
    class Careless:
        role = "observer"

        @hookimpl
        def on_fit_start(self):
            pass

        def state_dict(self):
            return {"best": [value]}

        def load_state_dict(self, state):
            pass

    with pytest.raises(PluginHookError) as caught:
        tiny_run([Careless(), Saving()], run_dir=tmp_path / "mine")
    assert "plugin 'careless'" in str(caught.value)
    assert said in str(caught.value)
    assert saved_in(tmp_path / "mine") == []


def test_what_a_plugin_adds_is_looked_at_as_well_and_comes_back(tiny_run, tmp_path):
    class Adding:
        role = "observer"

        def __init__(self, value):
            self.value = value

        @hookimpl
        def on_checkpoint_save(self, checkpoint):
            checkpoint["vocabulary"] = self.value

        @hookimpl
        def on_checkpoint_load(self, checkpoint):
            self.value = checkpoint["vocabulary"]

    with pytest.raises(Exception, match=r"vocabulary\['a'\] is a numpy\.int64"):
        tiny_run([Adding({"a": np.int64(1)}), Saving()], run_dir=tmp_path / "wrong")
    tiny_run([Adding({"a": 1}), Saving()], run_dir=tmp_path / "mine")
    second = Adding(None)
    tiny_run([second], run_dir=tmp_path / "mine", resume=True, epochs=3)
    assert second.value == {"a": 1}


# Where it stands


@pytest.mark.parametrize("dies", [(3, 0), (3, 1), (9, 2)], ids=["last batch", "epoch boundary", "last batch of all"])
def test_the_edges_of_an_epoch_lose_nothing(train, tmp_path, dies):
    whole = train()
    train([Saving()], run_dir=tmp_path / "mine", dies=dies)
    result = train([Saving()], run_dir=tmp_path / "mine", resume=True)
    assert difference(whole, result, 0) is None
    assert (result.epoch, result.step) == (3, 9)


def test_a_run_that_completed_goes_on_with_more_epochs(train, tmp_path):
    whole = train(epochs=5, schedule=None)
    train([Saving()], run_dir=tmp_path / "mine", schedule=None)
    result = train([Saving()], run_dir=tmp_path / "mine", schedule=None, epochs=5, resume=True)
    assert difference(whole, result, 0) is None
    assert files(tmp_path / "mine") == untimed(whole.history)


def test_a_run_that_completed_has_nothing_more_to_do(train, tmp_path):
    first = train([Saving()], run_dir=tmp_path / "mine")
    again = train([Saving()], run_dir=tmp_path / "mine", resume=True)
    assert (again.outcome, again.step) == ("completed", 9)
    assert difference(first, again, 0) is None


def test_steps_that_ended_in_the_middle_of_an_epoch_go_on_with_it(train, tmp_path):
    whole = train(schedule=None)
    train([Saving()], run_dir=tmp_path / "mine", schedule=None, max_steps=5)
    result = train(run_dir=tmp_path / "mine", schedule=None, resume=True)
    assert first_difference(ending(whole)["model"], ending(result)["model"]) is None
    assert result.epoch == 3


def test_a_state_in_memory_goes_on_in_the_directory_that_is_named(tiny_run, tmp_path):
    first = tiny_run(task=tiny_task, run_dir=tmp_path / "mine")
    second = tiny_run(task=tiny_task, run_dir=tmp_path / "mine", epochs=3, resume=first.state)
    assert untimed(second.history)[: len(first.history)] == untimed(first.history)
    assert files(tmp_path / "mine") == untimed(second.history)
    assert [each["resumed_from"] for each in record(tmp_path / "mine")["attempts"]] == [None, "memory"]

"""Rows reach whoever writes them, each once and in order, from whatever thread, and what fails there is not lost."""

import resource
import threading
import time
from types import SimpleNamespace

import pytest

from hookloop import LogError, PluginHookError, hookimpl
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.loading import LoadedPlugin
from hookloop.manager import PluginManager
from hookloop.records import Records, read_metrics
from hookloop.row_log import RowLog


class Takes:
    """Keeps the rows that it is given, and what *look* returns each time."""

    role = "observer"

    def __init__(self, look=lambda run, rows: None):
        self.rows, self.looks, self.look = [], [], look

    @hookimpl
    def write_rows(self, run, rows):
        self.rows += rows
        self.looks.append(self.look(run, rows))

    @property
    def steps(self):
        return [row["step"] for row in self.rows]


class Fails(Takes):
    """Raises where *when* says so."""

    before = ("takes",)

    def __init__(self, when=lambda row: True):
        super().__init__(self.fail)
        self.when = when

    def fail(self, run, rows):
        if any(map(self.when, rows)):
            raise OSError("no room")


class At:
    """Calls *action* with the run at the end of the step *step*."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    @hookimpl
    def on_step_end(self, run):
        if run.step == self.step:
            self.action(run)


def in_a_thread(run, rows):
    return threading.current_thread() is not threading.main_thread()


def loaded(name, plugin, on_error="raise"):
    return LoadedPlugin(name, plugin, distribution="zz-tools", version="1.2", on_error=on_error)


@pytest.fixture
def log(tmp_path):
    """Make the rows of a run that has *plugins*, and the run."""
    made = []

    def make(*plugins, **options):
        manager = PluginManager(SPECIFICATIONS)
        manager.register(*plugins)
        made.append(RowLog(Records(tmp_path, **options), manager))
        return made[-1], SimpleNamespace(step=0, epoch=0, history=[])

    yield make
    for each in made:
        each.close()


def add(log, run, *steps):
    for run.step in steps:
        log.add(run, {"train/loss": run.step / 2})


def test_who_takes_rows_gets_those_of_metrics_jsonl_each_once(tiny_run):
    takes = Takes(in_a_thread)
    result = tiny_run([takes, At(5, lambda run: time.sleep(0.3))], epochs=2, steps=6)
    assert takes.rows == read_metrics(result.directory / "metrics.jsonl") == result.history
    assert 1 < len(takes.looks) < len(takes.rows)
    assert takes.looks[0] is False
    assert True in takes.looks, "what was kept back for a moment did not come while the training slept"


def test_rows_are_in_the_log_when_plugins_get_them(tiny_run):
    def in_the_log(run, rows):
        return read_metrics(run.directory / "metrics.jsonl")[-1] == rows[-1]

    takes = Takes(in_the_log)
    tiny_run([takes], epochs=1, steps=3)
    assert set(takes.looks) == {True}


def test_all_rows_have_been_handed_over_when_a_state_is_taken_and_when_anybody_asks(tiny_run):
    from hookloop import snapshots

    class Saves(Takes):
        @hookimpl
        def persist(self, run):
            self.at_states.append((run.step, self.steps[-1], snapshots.take(run)["log"]["rows"], self.steps[-1]))

    def ask(run):
        run.flush_rows()
        saves.asked = saves.steps

    saves = Saves()
    saves.at_states = []
    tiny_run([saves, At(4, ask)], epochs=1, steps=6)
    assert saves.asked == [1, 2, 3]
    assert [(step, rows, last) for step, _, rows, last in saves.at_states] == [
        *((step, step, step) for step in range(1, 7)),
        (6, 7, 6),  # the end of the epoch
    ]
    assert any(before < step for step, before, _, _ in saves.at_states), "no row has waited"


def test_rows_of_before_a_failure_come_before_the_run_ends(tiny_run):
    class Ends(Takes):
        @hookimpl
        def on_fit_end(self):
            self.at_the_end = self.steps

    def fail(run):
        raise ValueError("enough")

    ends = Ends()
    with pytest.raises(PluginHookError, match="enough"):
        tiny_run([ends, At(4, fail)], epochs=1, steps=6)
    assert ends.at_the_end == [1, 2, 3]


def test_another_rank_hands_nothing_over(log):
    takes = Takes()
    rows, run = log(loaded("takes", takes), writes=False)
    add(rows, run, 1, 2)
    rows.flush()
    assert takes.rows == []
    assert [row["step"] for row in run.history] == [1, 2]


def test_what_fails_on_the_thread_fails_the_run_by_its_name_and_costs_nobody_a_row(tiny_run):
    def sleep(run):
        logs.append(run.directory / "metrics.jsonl")
        time.sleep(0.3)

    logs, fails, takes = [], Fails(lambda row: row["step"] == 3), Takes()
    with pytest.raises(PluginHookError, match=r"'fails'.* write_rows .*no room"):
        tiny_run([fails, takes, At(3, sleep), At(4, sleep)], epochs=1, steps=6)
    assert takes.rows == read_metrics(logs[0])
    assert 3 <= takes.steps[-1] <= 4


def test_what_fails_at_once_fails_the_run_in_that_step(tiny_run):
    takes = Takes()
    with pytest.raises(PluginHookError, match="no room"):
        tiny_run([Fails(), takes], epochs=1, steps=6)
    assert takes.steps == [1]


def test_what_fails_in_the_end_fails_the_run(tiny_run):
    takes = Takes()
    with pytest.raises(PluginHookError, match="no room"):
        tiny_run([Fails(lambda row: "val/loss" in row), takes], epochs=1, steps=6)
    assert takes.steps == [1, 2, 3, 4, 5, 6, 6]


@pytest.mark.parametrize("on_error", ["warn", "disable"])
def test_a_tolerated_failure_is_counted_and_training_goes_on(log, caplog, on_error):
    fails, takes = Fails(), Takes()
    rows, run = log(loaded("fails", fails, on_error), loaded("takes", takes))
    add(rows, run, 1, 2, 3)
    rows.flush()
    assert takes.steps == [1, 2, 3]
    (failure,) = rows.plugins.failures
    assert (failure.plugin, failure.hook, failure.error) == ("fails", "write_rows", "OSError: no room")
    assert fails.steps == ([1] if on_error == "disable" else [1, 2, 3])
    assert [record.getMessage().count("failed in write_rows") for record in caplog.records] == [1]


def test_of_several_that_fail_each_is_told(log):
    rows, run = log(loaded("a", Fails()), loaded("b", Fails()))
    with pytest.raises(ExceptionGroup, match="2 plugins failed in write_rows") as caught:
        add(rows, run, 1)
    notes = [str(each.__notes__) for each in caught.value.exceptions]
    assert ["'a'" in notes[0], "'b'" in notes[1]] == [True, True]
    rows.flush()


class Asks:
    """Has the rows handed over at each step, and says what it likes of whose fault that is."""

    @hookimpl
    def on_step_end(self, run):
        run.flush_rows()

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class FailsToo(Fails):
    pass


@pytest.mark.parametrize("kinds", [(Fails,), (Fails, FailsToo)])
def test_what_fails_is_never_the_fault_of_who_asks_for_rows(tiny_run, kinds):
    fail = [kind(lambda row: row["step"] == 2) for kind in kinds]
    with pytest.raises(PluginHookError, match=r"^plugin 'fails' .* write_rows failed"):
        tiny_run([Asks(), *fail], epochs=1, steps=4)


def test_a_log_that_cannot_be_written_is_not_the_fault_of_who_asks_for_rows(tiny_run):
    class Full(Asks):
        @hookimpl
        def on_step_end(self, run):
            if run.step == 3:
                size_bytes = (run.directory / "metrics.jsonl").stat().st_size
                resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
                run.flush_rows()

        @hookimpl
        def on_exception(self):
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(LogError, match=r"metrics\.jsonl cannot be written: File too large") as caught:
        tiny_run([Full()], epochs=1, steps=4)
    assert "plugin" not in str(getattr(caught.value, "__notes__", ""))


def test_a_log_that_cannot_be_written_is_told_once_and_plugins_get_their_rows_all_the_same(log, tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    takes = Takes()
    rows, run = log(loaded("takes", takes))
    with pytest.raises(LogError, match=r"metrics\.jsonl cannot be written"):
        add(rows, run, 1)
    add(rows, run, 2)
    rows.flush()
    assert takes.steps == [1, 2]


def test_who_gets_rows_may_ask_for_those_that_wait(tiny_run):
    takes = Takes(lambda run, rows: run.flush_rows())
    result = tiny_run([takes, At(4, lambda run: time.sleep(0.3))], epochs=1, steps=6)
    assert takes.rows == result.history


def test_a_wrapper_is_around_all_of_them(log):
    seen = []

    class Around:
        role = "observer"

        @hookimpl(wrapper=True)
        def write_rows(self, rows):
            seen.append(("before", len(takes.rows)))
            result = yield
            seen.append(("after", len(takes.rows)))
            return result

    takes = Takes()
    rows, run = log(loaded("takes", takes), loaded("around", Around()))
    add(rows, run, 1)
    assert seen == [("before", 0), ("after", 1)]


def test_time_is_kept(tiny_run):
    result = tiny_run([Takes(lambda run, rows: time.sleep(0.01))], epochs=1, steps=3)
    assert result.plugin_seconds["takes"]["write_rows"] >= 0.02

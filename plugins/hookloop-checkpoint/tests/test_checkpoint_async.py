"""Writing in the background: training waits for the copy alone, and nothing counts before it is durable."""

import threading
import time

import pytest
import torch

from hookloop import SnapshotError, hookimpl, snapshots

ASYNC = {"asynchronous": True, "keep_last": 2, "final": False}


class Gate:
    """Stands in place of `snapshots.write`, which it calls once it is opened."""

    def __init__(self, write):
        self.write = write
        self.opened = threading.Event()
        self.threads = []

    def __call__(self, directory, name, *given, **more):
        if threading.current_thread() is not threading.main_thread():
            self.threads.append(threading.current_thread())
            assert self.opened.wait(30)
        return self.write(directory, name, *given, **more)


class Diary:
    """Notes what happens at each step, and keeps the weights of each."""

    role = "observer"
    before = ("checkpoint",)

    def __init__(self, gate, open_at=()):
        self.gate, self.open_at = gate, open_at
        self.events = []
        self.weights = {}

    @hookimpl
    def decide(self, run):
        self.weights[run.step] = {name: each.clone() for name, each in run.model.state_dict().items()}

    @hookimpl
    def on_step_end(self, run):
        self.events.append(run.step)
        if run.step in self.open_at:
            self.gate.opened.set()
            for thread in self.gate.threads:
                thread.join()

    @hookimpl
    def on_checkpoint_saved(self, run, path):
        self.events.append(path.name)


@pytest.fixture
def gate(monkeypatch):
    gate = Gate(snapshots.write)
    monkeypatch.setattr(snapshots, "write", gate)
    yield gate
    gate.opened.set()


@pytest.fixture
def slow(monkeypatch):
    """Makes every write slow; returns how many were under way when each began."""
    under_way, real, lock = [], snapshots.write, threading.Lock()
    active = [0]

    def write(*given, **more):
        with lock:
            active[0] += 1
            under_way.append(active[0])
        time.sleep(0.03)
        try:
            return real(*given, **more)
        finally:
            with lock:
                active[0] -= 1

    monkeypatch.setattr(snapshots, "write", write)
    return under_way


def test_the_step_that_triggers_a_save_does_not_wait_for_it(tiny_run, gate):
    diary = Diary(gate, open_at=(5,))
    result = tiny_run([("checkpoint", {**ASYNC, "every": "3 steps"}), diary], epochs=1, steps=7)
    assert diary.events == [1, 2, 3, 4, 5, "step-00000003", 6, 7, "step-00000006"]
    assert not any(thread.daemon for thread in gate.threads)
    assert {thread.name for thread in gate.threads} == {"checkpoint-writer"}
    assert not any(thread.is_alive() for thread in gate.threads)
    assert result.last_checkpoint.name == "step-00000006"


def test_what_is_written_is_the_step_that_it_was_asked_for(tiny_run, gate):
    """Lightning#20953: layers of different steps. Megatron-Bridge#5738: the step of a later time."""
    diary = Diary(gate, open_at=(6,))
    result = tiny_run([("checkpoint", {**ASYNC, "every": "4 steps"}), diary], epochs=1, steps=7)
    state = snapshots.read(result.last_checkpoint)
    assert state["counters"]["step"] == snapshots.read_manifest(result.last_checkpoint).step == 4
    for name, tensor in state["model"].items():
        assert torch.equal(tensor, diary.weights[4][name])
        assert not torch.equal(tensor, diary.weights[6][name])
    momentum = state["optimizers"][0]["state"]
    assert any(not torch.equal(momentum[0]["momentum_buffer"], each["momentum_buffer"])
               for each in [result.state["optimizers"][0]["state"][0]])  # fmt: skip


def test_a_background_save_holds_what_a_synchronous_one_holds(tiny_run):
    def states(**options):
        result = tiny_run([("checkpoint", {"every": "2 steps", "keep_last": "all", **options})], epochs=2, steps=5)
        found = snapshots.find(result.directory)
        return [snapshots.read(each.path, parts=["model", "optimizers"]) for each in found]

    for one, other in zip(states(), states(asynchronous=True), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_at_most_one_write_is_under_way(tiny_run, slow, steps):
    """torchtitan PR#4197, reused stagers: save k+1 was staged into the buffer of save k."""
    result = tiny_run([("checkpoint", {**ASYNC, "every": "1 step", "keep_last": "all"})], epochs=1, steps=6)
    assert slow == [1] * 6
    assert steps(result.directory) == [1, 2, 3, 4, 5, 6]


def test_there_is_a_whole_snapshot_at_any_time_after_the_first(tiny_run, slow, acting, tmp_path):
    """TorchTNT: with async saves and keep_last_n=1 there was no complete checkpoint until the end (4.1 item 5)."""
    counts = []
    look = acting("on_batch_end", lambda run: counts.append(len(snapshots.find(tmp_path / "run"))))
    tiny_run([("checkpoint", {**ASYNC, "every": "1 step"}), look], epochs=2, steps=5, run_dir=tmp_path / "run")
    first = next(index for index, count in enumerate(counts) if count)
    assert all(counts[first:])


def test_a_failure_in_the_background_comes_out_at_the_next_boundary(tiny_run, monkeypatch):
    threads = []

    def write(directory, name, *given, **more):
        threads.append(threading.current_thread())
        raise SnapshotError("no room") from OSError(28, "No space left on device")

    def wait(run):
        for thread in threads:
            thread.join()

    monkeypatch.setattr(snapshots, "write", write)
    from hookloop import PluginHookError

    class Wait:
        role = "observer"

        @hookimpl
        def on_step_end(self, run):
            wait(run)

    options = {**ASYNC, "every": "2 steps", "on_failure": "raise"}
    with pytest.raises(PluginHookError, match="persist failed at step 3: SnapshotError: no room"):
        tiny_run([("checkpoint", options), Wait()], epochs=1, steps=8)


def test_a_failure_of_the_last_write_is_not_lost(tiny_run, monkeypatch, messages):
    """Errors in a background thread surface only where somebody asks for them (1.3)."""

    def write(*given, **more):
        time.sleep(0.05)
        raise SnapshotError("no room") from OSError(28, "No space left on device")

    monkeypatch.setattr(snapshots, "write", write)
    result = tiny_run([("checkpoint", {**ASYNC, "every": "3 steps"})], epochs=1)
    assert result.outcome == "completed"
    assert ["no room" in each for each in messages("ERROR")] == [True]
    assert "checkpoint: 1 snapshot was not written; the last of them, step 3: no room" in messages()


def test_a_write_that_has_begun_is_finished_when_training_fails_and_masks_nothing(
    tiny_run, slow, steps, failing_plugin
):
    """NeMo-RL PR#2828: a daemon thread was killed before its last rename, and the shutdown hid the true error."""
    bomb = failing_plugin("on_step_end", RuntimeError("the true error"), at_step=3)
    with pytest.raises(Exception, match="the true error"):
        tiny_run([("checkpoint", {**ASYNC, "every": "2 steps"}), bomb], epochs=1, steps=5)
    assert steps(tiny_run.directory / "run-1") == [2]


def test_nothing_is_removed_when_the_new_one_was_not_written(tiny_run, steps, monkeypatch):
    real, calls = snapshots.write, []

    def write(*given, **more):
        calls.append(given[1])
        if len(calls) > 2:
            raise SnapshotError("no room") from OSError(28, "No space left on device")
        return real(*given, **more)

    monkeypatch.setattr(snapshots, "write", write)
    result = tiny_run([("checkpoint", {**ASYNC, "every": "1 step"})], epochs=1, steps=5)
    assert len(calls) == 5
    assert steps(result.directory) == [1, 2]


def test_a_snapshot_that_was_not_written_is_not_the_best(tiny_run, scores, monkeypatch):
    real = snapshots.write

    def write(directory, name, *given, **more):
        if name == "step-00000006":
            raise SnapshotError("no room") from OSError(28, "No space left on device")
        return real(directory, name, *given, **more)

    monkeypatch.setattr(snapshots, "write", write)
    options = {**ASYNC, "monitor": "val/score", "mode": "min"}
    result = tiny_run([("checkpoint", options), scores([0.5, 0.1, 0.3])], epochs=3)
    assert result.best_checkpoint.name == "step-00000009"


def test_what_is_being_written_counts_in_its_own_state_and_not_in_that_of_others(tiny_run, gate, scores):
    """A run that is killed now, and resumed from the other one, would take a snapshot for the best that never was."""
    best = {"use": "checkpoint", "monitor": "val/score", "mode": "min", **ASYNC}
    others = ("checkpoint", {"every": "1 step", "keep_last": "all", "final": False})
    result = tiny_run([("best", best), others, scores([0.5, 0.7]), Diary(gate, open_at=(5,))], epochs=2)
    found = {(each.instance, each.step): snapshots.read(each.path) for each in snapshots.find(result.directory)}
    counted = {
        key: [each["step"] for each in state["plugins"]["best"]["state"]["monitor"]["ranking"]]
        for key, state in found.items()
    }
    assert counted["best", 3] == [3]
    assert [counted["checkpoint", step] for step in range(2, 7)] == [[], [], [], [3], [3]]


def test_what_could_not_be_read_back_is_an_error_whatever_the_policy(tiny_run, acting):
    """transformers#34631, #40500: a state that the loader refuses was found when it was needed."""

    def spoil(run, checkpoint):
        checkpoint["mine"] = object()

    plugin = type(
        "Spoiling",
        (),
        {"role": "observer", "on_checkpoint_save": hookimpl(lambda self, run, checkpoint: spoil(run, checkpoint))},
    )()
    for asynchronous in (True, False):
        with pytest.raises(Exception, match="mine"):
            tiny_run([("checkpoint", {**ASYNC, "asynchronous": asynchronous, "every": "1 step"}), plugin])

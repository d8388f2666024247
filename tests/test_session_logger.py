"""A logger of a service that is a dictionary: what is left to write for a service of one's own."""

import copy
import uuid

import pytest

from hookloop import Engine, hookimpl
from hookloop.loggers import SessionLogger, lasting_id, safe_name
from hookloop.testing import PluginContract, tiny_task


class Session:
    """A run of the service: rows, and what else it was given."""

    def __init__(self, kept, run_id):
        self.kept, self.id = kept, run_id
        self.kept.setdefault(run_id, {"rows": [], "other": []})

    @property
    def count(self):
        return len(self.kept[self.id]["rows"])

    def go_back(self, rows):
        del self.kept[self.id]["rows"][rows:]
        return {row["step"] for row in self.kept[self.id]["rows"]}

    def log_row(self, row):
        self.kept[self.id]["rows"].append(row)

    def __getattr__(self, name):
        return lambda *given: self.kept[self.id]["other"].append((name, *given))


class Tracker(SessionLogger):
    """Logs to the dictionary that it is given."""

    reserved = ("step", "epoch", "owner")

    def __init__(self, kept=None, *, log_checkpoints=False):
        super().__init__()
        self.kept = {} if kept is None else kept
        self.log_checkpoints = log_checkpoints

    def open(self, run, instance):
        return Session(self.kept, lasting_id(run, instance, lambda: uuid.uuid4().hex))


class Quiet(Tracker):
    """Is switched off."""

    def open(self, run, instance):
        return None


TRACKER = f"{__file__}:Tracker"


class TestTracker(PluginContract):
    plugin = TRACKER


class TestQuiet(PluginContract):
    plugin = TRACKER.replace("Tracker", "Quiet")


class Media:
    """Logs one of each kind in step 2, a metric of a reserved name in each, and takes a state in step 4."""

    role = "observer"

    def __init__(self, path):
        self.path = path
        self.state = None

    @hookimpl
    def on_step_end(self, run):
        run.log("owner", run.step)
        if run.step == 2:
            import torch  # not at the top, as the contract looks whether the plugin's module imports it

            self.values = torch.zeros(2, 2, requires_grad=True)
            run.log_text("owner", "words")
            run.log_histogram("values", self.values)
            run.log_artifact(self.path, "file")

    @hookimpl
    def report(self, run):
        if run.step == 4 and self.state is None:
            from hookloop.state import run_state

            self.state = copy.deepcopy(run_state(run))


def engine(directory, *plugins, **options):
    options = {"max_epochs": 3, "log_every": "1 step", "device": "cpu", **options}
    return Engine(
        lambda: tiny_task(3),
        loss="cross_entropy",
        optimizer="sgd",
        plugins=list(plugins),
        run_dir=directory,
        **options,
    )


@pytest.fixture
def media(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("text")
    return Media(path)


def test_a_service_gets_one_row_a_step_and_what_else_is_logged(tmp_path, media):
    kept = {}
    engine(tmp_path / "run", Tracker(kept), media).fit()
    ((run_id, got),) = kept.items()
    assert [row["step"] for row in got["rows"]] == list(range(1, 10))
    assert [row["logged/owner"] for row in got["rows"]] == list(range(1, 10))
    assert [row["epoch"] for row in got["rows"]] == [0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert {"val/loss", "train/loss"} <= set(got["rows"][2])
    text, histogram, artifact, end = got["other"]
    assert text == ("log_text", 2, "logged/owner", "words")
    assert histogram[:3] == ("log_histogram", 2, "values")
    assert histogram[3].tolist() == [0.0] * 4
    assert histogram[3].data_ptr() != media.values.data_ptr()
    assert artifact == ("log_artifact", "file", media.path)
    assert end == ("close", 9, "completed", "")
    assert run_id in (tmp_path / "run" / "tracker.json").read_text()


def test_a_resumed_run_has_the_rows_of_one_that_was_never_stopped(tmp_path, media):
    whole, parts = {}, {}
    engine(tmp_path / "whole", Tracker(whole)).fit()
    engine(tmp_path / "parts", Tracker(parts), media, max_epochs=2).fit()
    ((run_id, got),) = parts.items()
    for lost in range(3):  # of rows that the state counts, so many had not come to the service
        got["rows"] = got["rows"][: 4 - lost] if lost else got["rows"]
        engine(tmp_path / "parts", Tracker(parts), overwrite=False).fit(resume=media.state)
        assert list(parts) == [run_id]
        rows = [{name: value for name, value in row.items() if name != "logged/owner"} for row in got["rows"]]
        ((_, expected),) = whole.items()
        assert rows == expected["rows"]


def test_a_new_run_in_the_same_directory_is_a_new_run_of_the_service(tmp_path):
    kept = {}
    engine(tmp_path, Tracker(kept)).fit()
    engine(tmp_path, Tracker(kept), overwrite=True).fit()
    assert [len(each["rows"]) for each in kept.values()] == [9, 9]


def test_the_service_is_told_why_a_run_failed(tmp_path, failing_plugin):
    kept = {}
    with pytest.raises(Exception, match="on_step_end failed at step 5"):
        engine(tmp_path, Tracker(kept), failing_plugin("on_step_end", at_step=5)).fit()
    ((_, got),) = kept.items()
    name, step, outcome, reason = got["other"][-1]
    assert (name, step, outcome) == ("close", 5, "failed")
    assert reason
    assert [row["step"] for row in got["rows"]] == [1, 2, 3, 4]


def test_only_the_first_rank_opens_a_run(tmp_path):
    class Second:
        role = "actor"

        @hookimpl(tryfirst=True)
        def on_run_start(self, run):
            run.rank = 1

        @hookimpl
        def on_ready(self, run):
            run.rank = 0

    kept = {}
    engine(tmp_path, Second(), Tracker(kept)).fit()
    assert kept == {}


def test_the_best_checkpoint_or_else_the_newest_is_logged_on_request(tmp_path):
    class Best:
        role = "observer"

        def __init__(self, best):
            self.best = best

        @hookimpl
        def on_fit_end(self, run):
            run.last_checkpoint = tmp_path / "last"
            run.best_checkpoint = self.best

    for number, (best, wanted) in enumerate([(tmp_path / "best", "best"), (None, "last")]):
        kept = {}
        engine(tmp_path / str(number), Tracker(kept, log_checkpoints=True), Best(best)).fit()
        ((_, got),) = kept.items()
        assert got["other"][0] == ("log_checkpoint", tmp_path / wanted)


@pytest.mark.parametrize(("name", "safe"), [("a b/c", "a-b-c"), ("ü.x_Y-9", "-.x_Y-9"), ("x" * 200, "x" * 120)])
def test_a_name_is_made_safe(name, safe):
    assert safe_name(name) == safe

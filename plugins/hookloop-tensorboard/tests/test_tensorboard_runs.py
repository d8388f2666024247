"""The plugin tensorboard in an engine, read back by TensorBoard's own reader."""

import logging
import math

import pytest
import torch

from hookloop import ConfigError, Engine, PluginError, SupervisedTask, hookimpl
from hookloop.testing.tiny import tiny_task
from hookloop_tensorboard import TensorBoard
from hookloop_tensorboard.protos import Event, Status
from hookloop_tensorboard.rates import learning_rates
from hookloop_tensorboard.settings import flat


@pytest.fixture
def train(tiny_run, board):
    """Train the tiny task with the plugin, and return what it wrote."""

    def run(*plugins, commands=("fit",), **options):
        keywords = {key: options.pop(key) for key in list(options) if key not in TensorBoard.Config.model_fields}
        result = tiny_run([("tensorboard", options), *plugins], commands=commands, **keywords)
        return board(result.directory / options.get("directory", "tensorboard"))

    return run


class Logs:
    """Logs what a test gives it after each step."""

    def __init__(self, log):
        self.log = log

    @hookimpl
    def on_step_end(self, run):
        self.log(run)


def test_points_stand_at_the_names_and_steps_of_the_engine(train, tiny_run):
    scalars = train(Logs(lambda run: run.log("my/odd name (%)", run.step))).scalars()
    history = tiny_run.results["fit"].history
    for name in ("train/loss", "val/loss", "my/odd name (%)"):
        assert scalars[name] == [(row["step"], pytest.approx(row[name])) for row in history if name in row]
    assert [step for step, _ in scalars["train/loss"]] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in scalars["val/loss"]] == [3, 6]


def test_a_name_that_comes_twice_at_a_step_is_one_point_with_the_newest_value(train):
    class Twice:
        @hookimpl
        def on_step_end(self, run):
            run.log("x", 1.0)

        @hookimpl
        def on_epoch_end(self, run):
            run.log("x", 2.0)

    assert train(Twice()).scalars()["x"] == [(1, 1), (2, 1), (3, 2), (4, 1), (5, 1), (6, 2)]


def test_values_that_are_not_finite_are_points_too(train):
    values = iter([math.nan, math.inf, -math.inf, 1e300, 0.0, -0.0])
    found = [value for _, value in train(Logs(lambda run: run.log("x", next(values)))).scalars()["x"]]
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf, math.inf, 0, 0]


def test_progress_tells_the_epochs_at_each_step(train):
    found = train().scalars()["progress/epoch"]
    assert found == [(step, pytest.approx(step / 3)) for step in range(1, 7)]


def test_progress_counts_whole_epochs_where_nobody_knows_their_length(train):
    class Endless:
        def __init__(self):
            self.batches = tiny_task(3).train_loader()

        def __iter__(self):
            return iter(self.batches)

    model = tiny_task().model
    found = train(task=lambda: SupervisedTask(model, Endless())).scalars()["progress/epoch"]
    assert found == [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (6, 2)]


def test_the_learning_rates_of_all_groups_are_there(train):
    def optimizer(params):
        first, *rest = params
        return torch.optim.SGD([{"params": [first]}, {"params": rest, "lr": 0.5, "name": "rest"}], lr=0.25)

    scalars = train(optimizer=optimizer).scalars()
    assert scalars["lr/sgd"] == [(step, 0.25) for step in range(1, 7)]
    assert scalars["lr/sgd/rest"] == [(step, 0.5) for step in range(1, 7)]


def test_learning_rates_that_somebody_logs_are_not_logged_again(train):
    scalars = train(Logs(lambda run: run.log("lr/mine", 3.0))).scalars()
    assert [name for name in scalars if name.startswith("lr/")] == ["lr/mine"]


def test_optimizers_of_one_kind_have_names_of_their_own():
    def sgd(rate):
        return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)

    assert learning_rates([sgd(1.0), sgd(2.0)]) == {"lr/sgd": 1.0, "lr/sgd-1": 2.0}
    assert learning_rates([sgd(torch.tensor(0.5))]) == {"lr/sgd": 0.5}


def test_hyper_parameters_are_a_part_of_the_run_and_not_another_one(train):
    made = train(loss="cross_entropy", optimizer=("sgd", {"lr": 0.125, "nesterov": False}))
    values, status = made.hyper_parameters()
    assert values["optimizer.lr"] == 0.125
    assert values["optimizer.nesterov"] is False
    assert values["loss.use"] == "cross_entropy"
    assert values["run.max_epochs"] == 2
    assert not any(name.startswith("plugins.tensorboard") for name in values)
    assert status == Status.Value("STATUS_SUCCESS")
    assert not [path for path in made.directory.iterdir() if path.is_dir()]


def test_the_table_of_hyper_parameters_has_the_final_metrics(train, tiny_run):
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    made = train()
    runs = str(made.directory.parents[1])
    provider = MultiplexerDataProvider(EventMultiplexer().AddRunsFromDirectory(runs).Reload(), runs)
    context = backend_context.Context(TBContext(data_provider=provider))
    request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=9, include_metrics=True)
    request.allowed_statuses.append(Status.Value("STATUS_SUCCESS"))
    (group,) = list_session_groups.Handler(RequestContext(), context, "", request).run().session_groups
    found = {each.name.tag: each.value for each in group.metric_values}
    assert found["val/loss"] == pytest.approx(tiny_run.results["fit"].metrics["val/loss"])


def test_settings_of_every_kind_become_one_value_each():
    given = {"a": {"b": 1, "c": [1, "x"], "d": None, "e": math.inf}, "t": True, "p": {"me": {"x": 1}}}
    assert flat(given, ["p.me"]) == {"a.b": 1, "a.c": '[1, "x"]', "a.e": "inf", "t": True}


def test_the_configuration_is_a_text(train):
    made = train()
    (tensor,) = made.reader().Tensors("config")
    (text,) = tensor.tensor_proto.string_val
    config = (made.directory.parent / "config.toml").read_text()
    assert text.decode() == f"```toml\n{config}```"


def test_texts_images_and_histograms_are_taken(train):
    def log(run):
        run.log_text("notes/first", f"*step* {run.step}")
        run.log_image("colours", torch.rand(3, 4, 5))
        run.log_image("grey", torch.rand(4, 5))
        run.log_image("seen through", torch.rand(4, 4, 5))
        run.log_histogram("values", torch.arange(10.0))

    reader = train(Logs(log), epochs=1).reader()
    assert [each.tensor_proto.string_val[0] for each in reader.Tensors("notes/first")][2] == b"*step* 3"
    for name in ("colours", "grey", "seen through"):
        assert [(each.step, each.width, each.height) for each in reader.Images(name)] == [
            (1, 5, 4),
            (2, 5, 4),
            (3, 5, 4),
        ]
    (first, *_) = reader.Histograms("values")
    counted = first.histogram_value
    assert (first.step, counted.num, counted.min, counted.max, counted.sum) == (1, 10, 0, 9, 45)


def test_figures_are_taken_and_may_be_closed(train):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    def draw():
        figure = Figure(figsize=(2, 1), dpi=50)
        figure.subplots().plot([1, 2])
        return figure

    reader = train(Logs(lambda run: run.log_figure("plot", draw)), epochs=1).reader()
    assert [(each.step, each.width, each.height) for each in reader.Images("plot")] == [(n, 100, 50) for n in (1, 2, 3)]


def test_a_buffer_that_is_used_again_after_an_image_was_logged_does_not_show(train):
    pixels = torch.zeros(2, 2, dtype=torch.uint8)

    def log(run):
        pixels.fill_(run.step)
        run.log_image("buffer", pixels)
        pixels.fill_(99)

    import io

    from PIL import Image

    shown = train(Logs(log)).reader().Images("buffer")
    assert [Image.open(io.BytesIO(each.encoded_image_string)).getpixel((0, 0)) for each in shown] == [1, 2, 3, 4, 5, 6]


def test_what_is_not_finite_in_a_histogram_is_said_once(train, caplog):
    values = torch.tensor([1.0, math.nan, 2.0])
    made = train(Logs(lambda run: run.log_histogram("broken", values) or run.log_histogram("gone", values[1:2])))
    assert [each.histogram_value.num for each in made.reader().Histograms("broken")] == [2] * 6
    assert "gone" not in made.reader().Tags()["histograms"]
    assert len([each for each in caplog.records if "not finite" in each.message]) == 2


def test_what_is_logged_before_training_is_kept(train):
    class Early:
        @hookimpl
        def on_run_start(self, run):
            run.log_text("first", "words")

    assert ("first", 0) in train(Early()).rows()


def test_the_graph_is_drawn_on_request(train):
    reader = train(graph=True).reader()
    names = {node.op for node in _graph(reader).node}
    assert "aten::linear" in names or "aten::addmm" in names
    assert not train().reader().Tags()["graph"]


def _graph(reader):
    return reader.Graph()


def test_drawing_the_graph_leaves_no_trace_in_training(tiny_run):
    def task():
        torch.manual_seed(3)
        layers = [torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3)]
        layers[1].weight.requires_grad_(False)
        layers[1].bias.requires_grad_(False)
        layers[1].eval()  # frozen, and to stay so
        return SupervisedTask(torch.nn.Sequential(*layers), tiny_task(3).train_loader())

    seen = []
    modes = Logs(lambda run: seen.append([module.training for module in run.model.modules()]))
    ends = [tiny_run([*plugins, modes], task=task) for plugins in ([], [("tensorboard", {"graph": True})])]
    plain, drawn = (each.state for each in ends)
    for name, value in plain["model"].items():
        assert torch.equal(value, drawn["model"][name])
    assert torch.equal(plain["rng"]["torch"], drawn["rng"]["torch"])
    assert seen[:6] == seen[6:]
    assert seen[0] == [True, True, False, True, True]


class ByName(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x)


class CallsByName(SupervisedTask):
    def forward(self, batch):
        return self.model(x=batch[0])


class Untraceable(ByName):
    def forward(self, x):
        if torch.jit.is_tracing():
            raise NotImplementedError("not while\nbeing traced")
        return self.layer(x)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (lambda: CallsByName(ByName(), tiny_task(3).train_loader()), "keyword arguments (x)"),
        (lambda: SupervisedTask(Untraceable(), tiny_task(3).train_loader()), "NotImplementedError: not while"),
        (
            lambda: SupervisedTask(ByName(), iter(tiny_task(3).train_loader())),
            "that can be walked only once",
        ),
    ],
)
def test_a_model_without_a_graph_is_one_warning(train, caplog, capsys, task, said):
    made = train(task=task, graph=True, epochs=1)
    (warning,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert "no graph of the model" in warning.message
    assert said in warning.message
    assert capsys.readouterr().out == ""
    assert len(made.scalars()["train/loss"]) == 3


@pytest.mark.parametrize("command", ["validate", "test"])
def test_an_evaluation_by_itself_is_written(train, command):
    scalars = train(commands=[command]).scalars()
    assert list(scalars) == ["val/loss" if command == "validate" else "test/loss"]


def test_a_prediction_writes_nothing(train):
    assert not train(commands=["predict"]).directory.exists()


def test_a_test_after_a_fit_adds_a_file_and_drops_nothing(train):
    made = train(commands=["fit", "test"])
    assert [step for step, _ in made.scalars()["train/loss"]] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in made.scalars()["test/loss"]] == [6]


def test_a_failed_run_keeps_its_points_and_says_so(train, failing_plugin, tmp_path, board):
    with pytest.raises(PluginError):
        train(failing_plugin("on_step_end", at_step=3), run_dir=tmp_path / "failed")
    made = board(tmp_path / "failed" / "tensorboard")
    assert [step for step, _ in made.scalars()["train/loss"]] == [1, 2]
    assert made.hyper_parameters()[1] == Status.Value("STATUS_FAILURE")


def test_an_interrupted_run_is_not_over(train, tmp_path, board):
    def interrupt(run):
        if run.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Logs(interrupt), run_dir=tmp_path / "stopped")
    made = board(tmp_path / "stopped" / "tensorboard")
    assert made.hyper_parameters()[1] is None
    assert [step for step, _ in made.scalars()["train/loss"]] == [1, 2]


def test_a_disk_that_fails_is_said_once_and_training_goes_on(train, caplog, tiny_run):
    class Pull:
        """Makes the file fail, as a full disk does."""

        before = ("tensorboard",)

        @hookimpl
        def on_step_start(self, run):
            if run.step == 2:
                file = run.plugins["tensorboard"].board.file
                file.flush()
                file.error = OSError(28, "No space left on device")

    train(Pull())
    errors = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "No space left on device" in errors[0].message
    assert tiny_run.results["fit"].outcome == "completed"


def test_a_directory_that_cannot_be_made_is_said_and_training_goes_on(train, caplog, tiny_run, monkeypatch):
    from hookloop_tensorboard import board

    def full(directory):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(board, "next_path", full)
    train(Logs(lambda run: run.log_text("a", "b")), graph=True)
    assert len([each for each in caplog.records if each.levelno >= logging.ERROR]) == 1
    assert tiny_run.results["fit"].outcome == "completed"


def test_a_file_in_the_way_is_an_error_before_anything_runs(train, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tensorboard").write_text("")
    with pytest.raises(PluginError, match=r"is a file: give \[plugins.tensorboard\] another 'directory'"):
        train(run_dir=tmp_path / "run")


def test_two_instances_need_two_directories(train, board):
    with pytest.raises(PluginError, match=r"two plugins write into tensorboard/: give \[plugins.\w+\] a 'directory'"):
        train(("second", {"use": "tensorboard"}))
    first = train(("second", {"use": "tensorboard", "directory": "boards/second"}))
    second = board(first.directory.parent / "boards" / "second")
    assert first.scalars() == second.scalars()


@pytest.mark.parametrize("directory", ["/tmp/board", "../board", ""])
def test_a_directory_elsewhere_is_refused(train, directory):
    with pytest.raises(ConfigError, match="inside of the run directory"):
        train(directory=directory)


def test_an_instance_can_be_used_again(tmp_path, board):
    plugin = TensorBoard(TensorBoard.Config())
    for name in ("a", "b"):
        engine = Engine(tiny_task, loss="cross_entropy", optimizer="sgd", plugins=[plugin], max_epochs=1,
                        log_every="1 step", run_dir=tmp_path / name, device="cpu")  # fmt: skip
        engine.fit()
        assert [step for step, _ in board(tmp_path / name / "tensorboard").scalars()["train/loss"]] == [1, 2, 3]


def test_another_rank_writes_nothing(train):
    class SecondRank:
        before = ("tensorboard",)

        @hookimpl
        def on_run_start(self, run):
            run.rank = 1

    assert not train(SecondRank()).directory.exists()


def test_no_point_waits_in_the_process_at_a_checkpoint(train, board):
    seen = []

    class Look:
        @hookimpl
        def persist(self, run):
            state = run.plugins.state_dict()["tensorboard"]["state"]
            on_disk = {step for name, step in board(run.directory / "tensorboard").rows() if name == "train/loss"}
            seen.append((run.step, on_disk | {state["step"]} - {-1}))

    train(Look(), flush_seconds=1000)
    assert all(known == set(range(1, step + 1)) for step, known in seen)
    assert len(seen) == 8


def test_events_have_the_version_that_readers_want(train):
    first, *_ = train().events()
    assert isinstance(first, Event)
    assert first.file_version == "brain.Event:2"

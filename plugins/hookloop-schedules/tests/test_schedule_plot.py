"""``hookloop schedule plot``, and the drawing by itself."""

import json
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET

import pytest

from hookloop import hookimpl
from hookloop.cli.main import run as main
from hookloop_schedules.chart import Line, draw
from hookloop_schedules.sparkline import sparkline

TASK = """
import torch
from hookloop import SupervisedTask

def build():
    data = [(torch.ones(2, 3), torch.ones(2, 1))] * 5
    return SupervisedTask(model=torch.nn.Linear(3, 1), train=data, val=data)
"""

CONFIG = """\
[run]
max_epochs = 4
device = "cpu"
[task]
use = "plot_task.py:build"
[loss]
use = "mse"
[optimizer]
use = "sgd"
lr = 0.5
[schedule]
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A function that writes a configuration with a schedule, in the current directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plot_task.py").write_text(TASK)

    def write(schedule):
        (tmp_path / "run.toml").write_text(CONFIG + schedule)
        return "run.toml"

    return write


def test_it_prints_a_line_of_bars_with_first_highest_and_last_rate(config, capsys):
    assert main(["schedule", "plot", config('use = "linear"\nunit = "step"\n')]) == 0
    first, name, bars, rates = capsys.readouterr().out.splitlines()
    assert first == "'linear' by step, 20 steps"
    assert name == "lr/sgd"
    assert bars.strip()[0] == "█"
    assert bars.strip()[-1] == "▁"
    assert rates.strip() == "0.5 → 0.5 → 0"


@pytest.mark.parametrize(
    "schedule",
    [
        'use = "cosine"\nunit = "step"\nrestarts = 1\n',
        'use = "cosine"\nmin_lr = 0.1\n',
        'use = "warmup"\nlength = 5\nunit = "step"\nthen = { use = "cyclical", half_cycle = 3, min_lr = 0.01 }\n',
        'use = "StepLR"\nstep_size = 3\nunit = "step"\n',
        'use = "SequentialLR"\nmilestones = [2]\nschedulers = ["ConstantLR", { use = "ExponentialLR", gamma = 0.5 }]\n',
    ],
)
def test_what_it_shows_is_what_training_does(config, capsys, tiny_run, schedule):
    path = config(schedule)
    assert main(["schedule", "plot", path, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    seen = {}

    class Rates:
        @hookimpl
        def on_step_start(self, run):
            seen[run.step if shown["unit"] == "step" else run.epoch] = run.optimizers[0].param_groups[0]["lr"]

        @hookimpl
        def on_fit_end(self, run):
            self.on_step_start(run)

    table = tomllib.loads(schedule)
    settings = {"schedule": (table.pop("use"), table), "optimizer": ("sgd", {"lr": 0.5}), "epochs": 4, "steps": 5}
    tiny_run(["schedules", Rates()], **settings)
    assert shown["rates"]["lr/sgd"] == [seen[at] for at in shown["progress"]]


def test_it_draws_an_svg_and_trains_nothing(config, tmp_path, capsys):
    before = {*tmp_path.iterdir()}
    assert main(["schedule", "plot", config('use = "cosine"\n'), "--svg", "lr.svg"]) == 0
    assert ET.fromstring((tmp_path / "lr.svg").read_text(encoding="utf-8")).tag.endswith("svg")
    left = {path.name for path in {*tmp_path.iterdir()} - before}
    assert left <= {"lr.svg", "run.toml", "__pycache__"}


def test_overrides_and_a_length_count(config, capsys):
    path = config('use = "linear"\nunit = "step"\n')
    assert main(["schedule", "plot", path, "--set", "optimizer.lr=2", "--steps", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rates"]["lr/sgd"] == [2.0, 1.9, 1.8, 1.7]


def test_a_schedule_that_follows_a_metric_is_shown_with_a_word_about_it(config, capsys):
    assert main(["schedule", "plot", config('use = "reduce_on_plateau"\n')]) == 0
    assert "It follows val/loss, which nobody knows before training" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("", "schedule"),
        ('use = "cosin"\n', "Did you mean 'cosine'?"),
        ('use = "step"\n', "run.toml:12: schedule.use: needs the option 'step_size'"),
    ],
)
def test_a_mistake_in_the_file_ends_with_2_and_no_traceback(config, capsys, schedule, said):
    assert main(["schedule", "plot", config(schedule)]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err


def test_no_configuration_is_told(capsys):
    assert main(["schedule", "plot"]) == 2
    assert "hookloop schedule plot run.toml" in capsys.readouterr().err


def test_its_help_does_not_import_torch():
    code = "import sys; from hookloop.cli.main import run; run(['schedule', 'plot', '--help']); "
    code += "assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--svg" in done.stdout


@pytest.mark.parametrize(
    ("values", "wanted"),
    [([], ""), ([0.0, 0.0], "▁▁"), ([1.0], "█"), ([0.0, 0.5, 1.0], "▁▅█"), ([1.0, 0.0] * 4, "████")],
)
def test_a_sparkline_is_as_long_as_its_values_or_as_it_may_be(values, wanted):
    assert sparkline(values, 4) == wanted


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [Line("nothing", [], [])],
        [Line("one <point>", [1.0], [2.0])],
        [Line("flat", [1, 2, 3], [0.0, 0.0, 0.0])],
        [Line("long", list(range(1, 9000)), [float(value) for value in range(1, 9000)]), Line("b", [1], [1], True)],
    ],
)
@pytest.mark.parametrize("log_x", [False, True])
def test_a_chart_of_anything_is_valid_and_small(lines, log_x):
    text = draw(lines, "title & more", "x", "y", log_x=log_x, mark=1.5)
    ET.fromstring(text)
    assert len(text) < 200_000
    assert "nan" not in text

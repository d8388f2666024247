WRONG = """\
[run]
max_epochs = "two"

[task]
use = "task.py:build"
hiden = 3

[loss]
use = "cross_entropi"

[optimizer]
use = "sgd"
lrr = 1

[schedule]
use = "cosine"
unit = "epoch"
perod = 3

[metrics.accuracy]
[metrics.mine]
use = "task.py:nothing"

[plugins.slow]
use = "plugins.py:Slow"
secnds = 1

[plugins.missing]
use = "none.py"
"""


def test_a_right_configuration_is_ok_and_makes_no_run(here, files):
    before = set(files.iterdir())
    answer = here("check", "run.toml", "-p", "plugins.py:Slow", "--set", "plugins.autoload=false")
    assert answer.code == 0
    assert answer.out.splitlines() == [
        "OK",
        "task        SupervisedTask",
        "model       Sequential",
        "parameters  35",
        "batches     train 4, validate 2, test 2, predict 2",
        "optimizers  SGD",
        "device      cpu",
        "plugins     slow",
    ]
    assert {path for path in files.iterdir() if path.name != "__pycache__"} == before


def test_scripts_get_the_same(here, files):
    answer = here("check", "run.toml", "--json")
    assert (answer.code, answer.json["ok"], answer.json["problems"]) == (0, True, [])
    assert answer.json["batches"] == {"train": 4, "validate": 2, "test": 2, "predict": 2}


def test_names_and_options_of_every_kind_are_checked_at_once_in_the_order_of_the_file(hookloop, files):
    (files / "wrong.toml").write_text(WRONG)
    answer = hookloop("check", "wrong.toml")
    assert (answer.code, answer.out) == (2, "")
    assert [line.split(": ")[:2] for line in answer.err.splitlines()] == [
        ["wrong.toml:2", "run.max_epochs"],
        ["wrong.toml:6", "task.hiden"],
        ["wrong.toml:9", "loss.use"],
        ["wrong.toml:13", "optimizer.lrr"],
        ["wrong.toml:18", "schedule.perod"],
        ["wrong.toml:22", "metrics.mine.use"],
        ["wrong.toml:26", "plugins.slow.secnds"],
        ["wrong.toml:28", "plugins.missing"],
    ]
    assert "Did you mean 'cross_entropy'?" in answer.err


def test_a_name_that_a_plugin_may_offer_is_no_mistake_while_the_plugin_cannot_be_loaded(here, files):
    more = "[plugins.absent]\n[metrics.completely_different]\n"
    (files / "more.toml").write_text(more)
    answer = here("check", "run.toml", "-c", "more.toml")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert "no plugin 'absent' is installed" in answer.err


def test_a_run_without_an_end_is_told_before_it_is_started(here, files):
    (files / "endless.toml").write_text((files / "run.toml").read_text().replace("max_epochs = 2\n", ""))
    answer = here("check", "endless.toml")
    assert (answer.code, answer.err) == (2, "run: nothing ends this run: set max_epochs, max_steps or max_seconds.\n")


def test_a_file_without_a_task_is_told_so(here, files):
    (files / "run.toml").write_text("[run]\nmax_steps = 1\n")
    answer = here("check", "run.toml")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert answer.err.startswith("task: there is no task: write [task]")


def test_what_only_building_shows_is_told_at_once_too(here, files):
    answer = here("check", "run.toml", "--set", "optimizer.lr=-1", "--set", 'loss.reduction="maximum"')
    assert answer.code == 2
    assert "optimizer" in answer.err
    assert "Invalid learning rate: -1" in answer.err


def test_an_error_of_the_task_is_the_tasks(here, files):
    answer = here("check", "run.toml", "--set", "task.use=task.py:unbuildable")
    assert answer.code == 1
    assert 'raise OSError("the data is not there")' in answer.err


def test_no_hook_is_called(here, files):
    (files / "loud.py").write_text(
        "from hookloop import hookimpl\n"
        "class Loud:\n"
        "    @hookimpl\n"
        "    def on_run_start(self): raise SystemExit(9)\n"
        "    @hookimpl\n"
        "    def prepare_model(self, model): raise SystemExit(9)\n"
        "    @hookimpl\n"
        "    def prepare_loader(self, loader): raise SystemExit(9)\n"
    )
    assert here("check", "run.toml", "-p", "loud.py").code == 0


def test_code_of_the_users_own_is_checked_by_its_signature(here, files):
    (files / "own.py").write_text(
        "import torch\n"
        "def rate(progress, lr, power): return lr\n"
        "def closeness(output, target, margin=1): return 0.0\n"
        "def loss(output, target): return output.sum()\n"
    )
    (files / "own.toml").write_text(
        '[loss]\nuse = "own.py:loss"\n[schedule]\nuse = "own.py:rate"\n'
        '[metrics.near]\nuse = "own.py:closeness"\nmargn = 2\n'
    )
    answer = here("check", "run.toml", "-c", "own.toml")
    assert answer.code == 2
    assert [line.split(": ")[1] for line in answer.err.splitlines()] == ["schedule.use", "metrics.near.margn"]
    (files / "own.toml").write_text(
        '[loss]\nuse = "own.py:loss"\n[schedule]\nuse = "own.py:rate"\npower = 2\n'
        '[metrics.near]\nuse = "own.py:closeness"\n'
    )
    assert here("check", "run.toml", "-c", "own.toml").code == 0

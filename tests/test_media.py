import sys

import numpy
import pytest
import torch

from hookloop import Engine, HookloopError, hookimpl
from hookloop.media import as_pixels
from hookloop.testing import tiny_task

BYTES = torch.arange(24, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("image", "shape"),
    [
        (torch.zeros(4, 5), (4, 5, 1)),
        (torch.zeros(3, 4, 5), (4, 5, 3)),
        (torch.zeros(1, 4, 5), (4, 5, 1)),
        (torch.zeros(4, 1, 1), (1, 1, 4)),
        (numpy.zeros((4, 5)), (4, 5, 1)),
        (numpy.zeros((4, 5, 3), dtype=numpy.uint8), (4, 5, 3)),
        (numpy.zeros((3, 5, 4), dtype=bool), (3, 5, 4)),
    ],
)
def test_a_tensor_has_its_channels_first_and_an_array_last(image, shape):
    pixels = as_pixels("name", image)
    assert (tuple(pixels.shape), pixels.dtype) == (shape, torch.uint8)


def test_bytes_are_taken_as_they_are():
    assert torch.equal(as_pixels("name", BYTES.reshape(3, 2, 4)), BYTES.reshape(3, 2, 4).permute(1, 2, 0))
    assert torch.equal(as_pixels("name", BYTES.reshape(2, 4, 3).numpy()), BYTES.reshape(2, 4, 3))


def test_floats_are_from_0_to_1_and_what_is_beyond_is_cut_off():
    floats = torch.tensor([[-1.0, 0.0, 0.5, 1.0, 7.0, float("nan")]], dtype=torch.bfloat16, requires_grad=True)
    assert as_pixels("name", floats).flatten().tolist() == [0, 0, 128, 255, 255, 0]


def test_a_pil_image_is_taken():
    image = pytest.importorskip("PIL.Image").new("RGB", (5, 4), (255, 0, 7))
    assert as_pixels("name", image)[0, 0].tolist() == [255, 0, 7]
    assert tuple(as_pixels("name", image).shape) == (4, 5, 3)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (torch.zeros(2, 4, 5), r"run.log_image\('a/b'\): got the shape \(2, 4, 5\), expected \(H, W\)"),
        (torch.zeros(4, 5, dtype=torch.int64), "got torch.int64, expected uint8"),
        ("cat.png", "got a str, expected a tensor, array or PIL image"),
    ],
)
def test_what_is_no_image_is_refused(image, said):
    with pytest.raises(HookloopError, match=said):
        as_pixels("a/b", image)


class Asks:
    role = "observer"

    def __init__(self, ask):
        self.ask = ask

    @hookimpl
    def on_fit_start(self, run):
        self.ask(run)


class Takes:
    role = "observer"

    def __init__(self):
        self.taken = []

    @hookimpl
    def log_figure(self, figure):
        self.taken.append(figure)

    @hookimpl
    def log_histogram(self, values):
        self.taken.append(values)

    @hookimpl
    def log_artifact(self, name, path):
        self.taken.append((name, path))


def taken_from(ask, directory):
    takes = Takes()
    parts = {"loss": "cross_entropy", "optimizer": "sgd", "plugins": [Asks(ask), takes]}
    Engine(tiny_task, max_epochs=1, run_dir=directory, overwrite=True, **parts).fit()
    return takes.taken


def test_a_missing_artifact_and_values_that_are_no_numbers_are_errors(tmp_path):
    with pytest.raises(HookloopError, match=r"there is no file or directory 'nowhere.txt'"):
        taken_from(lambda run: run.log_artifact("nowhere.txt"), tmp_path / "run")
    with pytest.raises(HookloopError, match=r"run.log_histogram\('h'\): expected numbers, got list"):
        taken_from(lambda run: run.log_histogram("h", ["a"]), tmp_path / "run")


def test_a_histogram_has_no_graph_and_an_artifact_may_be_made_by_a_function(tmp_path):
    def make():
        path = tmp_path / "made.txt"
        path.write_text("made")
        return path

    def ask(run):
        run.log_histogram("weights", next(run.model.parameters()))
        run.log_artifact(make, "report")

    values, artifact = taken_from(ask, tmp_path / "run")
    assert not values.requires_grad
    assert artifact == ("report", tmp_path / "made.txt")


def test_a_figure_that_a_function_made_is_closed_and_one_that_was_given_is_not(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    mine = pyplot.figure()
    taken = taken_from(lambda run: (run.log_figure("a", pyplot.figure), run.log_figure("b", mine)), tmp_path / "run")
    assert [pyplot.fignum_exists(each.number) for each in taken] == [False, True]
    pyplot.close(mine)


def test_matplotlib_is_not_imported_for_it(tmp_path):
    before = "matplotlib.pyplot" in sys.modules
    taken_from(lambda run: run.log_figure("a", lambda: "a figure"), tmp_path / "run")
    assert ("matplotlib.pyplot" in sys.modules) == before

"""Predictions of two processes, started by torchrun: one file with one header, each sample once."""

import csv
import json
import os
import subprocess
import sys
from array import array
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, TensorDataset

from hookloop import Engine, SupervisedTask, hookimpl
from hookloop_csv.shares import Places, merge, share_path
from hookloop_csv.table import Table

ROWS = """
def one_each(batch, output):
    return [{"id": int(i), "twice": value} for i, value in zip(batch[1], output.flatten())]

def two_each(batch, output):
    return [{"id": int(i), "twice": value} for i, value in zip(batch[1], output.flatten()) for _ in range(2)]

def columns_of_the_rank(batch, output):
    return [{"id": int(i), "odd" if i % 2 else "even": True} for i in batch[1]]
"""

WORKER = """
import json, os, sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from hookloop import Engine, SupervisedTask, hookimpl
from hookloop_csv import PredictionsCsv

torch.set_num_threads(1)
place, rank = Path(sys.argv[1]), int(os.environ["RANK"])
seen = {}


class Twice(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return x * self.scale


data = TensorDataset(torch.arange(11.0).reshape(11, 1), torch.arange(11))


def shared(shuffle=False):
    return DataLoader(data, 2, sampler=DistributedSampler(data, shuffle=shuffle, seed=3))


def own():
    return [(torch.full((2 + rank, 1), 10.0 * rank), torch.arange(2 + rank))]


def predict(name, loader, *plugins, times=1, **options):
    plugin = PredictionsCsv(PredictionsCsv.Config(**options))
    for _ in range(times):  # the same instance
        task = SupervisedTask(Twice(), predict=loader)
        run = {"run_dir": place / name, "overwrite": True, "device": "cpu"}
        engine = Engine(task, plugins=[plugin, *plugins], **run)
        for _ in range(times):
            engine.predict()
            seen[name] = (place / name / "predictions.csv").read_text()
            dist.barrier()


class Fail:
    @hookimpl
    def on_predict_batch_start(self, batch):
        if rank == 1 and batch[1][0] > 4:
            raise ValueError


dist.init_process_group("gloo", timeout=timedelta(seconds=30))
predict("shared", shared())
predict("shuffled", shared(shuffle=True))
predict("again", shared(), times=2)
predict("own", own())
predict("one", shared(), rows="rows.py:one_each")
predict("two", shared(), rows="rows.py:two_each")
predict("columns", shared(), rows="rows.py:columns_of_the_rank")
(place / f"{rank}.json").write_text(json.dumps(seen))
dist.barrier()
try:
    predict("shared", shared(), Fail())
finally:
    os._exit(0)  # the other rank waits: a launcher would end it
"""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of two ranks has read when its prediction was over, and where; one launch for all tests."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "worker.py").write_text(WORKER)
    (folder / "rows.py").write_text(ROWS)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    finished = subprocess.run(
        [*launcher, str(folder / "worker.py"), str(folder)],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert all((folder / f"{rank}.json").exists() for rank in range(2)), finished.stderr
    return SimpleNamespace(seen=[json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)], folder=folder)


def rows_of(text):
    return list(csv.DictReader(text.splitlines()))


def column(ranks, name, wanted):
    return [row[wanted] for row in rows_of(ranks.seen[0][name])]


def test_every_rank_finds_the_whole_file_when_its_prediction_is_over(ranks):
    assert ranks.seen[0] == ranks.seen[1]


def test_a_distributed_sampler_gives_the_order_of_the_dataset_and_no_sample_twice(ranks):
    assert ranks.seen[0]["shared"].splitlines() == ["sample,output_0", *(f"{i},{2.0 * i}" for i in range(11))]


def test_one_that_shuffles_gives_each_sample_once_by_its_index(ranks):
    rows = rows_of(ranks.seen[0]["shuffled"])
    assert sorted((int(row["sample"]), float(row["output_0"])) for row in rows) == [(i, 2.0 * i) for i in range(11)]


def test_an_instance_that_predicts_again_and_again_writes_one_header(ranks):
    assert ranks.seen[0]["again"] == ranks.seen[0]["shared"]


def test_without_such_a_sampler_rows_stand_in_the_order_of_ranks_and_are_counted_on(ranks):
    assert column(ranks, "own", "sample") == ["0", "1", "2", "3", "4"]
    assert column(ranks, "own", "output_0") == ["0.0", "0.0", "20.0", "20.0", "20.0"]


def test_a_function_with_a_row_for_each_sample_keeps_the_order_of_the_dataset(ranks):
    assert column(ranks, "one", "id") == [str(i) for i in range(11)]


def test_a_function_with_other_numbers_of_rows_loses_none(ranks):
    even, odd = [0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 0]  # the sampler repeats one
    assert column(ranks, "two", "id") == [str(i) for i in [*even, *odd] for _ in range(2)]


def test_columns_of_one_rank_are_columns_of_the_file(ranks):
    rows = rows_of(ranks.seen[0]["columns"])
    assert list(rows[0]) == ["id", "even", "odd"]
    assert [(row["even"], row["odd"]) for row in rows[:2]] == [("True", "NA"), ("NA", "True")]


def test_nothing_is_left_of_the_shares(ranks):
    assert [path.name for path in (ranks.folder / "own").glob("*redictions*")] == ["predictions.csv"]


def test_a_rank_that_fails_leaves_the_shares_and_no_file_that_could_pass_for_whole(ranks):
    found = {path.name: path.read_text() for path in (ranks.folder / "shared").glob("predictions*")}
    assert sorted(found) == ["predictions.rank0.csv", "predictions.rank1.csv"]
    assert found["predictions.rank1.csv"].splitlines() == ["sample,output_0", "1,2.0", "3,6.0"]


def test_without_a_process_group_the_shares_are_left_with_a_warning(tmp_path, caplog):
    class SecondOfThree:
        before = ("predictions",)

        @hookimpl
        def on_run_start(self, run):
            run.rank, run.world_size = 1, 3

    task = SupervisedTask(torch.nn.Linear(1, 1), predict=[torch.ones(2, 1)])
    Engine(task, plugins=[SecondOfThree(), "predictions"], run_dir=tmp_path / "run", device="cpu").predict()
    assert [path.name for path in (tmp_path / "run").glob("*.csv")] == ["predictions.rank1.csv"]
    assert "there is no process group" in caplog.text


# Shares by themselves.


def sampler(rank, size=5, **options):
    return DistributedSampler(range(size), num_replicas=2, rank=rank, shuffle=False, **options)


def test_places_go_by_the_sampler_of_the_loader():
    loader = DataLoader(TensorDataset(torch.arange(5)), 2, sampler=sampler(1))
    places = Places(loader)
    assert places.take(2, 2) == [1, 3]
    assert places.take(1, 1) == [0]
    assert list(places.found) == [1, 3, 0]


class OwnBatches(BatchSampler):
    """May give batches in any order."""


@pytest.mark.parametrize(
    "loader",
    [
        [torch.ones(2)],
        DataLoader(TensorDataset(torch.arange(5)), 2),
        DataLoader(TensorDataset(torch.arange(5)), batch_sampler=OwnBatches(sampler(0), 2, False)),
    ],
)
def test_a_loader_that_cannot_tell_gives_no_places(loader):
    places = Places(loader)
    assert places.take(2, 2) is None
    assert places.found is None


def test_a_merge_that_fails_keeps_the_shares(tmp_path):
    path = tmp_path / "p.csv"
    for rank in range(2):
        table = Table(share_path(path, rank), ("a",))
        table.create()
        table.append({"a": 'x,"\n'})
        table.close()
    with pytest.raises(ValueError, match="zip"):
        merge(path, [array("q", [0]), array("q", [1, 2])], separator=",", missing="NA", counts=False)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["p.rank0.csv", "p.rank1.csv"]
    merge(path, [None, None], separator=",", missing="NA", counts=False)
    assert [each.name for each in tmp_path.iterdir()] == ["p.csv"]
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [["a"], ['x,"\n'], ['x,"\n']]

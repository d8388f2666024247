import json
import os
import signal
import subprocess
import sys

import pytest

from hookloop.errors import ConfigError
from hookloop.topology import Topology, agreement, check_same_everywhere, find_topology


def test_without_a_launcher_this_is_the_only_process():
    assert find_topology({}) == Topology(rank=0, world_size=1, local_rank=0)


def test_a_launcher_says_it_by_its_variables():
    environ = {"RANK": "5", "WORLD_SIZE": " 8 ", "LOCAL_RANK": "1"}
    assert find_topology(environ) == Topology(rank=5, world_size=8, local_rank=1)


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "LOCAL_RANK"])
@pytest.mark.parametrize("text", ["", "two", "-1", "1.0"])
def test_a_variable_that_is_no_number_is_an_error_that_names_it(name, text):
    with pytest.raises(ConfigError, match=f"the environment says {name}='{text}', and it must be a number"):
        find_topology({"WORLD_SIZE": "2", name: text})


@pytest.mark.parametrize("environ", [{"RANK": "1"}, {"RANK": "2", "WORLD_SIZE": "2"}, {"WORLD_SIZE": "0"}])
def test_a_rank_beyond_the_last_is_an_error(environ):
    with pytest.raises(ConfigError, match="ranks are counted from 0"):
        find_topology(environ)


def test_a_single_process_agrees_with_itself():
    assert agreement(Topology()) is None
    check_same_everywhere(Topology(), {"seed": 7})


def test_several_ranks_without_a_group_are_an_error_that_names_the_way_out():
    with pytest.raises(ConfigError, match=r"this is rank 1 of 2, and there is no process group.*init_process_group"):
        agreement(Topology(rank=1, world_size=2))


WORKER = """
import gc, json, os, signal, sys
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist

from hookloop.control import Control, handled_signals
from hookloop.errors import ConfigError
from hookloop.topology import agreement, check_same_everywhere, find_topology

seen = {}
rank = int(os.environ["RANK"])


def proposals(control):
    return [control.signal, control.stop_reason, control.save_reason]


def refusal(function, *arguments):
    try:
        function(*arguments)
    except ConfigError as error:
        return str(error)


def main():
    by_variables = find_topology(os.environ)
    seen["no group"] = refusal(agreement, by_variables)
    dist.init_process_group("gloo", timeout=timedelta(seconds=30))
    topology = find_topology({"LOCAL_RANK": "1", "RANK": "no matter"})
    seen["topology"] = [vars(by_variables), vars(topology)]
    agree = agreement(topology)

    control = Control()
    agree(control)
    seen["nothing"] = proposals(control)

    if rank == 1:
        control.save_reason = "asked for"
    agree(control)
    seen["one asks to save"] = proposals(control)

    control = Control(shared=True)
    control.stop_reason = f"by rank {rank}"
    agree(control)
    seen["both ask to stop"] = proposals(control)

    control = Control(shared=True)
    with handled_signals(control):
        if rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            while control.noted is None:
                pass
        seen["a signal to one, before"] = proposals(control)
        agree(control)
        seen["a signal to one, after"] = proposals(control)

    plugins = {"csv": f"1.{rank}", "progress": "1.0"}
    seen["same"] = refusal(check_same_everywhere, topology, {"seed": 7, "plugins": ["csv"]})
    seen["other version"] = refusal(check_same_everywhere, topology, {"seed": 7, "plugins": plugins})
    more = {"threads": 4} if rank else {}
    seen["something more"] = refusal(check_same_everywhere, topology, {"seed": rank, **more})


main()
Path(sys.argv[1], f"{rank}.json").write_text(json.dumps(seen))
dist.barrier()
gc.collect()
dist.destroy_process_group()
gc.collect()
"""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of two ranks, started by torchrun, has seen; one launch for all tests, since it takes seconds."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "worker.py").write_text(WORKER)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    finished = subprocess.run(
        [*launcher, str(folder / "worker.py"), str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_a_group_that_exists_says_it_before_the_variables(ranks):
    for rank, seen in enumerate(ranks):
        by_variables, by_group = seen["topology"]
        assert by_variables == {"rank": rank, "world_size": 2, "local_rank": rank}
        assert by_group == {"rank": rank, "world_size": 2, "local_rank": 1}


def test_no_rank_trains_on_its_own(ranks):
    assert [seen["no group"][:17] for seen in ranks] == ["this is rank 0 of", "this is rank 1 of"]


@pytest.mark.parametrize(
    ("what", "agreed"),
    [
        ("nothing", [None, None, None]),
        ("one asks to save", [None, None, "asked for"]),
        ("both ask to stop", [None, "by rank 0", None]),
        ("a signal to one, before", [None, None, None]),
        ("a signal to one, after", [signal.SIGTERM, None, None]),
    ],
)
def test_all_ranks_hold_the_same_proposals(ranks, what, agreed):
    assert [seen[what] for seen in ranks] == [agreed, agreed]


def test_ranks_that_are_the_same_go_on(ranks):
    assert [seen["same"] for seen in ranks] == [None, None]


def test_every_rank_says_which_plugin_differs(ranks):
    first, second = (seen["other version"] for seen in ranks)
    assert first == second
    assert first.startswith("the ranks of this run differ, and would wait for each other for ever:\n")
    assert "plugins: {'csv': '1.0', 'progress': '1.0'} on rank 0, {'csv': '1.1', 'progress': '1.0'} on rank 1" in first


def test_every_difference_is_told_at_once(ranks):
    _, *lines = ranks[0]["something more"].splitlines()
    assert lines == ["seed: 0 on rank 0, 1 on rank 1", "threads: None on rank 0, 4 on rank 1"]

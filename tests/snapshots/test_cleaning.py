import os
import shutil
import subprocess
import sys

import pytest

from hookloop import snapshots
from hookloop.snapshots.owners import Owner, hidden_name, parse_hidden, process_facts, this_host


@pytest.fixture
def gone():
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def make(directory):
    """A function that makes a hidden directory with a file in it."""

    def make_one(name):
        (directory / name).mkdir(parents=True)
        (directory / name / "model.pt").write_bytes(b"half")
        return directory / name

    return make_one


def test_what_processes_that_are_gone_have_left_is_removed(directory, make, gone, save):
    saved = save(1)
    for purpose in ("tmp", "trash"):
        make(f".{purpose}-step-00000002-{gone}-ab12")
    make(".trash-step-00000002-ab12cd34")
    snapshots.clean(directory)
    assert list(directory.iterdir()) == [saved.path]


def test_what_belongs_to_a_living_process_stays(directory, make):
    names = [f".{purpose}-step-00000002-{os.getpid()}-ab12" for purpose in ("tmp", "trash", "old")]
    names += [hidden_name("tmp", "step-00000003"), f".tmp-step-00000002-{os.getppid()}-ab12"]
    for name in names:
        make(name)
    snapshots.clean(directory)
    assert sorted(each.name for each in directory.iterdir()) == sorted(names)


def test_what_an_earlier_process_of_the_same_id_has_left_is_removed(directory, make):
    if not process_facts(os.getpid())[1]:
        pytest.skip("this system does not tell when a process started")
    make(f".tmp-step-00000002-{os.getpid()}-ab12cd34.{this_host()}.1")
    snapshots.clean(directory)
    assert list(directory.iterdir()) == []


def test_what_a_process_of_another_host_writes_stays(directory, make, gone):
    path = make(f".tmp-step-00000002-{gone}-ab12cd34.00000000.1")
    snapshots.clean(directory)
    assert path.exists()


def test_a_process_that_nobody_waited_for_is_gone():
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    process.stdout.read()  # ends when the process does
    while process_facts(process.pid)[0] not in ("Z", ""):
        pass
    assert Owner(process.pid).is_gone() == bool(process_facts(process.pid)[0])
    process.wait()
    process.stdout.close()


def test_names_that_hookloop_does_not_make_are_left_alone(directory, make, gone):
    names = [".git", ".bad-step-00000001", ".aside-step-00000001", ".tmpfile", f"tmp-x-{gone}-ab", ".tmp-step-00000002"]
    for name in names:
        make(name)
    snapshots.clean(directory)
    assert sorted(each.name for each in directory.iterdir()) == sorted(names)


def test_a_directory_that_does_not_exist_is_clean(directory):
    snapshots.clean(directory)
    assert not directory.exists()


def test_a_hidden_name_tells_purpose_name_and_process():
    purpose, name, owner = parse_hidden(hidden_name("tmp", "val-f1-0.5-12-ab"))
    assert (purpose, name, owner.pid, owner.host) == ("tmp", "val-f1-0.5-12-ab", os.getpid(), this_host())
    assert not owner.is_gone()


def test_one_that_was_about_to_be_replaced_gets_its_name_back(run_dir, directory, save, gone):
    saved = save(1)
    saved.path.rename(directory / f".old-step-00000001-{gone}-ab12")
    assert snapshots.find(run_dir) == []
    assert snapshots.newest_valid(run_dir) == saved
    saved.path.rename(directory / f".old-step-00000001-{gone}-ab12")
    snapshots.clean(directory)
    assert snapshots.verify(saved.path) == []


def test_one_that_was_replaced_is_removed(directory, save, gone):
    saved = save(1)
    shutil.copytree(saved.path, directory / f".old-step-00000001-{gone}-ab12")
    snapshots.clean(directory)
    assert list(directory.iterdir()) == [saved.path]

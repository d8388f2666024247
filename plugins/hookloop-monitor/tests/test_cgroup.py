"""The limits of control groups, of both versions."""

import pytest

from hookloop_monitor.cgroup import Limits, cpu_seconds, find_limits, memory_used

GIB = 2**30


@pytest.fixture
def tree(tmp_path):
    """A function that writes files below the mount and the membership, and returns what is found."""

    def tree(membership, **files):
        for name, text in files.items():
            path = tmp_path / "cgroup" / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / "membership").write_text(membership)
        return find_limits(64 * GIB, 16, tmp_path / "cgroup", tmp_path / "membership")

    return tree


def test_version_2_inside_a_container(tree, tmp_path):
    limits = tree("0::/\n", memory_dot_max=f"{GIB}\n", cpu_dot_max="150000 100000\n")
    top = (tmp_path / "cgroup", 2)
    assert limits == Limits(GIB, top, 1.5, top)


def test_the_tightest_of_nested_groups_holds(tree, tmp_path):
    limits = tree(
        "0::/a/b\n", a__memory_dot_max=f"{GIB}\n", a__b__memory_dot_max=f"{4 * GIB}\n", a__b__cpu_dot_max="max 100000"
    )
    assert limits == Limits(GIB, (tmp_path / "cgroup" / "a", 2))


def test_no_limit_is_none(tree):
    assert tree("0::/\n", memory_dot_max="max\n", cpu_dot_max="max 100000\n") == Limits()


def test_a_limit_beyond_the_machine_is_none(tree):
    assert tree("0::/\n", memory_dot_max=f"{999 * GIB}\n", cpu_dot_max="9900000 100000\n") == Limits()


def test_version_1(tree, tmp_path):
    limits = tree(
        "4:memory:/docker/x\n2:cpu,cpuacct:/docker/x\n",
        memory__memory_dot_limit_in_bytes=f"{2 * GIB}",
        cpu__cpu_dot_cfs_quota_us="50000",
        cpu__cpu_dot_cfs_period_us="100000",
    )
    assert limits == Limits(2 * GIB, (tmp_path / "cgroup" / "memory", 1), 0.5, (tmp_path / "cgroup" / "cpu", 1))


def test_version_1_without_a_quota(tree):
    assert tree("2:cpu:/\n", cpu__cpu_dot_cfs_quota_us="-1", cpu__cpu_dot_cfs_period_us="100000") == Limits()


def test_no_control_groups_at_all(tmp_path):
    assert find_limits(GIB, 1, tmp_path, tmp_path / "none") == Limits()


@pytest.mark.parametrize(
    "text", ["", "\n", "nonsense\n", "1:memory\n", "0::\n", "7:memory:/../../../etc\n", "\x00::\x00"]
)
def test_a_membership_that_is_no_such_thing_is_no_limit(tmp_path, text):
    (tmp_path / "membership").write_text(text)
    assert find_limits(GIB, 1, tmp_path / "cgroup", tmp_path / "membership") == Limits()


def test_a_path_that_is_no_utf8_is_a_path(tmp_path):
    (tmp_path / "membership").write_bytes(b"0::/\xff\xfe\n")
    (tmp_path / "cgroup").mkdir()
    (tmp_path / "cgroup" / "memory.max").write_text("1000\n")
    assert find_limits(GIB, 1, tmp_path / "cgroup", tmp_path / "membership").memory_bytes == 1000


def test_a_path_outside_of_the_container_leaves_the_top_that_it_sees(tree, tmp_path):
    """In Docker, the path is that on the machine, and the mount is the container's own."""
    limits = tree("0::/system.slice/docker-0123.scope\n", memory_dot_max=f"{GIB}\n")
    assert limits == Limits(GIB, (tmp_path / "cgroup", 2))


def test_files_that_cannot_be_understood_are_no_limit(tree):
    assert tree("0::/\n", memory_dot_max="\n", cpu_dot_max="max\n") == Limits()
    assert tree("0::/\n", memory_dot_max="none\n", cpu_dot_max="100000 0\n") == Limits()


def test_memory_is_used_without_what_the_kernel_may_drop(tmp_path):
    (tmp_path / "memory.usage_in_bytes").write_text("1000")
    (tmp_path / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 300\n")
    assert memory_used((tmp_path, 1)) == 700
    assert memory_used((tmp_path / "gone", 1)) is None


def test_cpu_time_of_version_1_may_be_counted_elsewhere(tmp_path):
    for name in ("cpu", "cpuacct"):
        (tmp_path / name / "x").mkdir(parents=True)
    (tmp_path / "cpuacct" / "x" / "cpuacct.usage").write_text("2500000000")
    assert cpu_seconds((tmp_path / "cpu" / "x", 1)) == 2.5
    assert cpu_seconds((tmp_path / "cpu", 1)) is None
    assert cpu_seconds((tmp_path, 2)) is None

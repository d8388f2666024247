"""Which snapshots may go."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hookloop_checkpoint.retention import Kept, surplus


def kept(step, attempt=0, kind="resumable", epoch=0):
    return Kept(attempt, step, epoch, "", f"{kind}-{attempt}-{step}", kind)


def test_the_newest_stay_and_the_oldest_go_first():
    some = [kept(step) for step in (30, 10, 50, 20, 40)]
    assert surplus(some, 2) == ["resumable-0-10", "resumable-0-20", "resumable-0-30"]


def test_all_is_all():
    assert surplus([kept(step) for step in range(9)], None) == []


def test_what_is_protected_stays_beside_the_newest():
    some = [kept(step) for step in range(1, 6)]
    assert surplus(some, 2, {"resumable-0-1"}) == ["resumable-0-2", "resumable-0-3"]


def test_a_later_attempt_is_newer_whatever_its_step():
    some = [kept(90), kept(100), kept(70, attempt=1), kept(80, attempt=1)]
    assert surplus(some, 2) == ["resumable-0-90", "resumable-0-100"]


def test_each_kind_is_counted_by_itself_and_of_failures_the_newest_stays():
    some = [kept(step, kind=kind) for step in (1, 2, 3) for kind in ("resumable", "weights", "exception")]
    assert sorted(surplus(some, 2)) == ["exception-0-1", "exception-0-2", "resumable-0-1", "weights-0-1"]


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), unique=True),
    st.integers(2, 4),
    st.sets(st.integers(0, 9)),
)
def test_the_newest_and_the_protected_never_go(places, keep_last, protected_steps):
    some = [kept(step, attempt) for attempt, step in places]
    protected = {each.name for each in some if each.step in protected_steps}
    going = surplus(some, keep_last, protected)
    assert not protected & {*going}
    assert not {each.name for each in sorted(some)[-keep_last:]} & {*going}
    assert len(some) - len(going) <= keep_last + len(protected)

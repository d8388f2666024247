import os
import signal
import threading
import time
from contextlib import nullcontext

import pytest

from hookloop.control import Control, Skip, SkipBackward, SkipBatch, SkipEpoch, SkipStep, handled_signals

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]


@pytest.fixture(autouse=True)
def handlers_afterwards():
    """Put every handler back, and fail when the test left one behind."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    after = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


def send(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)


def test_a_fresh_control_proposes_nothing():
    control = Control()
    assert not control.pending
    assert (control.stop_reason, control.save_reason, control.signal) == (None, None, None)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_nothing_else_happens(number):
    control = Control()
    with handled_signals(control):
        send(number)
        assert control.signal == number
        assert control.pending
    assert control.outcome_of_signal() == ("interrupted" if number == signal.SIGINT else "preempted")


def test_a_second_ctrl_c_does_not_wait():
    control = Control()
    with handled_signals(control):
        send(signal.SIGINT)
        assert control.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert control.outcome_of_signal() == "interrupted"


def test_more_of_them_at_once_do_no_more(monkeypatch):
    control = Control()
    with handled_signals(control):
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT, signal.SIGINT)
        send(*[signal.SIGINT] * 20)
        monkeypatch.setattr("hookloop.control.HELD_SECONDS", 0.02)
        control.hold()
        send(signal.SIGINT)
        time.sleep(0.03)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_a_second_sigterm_waits_like_the_first():
    control = Control()
    with handled_signals(control):
        send(signal.SIGTERM, signal.SIGTERM, signal.SIGUSR1)
        assert control.signal == signal.SIGTERM


def test_the_first_signal_decides_the_outcome():
    control = Control()
    with handled_signals(control):
        send(signal.SIGINT, signal.SIGTERM)
        assert control.outcome_of_signal() == "interrupted"
    control = Control()
    with handled_signals(control):
        send(signal.SIGTERM, signal.SIGINT)
        assert control.outcome_of_signal() == "preempted"


def test_a_sigterm_between_two_ctrl_c_does_not_make_the_second_wait():
    with pytest.raises(KeyboardInterrupt), handled_signals(Control()):
        send(signal.SIGINT, signal.SIGTERM, signal.SIGINT)


def test_where_ranks_have_to_agree_a_signal_is_no_more_than_a_proposal():
    control = Control(shared=True)
    with handled_signals(control):
        send(signal.SIGTERM)
        assert control.signal is None
        assert control.noted == signal.SIGTERM
        assert control.pending


def test_a_ctrl_c_that_another_rank_told_of_is_not_the_first_of_two():
    control = Control(shared=True)
    with handled_signals(control):
        control.signal = signal.SIGINT
        send(signal.SIGINT)
        assert control.noted == signal.SIGINT


@pytest.mark.parametrize("error", [None, ValueError("full"), KeyboardInterrupt()])
def test_the_handlers_from_before_are_put_back_however_it_ends(error):
    def mine(number, frame):
        seen.append(number)

    seen = []
    signal.signal(signal.SIGTERM, mine)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    with nullcontext() if error is None else pytest.raises(type(error)), handled_signals(Control()):
        if error is not None:
            raise error
    assert signal.getsignal(signal.SIGTERM) is mine
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    send(signal.SIGTERM)
    assert seen == [signal.SIGTERM]
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_a_run_inside_of_a_run_gives_the_signals_back_to_the_outer_one():
    outer, inner = Control(), Control()
    with handled_signals(outer):
        with handled_signals(inner):
            send(signal.SIGTERM)
        send(signal.SIGUSR1)
    assert (outer.signal, inner.signal) == (signal.SIGUSR1, signal.SIGTERM)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_the_parent_had_ignored_stays_ignored(number):
    usual = signal.signal(number, signal.SIG_IGN)
    control = Control()
    with handled_signals(control):
        send(number)
        assert control.signal is None
        assert signal.getsignal(number) == signal.SIG_IGN
    assert signal.getsignal(number) == signal.SIG_IGN
    signal.signal(number, usual)


def test_a_thread_other_than_the_main_one_leaves_signals_alone():
    handlers = []

    def run():
        with handled_signals(Control()):
            handlers.extend(signal.getsignal(number) for number in SIGNALS)

    before = [signal.getsignal(number) for number in SIGNALS]
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == before


@pytest.mark.parametrize("kind", [SkipBatch, SkipBackward, SkipStep, SkipEpoch])
def test_every_skip_is_a_skip(kind):
    assert issubclass(kind, Skip)

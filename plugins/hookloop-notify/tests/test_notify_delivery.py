"""Threads, attempts and limits, with channels that do what they are told."""

import threading
import time

import pytest

from hookloop_notify import delivery
from hookloop_notify.channel import Message, Unsent
from hookloop_notify.delivery import MOST_WAITING, Delivery, Limits


class Told:
    """A channel that does one thing after the other: an error is raised, a function is called with the limit."""

    def __init__(self, *acts, place="a channel"):
        self.place = place
        self.acts = list(acts)
        self.sent = []

    def send(self, message, until):
        act = self.acts.pop(0) if self.acts else None
        if isinstance(act, BaseException):
            raise act
        if act is not None:
            act(until)
        self.sent.append(message.subject)


def message(subject="condition", ends=False):
    return Message({}, {}, subject, "", ends)


@pytest.fixture
def warnings():
    return []


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(delivery, "FIRST_PAUSE_SECONDS", 0.02)


@pytest.fixture
def deliver(warnings):
    def make(*channels, attempt_seconds=1.0, message_seconds=3.0):
        return Delivery(channels, Limits(attempt_seconds, message_seconds), warnings.append)

    return make


def busy(**more):
    return Unsent("busy", transient=True, **more)


def test_what_may_pass_is_tried_again(deliver, warnings):
    channel = Told(busy(), busy())
    sending = deliver(channel)
    sending.send(message())
    time.sleep(0.3)
    sending.end(2)
    assert channel.sent == ["condition"]
    assert warnings == []


def test_three_attempts_are_enough_and_one_warning(deliver, warnings):
    channel = Told(*[busy() for _ in range(9)])
    sending = deliver(channel)
    sending.send(message("end", ends=True))
    sending.end(5)
    assert len(channel.acts) == 6
    assert warnings == ["a channel: busy"]


def test_what_will_not_pass_is_not_tried_again(deliver, warnings):
    channel = Told(Unsent("no such hook"), Unsent("never asked"))
    sending = deliver(channel)
    sending.send(message("end", ends=True))
    sending.end(5)
    assert warnings == ["a channel: no such hook"]
    assert len(channel.acts) == 1


def test_an_error_that_nobody_thought_of_is_a_warning_and_the_thread_goes_on(deliver, warnings):
    channel = Told(ZeroDivisionError("oh"))
    sending = deliver(channel)
    sending.send(message("one"))
    sending.send(message("two"))
    time.sleep(0.1)
    sending.end(5)
    assert warnings == ["a channel: ZeroDivisionError: oh"]
    assert channel.sent == ["two"]


def test_a_server_that_says_when_is_asked_then_if_there_is_time(deliver, warnings):
    patient, late = Told(busy(after_seconds=0.2)), Told(busy(after_seconds=60), place="late")
    sending = deliver(patient, late)
    begun = time.monotonic()
    sending.send(message("end", ends=True))
    sending.end(2)
    assert 0.2 <= time.monotonic() - begun < 1.5
    assert patient.sent == ["end"]
    assert warnings == ["late: busy"]


def test_a_channel_that_hangs_holds_up_no_other_and_no_thread_but_its_own(deliver, warnings):
    release = threading.Event()
    hanging, other = Told(lambda until: release.wait(10), place="hanging"), Told()
    sending = deliver(hanging, other)
    begun = time.monotonic()
    sending.send(message())
    sending.send(message("end", ends=True))
    assert time.monotonic() - begun < 0.3
    sending.end(0.2)
    assert time.monotonic() - begun < 2
    assert other.sent == ["condition", "end"]
    assert warnings == ["hanging has not answered for 0.2 s, and is left behind"]
    release.set()


def test_the_end_brings_the_limit_of_an_attempt_forward(deliver):
    limits = []

    def watch(until):
        limits.append(until() - time.monotonic())
        while until() > time.monotonic():
            time.sleep(0.01)
        limits.append(time.monotonic())

    sending = deliver(Told(watch), attempt_seconds=10, message_seconds=20)
    sending.send(message())
    time.sleep(0.1)
    begun = time.monotonic()
    sending.end(0.3)
    assert 9 < limits[0] <= 10
    assert 0.25 < limits[1] - begun < 1


def test_an_attempt_has_no_more_time_than_its_message(deliver):
    seen = []
    sending = deliver(Told(lambda until: seen.append(until() - time.monotonic())), attempt_seconds=10)
    sending.send(message("end", ends=True))
    sending.end(60)
    assert 2 < seen[0] <= 3


def test_at_the_end_a_condition_gives_way_to_the_end(deliver, monkeypatch):
    monkeypatch.setattr(delivery, "FIRST_PAUSE_SECONDS", 5)
    channel = Told(busy())
    sending = deliver(channel, message_seconds=30)
    sending.send(message("one"))
    time.sleep(0.1)
    sending.send(message("two"))
    sending.send(message("end", ends=True))
    begun = time.monotonic()
    sending.end(20)
    assert time.monotonic() - begun < 3
    assert channel.sent == ["end"]


def test_what_is_still_waiting_at_the_end_is_sent_where_sending_works(deliver):
    channel = Told(lambda until: time.sleep(0.1))
    sending = deliver(channel)
    for subject in ("one", "two"):
        sending.send(message(subject))
    sending.send(message("end", ends=True))
    sending.end(5)
    assert channel.sent == ["one", "two", "end"]


def test_too_many_are_dropped_with_a_warning_but_never_the_end(deliver, warnings):
    release = threading.Event()
    channel = Told(lambda until: release.wait(10))
    sending = deliver(channel)
    sending.send(message())
    time.sleep(0.1)
    for _ in range(MOST_WAITING + 3):
        sending.send(message())
    sending.send(message("end", ends=True))
    release.set()
    sending.end(5)
    assert channel.sent == [*["condition"] * (MOST_WAITING + 1), "end"]
    assert {*warnings} == {"a channel is too slow: 8 messages wait for it, and another is dropped"}


def test_without_a_message_there_is_no_thread(deliver):
    before = threading.active_count()
    sending = deliver(Told())
    assert threading.active_count() == before
    sending.end(5)


def test_where_no_thread_can_be_started_that_is_a_warning(deliver, warnings, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    sending = deliver(Told())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    sending.send(message("end", ends=True))
    sending.end(1)
    assert warnings == ["a channel: can't start new thread"]

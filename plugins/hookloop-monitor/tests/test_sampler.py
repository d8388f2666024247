"""The thread by itself, and the parts that stand between it and the one that trains."""

import json
import threading
import time

import pytest

from hookloop_monitor.collector import SLOW_EVERY, Collector
from hookloop_monitor.notices import Notices
from hookloop_monitor.rates import Rates
from hookloop_monitor.sampler import Sampler, next_deadline
from hookloop_monitor.thresholds import Threshold, Watch
from hookloop_monitor.timeline import Timeline
from hookloop_monitor.window import Window, flatten


def test_deadlines_are_absolute_and_missed_ones_are_skipped():
    assert next_deadline(10.0, 10.3, 1.0) == 11.0
    assert next_deadline(10.0, 12.7, 1.0) == 13.0
    assert next_deadline(10.0, 12.0, 1.0) == 13.0


def test_samples_do_not_drift_when_each_takes_time():
    times = []

    def sample():
        times.append(time.monotonic())
        time.sleep(0.03)

    sampler = Sampler(0.1, sample)
    sampler.start()
    time.sleep(0.95)
    assert sampler.stop()
    late = [(at - times[0]) - 0.1 * number for number, at in enumerate(times[:-1])]
    assert 9 <= len(times) <= 11
    assert max(late) < 0.09


def test_stopping_does_not_wait_for_the_interval():
    sampler = Sampler(3600, lambda: None)
    sampler.start()
    begun = time.monotonic()
    assert sampler.stop()
    assert time.monotonic() - begun < 1


def test_a_sample_that_fails_is_told_of_and_the_next_is_taken():
    errors, seen = [], threading.Event()

    def sample():
        if errors:
            seen.set()
        raise ValueError("boom")

    sampler = Sampler(0.01, sample, failed=errors.append)
    sampler.start()
    assert seen.wait(5)
    assert sampler.stop()
    assert str(errors[0]) == "boom"


def test_the_readers_are_closed_on_the_thread_that_opened_them():
    threads = []
    sampler = Sampler(
        1, lambda: threads.append(threading.get_ident()), close=lambda: threads.append(threading.get_ident())
    )
    sampler.start()
    sampler.stop()
    assert len(threads) == 2
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


def test_a_call_that_does_not_come_back_is_left_behind():
    release = threading.Event()
    sampler = Sampler(1, lambda: release.wait(30))
    sampler.start()
    assert not sampler.stop(timeout_seconds=0.05)
    release.set()
    assert sampler.stop()


def test_a_sampler_that_never_started_can_be_stopped():
    assert Sampler(1, lambda: None).stop()


# Readers.


class Steady:
    def __init__(self, error=None):
        self.error, self.slow, self.closed = error, [], False

    def read(self, now, *, slow):
        self.slow.append(slow)
        if self.error:
            raise self.error
        return {"value": 1}

    def close(self):
        self.closed = True
        if self.error:
            raise self.error


def test_a_reader_that_fails_is_said_once_and_the_others_go_on():
    samples, said, good, bad = [], [], Steady(), Steady(OSError("gone"))
    collector = Collector(
        {"bad": lambda: bad, "good": lambda: good, "none": lambda: None}, [samples.append], Notices(said.append)
    )
    for _ in range(3):
        collector.sample()
    collector.close()
    assert samples == [{"system/value": 1.0}] * 3
    assert said == ["bad cannot be read: OSError: gone"]
    assert good.closed
    assert bad.closed


def test_a_reader_that_does_not_open_is_said():
    said = []

    def fail():
        raise RuntimeError("no")

    collector = Collector({"it": fail}, [], Notices(said.append))
    collector.sample()
    assert said == ["it cannot be read: RuntimeError: no"]


def test_the_slow_ones_are_read_ten_times_more_rarely():
    reader = Steady()
    collector = Collector({"it": lambda: reader}, [], Notices())
    for _ in range(2 * SLOW_EVERY + 1):
        collector.sample()
    assert [number for number, slow in enumerate(reader.slow) if slow] == [0, 10, 20]


# Sums, rates, thresholds, file.


def test_a_window_is_empty_after_it_was_taken():
    window = Window()
    for value in (3.0, 1.0, 2.0):
        window.add({"x": value})
    assert flatten(window.drain(), ("mean", "min", "max", "last")) == {
        "x": 2.0,
        "x/min": 1.0,
        "x/max": 3.0,
        "x/last": 2.0,
    }
    assert window.drain() == {}


def test_what_only_grows_is_logged_as_it_is():
    window = Window()
    for value in (1.0, 2.0):
        window.add({"system/gpu0/energy_wh": value, "system/memory_total_bytes": 8.0})
    assert flatten(window.drain(), ("mean", "max")) == {"system/gpu0/energy_wh": 2.0, "system/memory_total_bytes": 8.0}


def test_a_counter_has_a_rate_from_the_second_reading_and_none_after_it_was_set_back():
    rates = Rates()
    assert [rates.per("x", counted, now) for counted, now in ((5, 1), (9, 3), (9, 3), (1, 4), (2, 5))] == [
        {}, {"x": 2}, {}, {}, {"x": 1}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value", "beyond"),
    [("> 85", 86, True), ("> 85", 85, False), (">=85", 85, True), ("< -1.5", -2, True), ("<= 1e3", 1001, False)],
)
def test_a_threshold_is_an_operator_and_a_number(text, value, beyond):
    assert Threshold.parse(text).passed_by(value) is beyond


@pytest.mark.parametrize("text", ["", "85", "> x", "== 1", "> 1 2", "=> 3"])
def test_anything_else_is_no_threshold(text):
    with pytest.raises(ValueError, match="such as '> 85'"):
        Threshold.parse(text)


def test_a_pattern_watches_each_metric_by_itself():
    watch = Watch.parse({"system/gpu*/power_watts": "> 100"})
    both = {"system/gpu0/power_watts": 150.0, "system/gpu1/power_watts": 50.0}
    assert list(watch.check(both)) == [(True, "system/gpu0/power_watts is 150, > 100")]
    assert list(watch.check(both | {"system/gpu1/power_watts": 160.0})) == [
        (True, "system/gpu1/power_watts is 160, > 100")
    ]
    assert list(watch.unmet()) == []


def test_a_pattern_that_met_nothing_is_told_without_a_guess():
    watch = Watch.parse({"system/gpu*/power_watts": "> 1", "system/cpu_percnt": "> 1"})
    assert list(watch.check({"system/cpu_percent": 50.0})) == []
    assert sorted(watch.unmet()) == [
        "warn: nothing was read under 'system/cpu_percnt'. Did you mean 'system/cpu_percent'?",
        "warn: nothing was read under 'system/gpu*/power_watts'.",
    ]


def test_the_timeline_begins_anew_or_goes_on_after_the_last_whole_line(tmp_path):
    path = tmp_path / "system.jsonl"
    path.write_text('{"old": 1}\n{"torn')
    timeline = Timeline(path, anew=False)
    timeline.write({"new": 2})
    timeline.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"old": 1}, {"new": 2}]
    timeline = Timeline(path, anew=True)
    timeline.write({"newest": 3})
    timeline.close()
    timeline.write({"again": 4})
    timeline.close()
    assert path.read_text() == '{"newest": 3}\n{"again": 4}\n'

"""Whole runs: what is sent at which end, about which condition, how often, and what a failing channel does to them."""

import json
import math
import socket
import time

import pytest

from hookloop import PluginHookError, SupervisedTask, hookimpl
from hookloop.testing import tiny_task

ALL = ["started", "completed", "stopped", "interrupted", "preempted", "failed"]


def texts(hook):
    return [json.loads(request.data)["text"] for request in hook.requests]


def subjects(hook):
    return [text.partition("\n")[0] for text in texts(hook)]


def notify(hook, **options):
    return ("notify", {"webhook": {"url": {"env": "HOOK_URL"}}, **options})


class Logs:
    """Logs one value of ``x`` a step."""

    role = "observer"

    def __init__(self, values, clock=None, seconds=0.0):
        self.values, self.clock, self.seconds = values, clock, seconds

    @hookimpl
    def on_step_end(self, run):
        if self.clock is not None:
            self.clock.advance(self.seconds)
        run.log("x", self.values[run.step - 1])


class Stops:
    role = "actor"

    @hookimpl
    def on_step_end(self, run):
        if run.step == 2:
            run.request_stop("early enough")


def test_a_completed_run_is_told_with_where_it_was_and_what_came_out(tiny_run, hook, fake_clock):
    result = tiny_run([notify(hook), Logs([1.0] * 6, fake_clock, 700)], clock=fake_clock, name="digits")
    (text,) = texts(hook)
    loss = result.metrics["val/loss"]
    lines = text.splitlines()
    assert lines[0] == "digits: completed after 1:10:00"
    assert "step 6, epoch 2, 1:10:00" in lines
    assert f"{socket.gethostname()}:{result.directory}" in lines
    assert f"val/loss = {loss:g}" in lines
    assert not any(line.startswith("x = ") for line in lines)
    assert "\n\n\n" not in text


def test_a_failed_run_is_told_with_the_last_lines_of_the_traceback(tiny_run, hook, failing_plugin):
    with pytest.raises(PluginHookError):
        tiny_run([notify(hook, traceback_lines=6), failing_plugin("on_step_end", ValueError("boom"), at_step=2)])
    (text,) = texts(hook)
    assert text.splitlines()[0].endswith(": failed: ValueError: boom")
    assert "step 2, epoch 0" in text
    lines = text.rstrip().splitlines()
    assert any("raise error or RuntimeError" in line for line in lines)
    assert "ValueError: boom" in lines[-6:]
    assert lines[-7] == ""


def test_an_error_in_the_task_is_told(tiny_run, hook):
    class Broken(SupervisedTask):
        def train_step(self, batch):
            raise RuntimeError("CUDA out of memory")

    task = tiny_task()
    with pytest.raises(RuntimeError):
        tiny_run([notify(hook)], task=Broken(model=task.model, train=[(None, None)]))
    assert subjects(hook)[0].endswith(": failed: RuntimeError: CUDA out of memory")


@pytest.mark.parametrize("where", ["on_run_start", "on_ready"])
def test_a_run_that_fails_before_its_first_step_is_told(tiny_run, hook, failing_plugin, where):
    with pytest.raises(PluginHookError):
        tiny_run([failing_plugin(where, before=["notify"]), notify(hook)])
    assert [subject.partition(": ")[2] for subject in subjects(hook)] == ["failed: RuntimeError: boom"]


def test_a_stopped_run_is_told_with_the_reason(tiny_run, hook):
    tiny_run([notify(hook, body="{outcome}|{reason}|{error}|{command}"), Stops()])
    assert texts(hook) == ["run: stopped: early enough\n\nstopped|early enough||fit\n"]


def test_an_interrupted_run_is_told_when_that_is_asked_for(tiny_run, hook, failing_plugin):
    for on in (["failed", "completed"], ["interrupted"]):
        with pytest.raises(KeyboardInterrupt):
            tiny_run([notify(hook, on=on), failing_plugin("on_step_end", KeyboardInterrupt(), at_step=2)])
    assert [subject.partition(": ")[2] for subject in subjects(hook)] == ["interrupted after 0:00:00"]


def test_an_outcome_that_nobody_asked_for_is_not_told(tiny_run, hook):
    tiny_run([notify(hook, on=["failed"])])
    assert hook.requests == []


def test_the_start_is_told_when_that_is_asked_for(tiny_run, hook):
    tiny_run([notify(hook, on=["started", "completed"], subject="{outcome} {summary} {step}", body="-")])
    assert subjects(hook) == ["running started 0", "completed completed after 0:00:00 6"]


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_other_commands_are_told_by_their_names(tiny_run, hook, command):
    tiny_run([notify(hook)], commands=[command])
    assert subjects(hook) == [f"run: {command} completed after 0:00:00"]


def test_a_condition_is_told_when_it_becomes_true_and_again_after_it_was_false(tiny_run, hook):
    values = [3.0, 0.5, 0.4, 2.0, 0.3, 0.2]
    options = {"on": ["failed"], "when": {"x": "< 1"}, "min_interval_seconds": 0}
    tiny_run([notify(hook, **options, body="{step} {outcome} {reason} {metric:x}"), Logs(values)])
    assert texts(hook) == [
        "run: x is 0.5, < 1\n\n2 running x is 0.5, < 1 0.5\n",
        "run: x is 0.3, < 1\n\n5 running x is 0.3, < 1 0.3\n",
    ]


def test_a_loss_that_is_no_number_any_more_is_told(tiny_run, hook):
    values = [1.0, math.nan, math.nan, math.inf, 1.0, 1.0]
    tiny_run([notify(hook, on=["failed"], when={"x": ["nan", "inf"]}, min_interval_seconds=0), Logs(values)])
    assert [subject.partition(": ")[2] for subject in subjects(hook)] == ["x is nan", "x is inf"]


def test_messages_about_conditions_are_limited_and_the_next_one_says_what_is_missing(tiny_run, hook, fake_clock):
    values = [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]
    options = {"when": {"x": ["< 0.5", "> 0.5"]}, "min_interval_seconds": 100, "body": "{step}"}
    tiny_run([notify(hook, **options), Logs(values, fake_clock, 60)], clock=fake_clock, name="n")
    assert texts(hook) == [
        "n: x is 0, < 0.5\n\n1\n",
        "n: x is 0, < 0.5\n\n3\n\nNot sent since the last message: 1\nx is 1, > 0.5 (step 2)\n",
        "n: x is 0, < 0.5\n\n5\n\nNot sent since the last message: 1\nx is 1, > 0.5 (step 4)\n",
        "n: completed after 0:06:00\n\n6\n",
    ]


def test_what_was_held_back_is_told_at_the_end(tiny_run, hook, fake_clock):
    values = [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]
    options = {"when": {"x": "< 0.5"}, "min_interval_seconds": 1000, "body": "{step}"}
    tiny_run([notify(hook, **options), Logs(values, fake_clock, 60)], clock=fake_clock, name="n")
    assert texts(hook)[-1] == (
        "n: completed after 0:06:00\n\n6\n\n"
        "Not sent since the last message: 2\nx is 0, < 0.5 (step 3)\nx is 0, < 0.5 (step 5)\n"
    )


def test_a_resumed_run_does_not_tell_again_what_is_still_true(tiny_run, hook):
    first = tiny_run([notify(hook, on=["failed"], when={"x": "< 1"}), Logs([0.5] * 6)], epochs=1)
    assert len(hook.requests) == 1
    tiny_run([notify(hook, on=["failed"], when={"x": "< 1"}), Logs([0.5] * 6)], epochs=2, resume=first.state)
    assert len(hook.requests) == 1


def test_a_name_that_nothing_was_logged_under_is_told_at_the_end_of_a_fit(tiny_run, hook, said):
    tiny_run([notify(hook, when={"val/los": "< 1"})])
    assert said() == ["notify: when: nothing was logged as 'val/los'. Did you mean 'val/loss'?"]


def test_two_instances_send_each_their_own(tiny_run, hook, mail):
    box, options = mail
    tiny_run(
        [
            (
                "chat",
                {"use": "notify", "webhook": {"url": {"env": "HOOK_URL"}}, "on": ["failed"], "when": {"x": "> 2"}},
            ),
            ("letters", {"use": "notify", "email": options}),
            Logs([1.0, 2.0, 3.0, 3.0, 3.0, 3.0]),
        ],
    )
    assert subjects(hook) == ["run: x is 3, > 2"]
    assert [taken.letter["Subject"] for taken in box.letters] == ["run: completed after 0:00:00"]


def test_all_channels_of_an_instance_get_the_same(tiny_run, hook, mail, tmp_path):
    box, options = mail
    command = {"args": ["tee", str(tmp_path / "{outcome}.txt")]}
    tiny_run([notify(hook, email=options, command=command)], commands=["fit", "test"])
    written = (tmp_path / "completed.txt").read_text()
    assert texts(hook)[-1] == written
    assert box.letters[-1].letter.get_content().splitlines() == written.splitlines()[2:]
    assert len(hook.requests) == len(box.letters) == 2


def test_one_object_serves_two_runs(tiny_run, hook):
    from hookloop_notify import Notify

    config = Notify.Config(on=["failed"], when={"x": "< 1"}, webhook={"url": hook.url})
    plugin = Notify(config)
    for _ in range(2):
        tiny_run([plugin, Logs([0.5] * 6)])
    assert subjects(hook) == ["run: x is 0.5, < 1"] * 2


def test_a_server_that_fails_for_a_while_gets_the_message_later(tiny_run, hook, said):
    hook.answers = [503, 500, 200]
    tiny_run([notify(hook)])
    assert len(hook.requests) == 3
    assert said() == []


def test_a_channel_that_fails_is_one_warning_and_the_run_is_as_it_was(tiny_run, hook, said):
    hook.answers = [404]
    options = {"on": ALL, "when": {"x": "< 1"}, "min_interval_seconds": 0}
    result = tiny_run([notify(hook, **options), Logs([0.0, 1.0] * 3)])
    assert result.outcome == "completed"
    place = hook.url.partition("/services")[0]
    assert said() == [f"notify: webhook {place}: it answered 404 Not Found: ok"]


@pytest.mark.parametrize("kind", ["webhook", "email", "command"])
def test_a_channel_that_hangs_does_not_hold_up_training_and_the_end_only_so_long(tiny_run, silent_port, said, kind):
    tables = {
        "webhook": {"url": f"http://127.0.0.1:{silent_port}/"},
        "email": {"host": "127.0.0.1", "port": silent_port, "from": "a@b.org", "to": ["c@d.org"]},
        "command": {"args": ["sleep", "600"]},
    }

    class Times:
        role = "observer"
        steps = 0.0

        @hookimpl
        def on_fit_start(self):
            self.begun = time.monotonic()

        @hookimpl
        def on_fit_end(self):
            self.steps = time.monotonic() - self.begun

    times = Times()
    options = {kind: tables[kind], "on": ALL, "when": {"x": "< 1"}, "timeout_seconds": 1.0, "attempt_seconds": 60}
    begun = time.monotonic()
    result = tiny_run([("notify", options), times, Logs([0.0] * 6)])
    assert result.outcome == "completed"
    assert times.steps < 1
    assert time.monotonic() - begun < 4
    assert len(said()) >= 1


def test_a_preempted_run_that_then_cannot_save_is_told_as_both(tiny_run, hook, failing_plugin):
    class Preempted:
        role = "actor"

        @hookimpl
        def on_step_end(self, run):
            if run.step == 2:
                run.control.on_signal(15, None)

    with pytest.raises(PluginHookError):
        tiny_run([notify(hook), Preempted(), failing_plugin("persist", OSError("disk full"), at_step=2)])
    told = [subject.partition(": ")[2] for subject in subjects(hook)]
    assert told == ["preempted by SIGTERM", "failed: OSError: disk full"]


def test_a_preemption_waits_only_for_the_grace(tiny_run, silent_port):
    class Preempted:
        role = "actor"

        @hookimpl
        def on_step_end(self, run):
            if run.step == 2:
                run.control.on_signal(15, None)

    begun = time.monotonic()
    url = f"http://127.0.0.1:{silent_port}/"
    options = {"webhook": {"url": url}, "grace_seconds": 0.3, "timeout_seconds": 60, "attempt_seconds": 2}
    result = tiny_run([("notify", options), Preempted()])
    assert result.outcome == "preempted"
    assert time.monotonic() - begun < 4
    time.sleep(2)  # for the thread to end by its own limit

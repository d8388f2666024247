import threading

from hookloop.loggers import Rows, Worker, column


def test_what_is_logged_at_one_step_is_one_row_which_waits_for_the_next():
    handed = []
    rows = Rows(handed.append)
    rows.add(3, 0, {"train/loss": 0.5})
    rows.add(3, 1, {"val/loss": 0.7})
    assert handed == []
    rows.add(4, 1, {"train/loss": 0.4})
    assert handed == [{"step": 3, "epoch": 1, "train/loss": 0.5, "val/loss": 0.7}]
    rows.flush()
    rows.flush()
    assert handed[1:] == [{"step": 4, "epoch": 1, "train/loss": 0.4}]


def test_a_metric_does_not_take_the_place_of_a_counter_nor_of_what_is_reserved():
    rows = Rows([].append, ("step", "epoch", "project"))
    rows.add(1, 0, {"step": 9.0, "project": 8.0})
    assert rows.pending == {"step": 1, "epoch": 0, "logged/step": 9.0, "logged/project": 8.0}
    assert (column("time"), column("time", ("step",))) == ("logged/time", "time")


def test_the_rows_of_a_history_are_joined_by_step():
    history = [
        {"step": 1, "epoch": 0, "time": 1.0, "train/loss": 0.5, "run": 1.0},
        {"step": 1, "epoch": 1, "time": 2.0, "val/loss": 0.7},
        {"step": 2, "epoch": 1, "time": 3.0, "train/loss": 0.4},
    ]
    assert Rows([].append, ("run",)).joined(history) == [
        {"step": 1, "epoch": 1, "train/loss": 0.5, "logged/run": 1.0, "val/loss": 0.7},
        {"step": 2, "epoch": 1, "train/loss": 0.4},
    ]


def test_what_is_lacking_is_caught_up_with_but_the_row_that_may_still_grow():
    handed = []
    rows = Rows(handed.append)
    rows.catch_up([{"step": step, "epoch": 0, "time": 0.0, "train/loss": 0.5} for step in (1, 2, 3, 4)], 4, {1, 3})
    assert handed == [{"step": 2, "epoch": 0, "train/loss": 0.5}]
    assert rows.pending == {"step": 4, "epoch": 0, "train/loss": 0.5}


def test_a_worker_does_its_jobs_in_order_and_goes_on_after_one_that_fails():
    done, failures = [], []
    worker = Worker("worker", failures.append)
    worker.start()
    worker.do(lambda: done.append(threading.current_thread().name))
    worker.do(lambda: 1 / 0)
    worker.do(lambda: done.append("last"))
    assert worker.close(10)
    assert done == ["worker", "last"]
    assert [type(each) for each in failures] == [ZeroDivisionError]


def test_a_worker_that_hangs_is_left_after_some_patience():
    end = threading.Event()
    worker = Worker("worker", [].append)
    worker.start()
    worker.do(lambda: end.wait(30) and None)
    assert not worker.close(0.05)
    end.set()
    worker.thread.join(10)

"""What posting a row in each step adds while the server misbehaves: python tests/benchmarks/remote.py [ROUNDS]

Each run takes turns with a hand-written loop, block by block, and a run with the plugin ``remote`` is followed by one
without it. The server is a process of its own.
"""

import logging
import multiprocessing
import socket
import statistics
import sys
import threading
import time
from contextlib import suppress

import torch
from workload import Turns, make_batches, make_model, train_by_engine

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SELF = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"


def takes(connection):
    connection.sendall(OK)


def hangs(connection):
    time.sleep(3600)


def breaks_off(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nok")
    raise OSError


def fails(connection):
    connection.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")


def redirects(connection):
    connection.sendall(SELF)


def floods(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
    for _ in range(1024):
        connection.sendall(bytes(1 << 20))


SERVERS = {each.__name__: each for each in (takes, hangs, breaks_off, fails, redirects, floods)}


def serve(name, port):
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port.send(listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection, SERVERS[name]), daemon=True).start()


def answer(connection, behave):
    with suppress(OSError), connection:
        while True:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    return
                head += piece
            behave(connection)


class Shared(Turns):
    """Takes turns with the hand-written loop, and notes what other threads of the process take of a processor."""

    def __iter__(self):
        began, others = time.perf_counter(), time.process_time() - time.thread_time()
        yield from super().__iter__()
        spent = time.process_time() - time.thread_time() - others
        self.others_share = spent / (time.perf_counter() - began)


def train(batches, plugins):
    """Return a step of the engine in steps of the loop, and the part of a processor that other threads take."""
    turns = Shared(batches)
    train_by_engine(make_model(), turns, plugins, log_every="1 step")
    engine, loop = turns.microseconds_a_step()
    return engine / loop, turns.others_share


def main(rounds):
    logging.getLogger("hookloop").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    batches = make_batches()
    train(batches, [])  # the first run of a process imports and warms up
    print(f"{rounds} rounds, a row in each step, in % of a step without the plugin: min, median, max")
    print(f"{'a server that':<20}{'training thread':>24}   {'other threads':>24}")
    for name in SERVERS:
        ours, theirs = multiprocessing.Pipe()
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(name, theirs), daemon=True)
        server.start()
        remote = ("remote", {"url": f"http://127.0.0.1:{ours.recv()}/", "drain_seconds": 0})
        measured = [(train(batches, [remote]), train(batches, [])) for _ in range(rounds)]
        server.kill()
        trains = [100 * (one[0] / other[0] - 1) for one, other in measured]
        others = [100 * (one[1] - other[1]) for one, other in measured]
        print(f"{name:<20}{row(trains, 2)}   {row(others, 2)}")


def row(values, digits):
    return "".join(f"{each:8.{digits}f}" for each in (min(values), statistics.median(values), max(values)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)

"""The process that `tools.programs` forks programs from: it imports the application once and runs nothing of it.

It takes orders on its standard input, a socket, and ends when that is closed. It has one thread and no event loop, so
that a fork of it is a process like any other.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TypedDict

REPORT = struct.Struct("i")
"""What is reported of a program: first its process id, at the end its exit code."""

_PRELOADED = ("app.main", "app.api.server", "typer", "alembic.command", "aiosqlite", "httptools", "uvloop")
_MESSAGE_BYTES = 1 << 20
_STREAMS = 3


class Order(TypedDict):
    """A program to start. With it come three descriptors: for reports, standard output and standard error."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str


class Nursery:
    """The programs that were forked here, each known by a descriptor that tells its end."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._poll = select.poll()
        self._poll.register(orders, select.POLLIN)
        self._running: dict[int, tuple[int, int]] = {}

    def tend(self) -> Order | None:
        """Fork whatever is ordered; returns None when the orders end, and in each fork its order."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor != self._orders.fileno():
                    self._report_end(descriptor)
                    continue
                message, descriptors, _, _ = socket.recv_fds(self._orders, _MESSAGE_BYTES, _STREAMS)
                if not message:
                    return None
                order: Order = json.loads(message)
                if self._fork(*descriptors):
                    return order

    def _fork(self, reports: int, stdout: int, stderr: int) -> bool:
        """Whether this is the child."""
        pid = os.fork()
        if pid == 0:
            self._orders.close()
            for descriptor, (_, other_reports) in self._running.items():
                os.close(descriptor)
                os.close(other_reports)
            for target, source in enumerate((os.open(os.devnull, os.O_RDONLY), stdout, stderr)):
                os.dup2(source, target)
                os.close(source)
            os.close(reports)
            return True
        os.close(stdout)
        os.close(stderr)
        os.write(reports, REPORT.pack(pid))
        ended = os.pidfd_open(pid)
        self._running[ended] = (pid, reports)
        self._poll.register(ended, select.POLLIN)
        return False

    def _report_end(self, descriptor: int) -> None:
        pid, reports = self._running.pop(descriptor)
        _, status = os.waitpid(pid, 0)
        with suppress(BrokenPipeError):  # nobody waits for it any more
            os.write(reports, REPORT.pack(os.waitstatus_to_exitcode(status)))
        self._poll.unregister(descriptor)
        os.close(descriptor)
        os.close(reports)


def become(order: Order) -> None:
    """Do in this process what `python` would do with the order's arguments, and raise what it would end with."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    match order["arguments"]:
        case ["-m", module, *rest]:
            sys.argv, sys.path[0] = [module, *rest], order["folder"]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [script, *rest]:
            sys.argv, sys.path[0] = [script, *rest], str(Path(script).parent)
            runpy.run_path(script, run_name="__main__")


def main() -> None:
    """Import, wait for orders, and be what was ordered."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: who gives the orders will close the socket
    for module in _PRELOADED:
        import_module(module)
    gc.collect()
    gc.freeze()
    order = Nursery(socket.socket(fileno=os.dup(0))).tend()  # a program has another standard input
    if order is not None:
        become(order)


if __name__ == "__main__":
    main()

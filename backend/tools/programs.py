"""Python programs of the project in processes of their own, started in an instant.

Importing the application takes longer than most tests that need a process. On Linux each program is therefore a fork of
`tools.nursery`, which has the imports behind it; it has its own environment, folder, arguments and streams, and ends as
any Python program does. Elsewhere it is started from nothing.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

from tools.nursery import REPORT, Order

BACKEND = Path(__file__).resolve().parents[1]
_HAS_NURSERY = sys.platform == "linux"
_LOST = -signal.SIGKILL


class Program:
    """A forked program, to be used as a `subprocess.Popen[str]` is."""

    def __init__(self, arguments: Sequence[str], reports: int, stdout: IO[str] | None, stderr: IO[str] | None) -> None:
        self.args, self.stdout, self.stderr = arguments, stdout, stderr
        self.returncode: int | None = None
        self._reports = reports
        (self.pid,) = REPORT.unpack(os.read(reports, REPORT.size))

    def poll(self) -> int | None:
        """Its exit code, or the negative number of the signal that ended it; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not ended within `timeout` seconds.
        """
        if self.returncode is None:
            if not select.select([self._reports], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            report = os.read(self._reports, REPORT.size)
            os.close(self._reports)
            (self.returncode,) = REPORT.unpack(report) if report else (_LOST,)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """End it by SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(
    arguments: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path = BACKEND,
    stdout: IO[bytes] | int | None = None,
    stderr: IO[bytes] | int | None = None,
) -> Program | subprocess.Popen[str]:
    """Start `python` with these arguments, a module (`-m name …`) or a script, with nothing to read.

    `stdout` and `stderr` are files or `subprocess.PIPE`; without them it writes to where this process does.
    """
    words = [str(argument) for argument in arguments]
    if not _HAS_NURSERY:
        command = [sys.executable, *words]
        return subprocess.Popen(
            command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, text=True
        )
    reports, reporting = os.pipe()
    ours: list[IO[str] | None] = []
    theirs: list[int] = []
    for stream, own in ((stdout, 1), (stderr, 2)):
        if stream == subprocess.PIPE:
            reading, writing = os.pipe()
            ours.append(os.fdopen(reading, encoding="utf-8"))
        else:
            writing = os.dup(own if stream is None else stream if isinstance(stream, int) else stream.fileno())
            ours.append(None)
        theirs.append(writing)
    order: Order = {"arguments": words, "environment": dict(env), "folder": str(cwd)}
    socket.send_fds(_nursery(), [json.dumps(order).encode()], [reporting, *theirs])
    for descriptor in (reporting, *theirs):
        os.close(descriptor)
    return Program(words, reports, *ours)


def run(
    arguments: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path = BACKEND, timeout: float = 50
) -> subprocess.CompletedProcess[str]:
    """Run `python` with these arguments to its end, and keep what it says; see `start`.

    Raises:
        subprocess.TimeoutExpired: it has not ended within `timeout` seconds; it is killed.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        program = start(arguments, env=env, cwd=cwd, stdout=output, stderr=errors)
        try:
            code = program.wait(timeout)
        finally:
            program.kill()
        said = []
        for file in (output, errors):
            file.seek(0)
            said.append(file.read().decode())
    return subprocess.CompletedProcess(program.args, code, *said)


@cache
def _nursery() -> socket.socket:
    """Where this process sends its orders; the nursery ends with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        nursery = subprocess.Popen([sys.executable, "-m", "tools.nursery"], cwd=BACKEND, stdin=theirs.fileno())

    def end() -> None:
        ours.close()
        nursery.wait()

    atexit.register(end)
    return ours

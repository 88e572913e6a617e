"""Several worker processes that share one listening socket.

On Linux a worker is a fork of the supervisor, which has the application's imports behind it: workers start at once and
share that memory. The supervisor has one thread and makes no connection, so that nothing half-done is inherited.
"""

import gc
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from app.core.errors import ConfigurationError
from app.core.logging import configure_logging, get_logger
from app.core.settings import Settings

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_RESTART_PAUSE_SECONDS = 1.0
_POLL_SECONDS = 0.2

log = get_logger(__name__)
if sys.platform == "linux":
    _processes = multiprocessing.get_context("fork")
else:
    _processes = multiprocessing.get_context("spawn")


class Worker:
    """A worker process, and the pipe on which it says that it accepts requests."""

    def __init__(self, run: Callable[..., None], arguments: Sequence[Any]) -> None:
        self.word, child_end = _processes.Pipe(duplex=False)
        self.process: BaseProcess = _processes.Process(target=_run_in_child, args=(run, tuple(arguments), child_end))
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # until the child has handlers of its own
        self.process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        child_end.close()
        self.has_started = False
        self.spawned_at = time.monotonic()

    def listen(self) -> None:
        """Take note of the worker's word that it has started."""
        if not self.has_started and self.word.poll():
            with suppress(EOFError):  # it ended without a word
                self.has_started = self.word.recv()


def supervise(
    run: Callable[..., None], arguments: Sequence[Any], count: int, on_first_started: Callable[[], None]
) -> int:
    """Keep `count` processes of `run(*arguments, on_started)` alive until a signal; returns the exit code.

    The first of `arguments` is the settings. A worker that dies is replaced; one that ends before it ever started
    would fail in the same way again, so it ends them all, and its exit code is the result.
    """
    signals: list[int] = []
    is_announced = False
    gc.collect()
    gc.freeze()  # a worker's collector would copy the memory that it visits
    with _collect_signals(signals):
        workers = [Worker(run, arguments) for _ in range(count)]
        while not signals:
            unheard = [worker.word for worker in workers if not worker.has_started]
            wait([*unheard, *(worker.process.sentinel for worker in workers)], timeout=_POLL_SECONDS)
            for worker in workers:
                worker.listen()
            if not is_announced and any(worker.has_started for worker in workers):
                is_announced = True
                on_first_started()
            failed = _replace_dead(workers, run, arguments)
            if failed is not None:
                _stop(workers, signals)
                return failed
        _stop(workers, signals)
    return 0


def _replace_dead(workers: list[Worker], run: Callable[..., None], arguments: Sequence[Any]) -> int | None:
    """Replace each worker that ended; the exit code of one that never started."""
    for index, worker in enumerate(workers):
        if worker.process.is_alive():
            continue
        exit_code = worker.process.exitcode or 0
        if not worker.has_started:
            log.error("worker_failed_to_start", exit_code=exit_code)
            return exit_code if exit_code > 0 else 1
        log.error("worker_died", exit_code=exit_code)
        # A worker that keeps dying right after its start must not take the whole machine.
        time.sleep(max(0.0, worker.spawned_at + _RESTART_PAUSE_SECONDS - time.monotonic()))
        workers[index] = Worker(run, arguments)
    return None


def _stop(workers: Sequence[Worker], signals: list[int]) -> None:
    """Let every worker drain and end; each further signal is passed on, and ends them at once."""
    alive = [worker.process for worker in workers]
    for process in alive:
        process.terminate()
    seen = len(signals)
    while alive := [process for process in alive if process.is_alive()]:
        wait([process.sentinel for process in alive], timeout=_POLL_SECONDS)
        if len(signals) > seen:
            seen = len(signals)
            for process in alive:
                process.terminate()


@contextmanager
def _collect_signals(signals: list[int]) -> Iterator[None]:
    previous = {number: signal.signal(number, lambda received, _: signals.append(received)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _run_in_child(run: Callable[..., None], arguments: tuple[Any, ...], started: "Connection[bool, None]") -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    settings: Settings = arguments[0]
    configure_logging(settings)
    try:
        run(*arguments, lambda: started.send(True))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)

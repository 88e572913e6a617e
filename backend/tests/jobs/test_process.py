"""A process for jobs alone: it works until it is told to stop, and ends as it was told."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress

import pytest

from app.jobs.process import CUT_SHORT, work_until_told
from app.jobs.types import JobStatus
from tests.jobs.stage import Gate, Stage


class Signals:
    """What the process has asked to hear, without any real signal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.heard: dict[int, Callable[[], None]] = {}
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "add_signal_handler", self.heard.__setitem__)
        monkeypatch.setattr(loop, "remove_signal_handler", self.heard.pop)


@pytest.fixture
async def signals(monkeypatch: pytest.MonkeyPatch) -> Signals:
    with suppress(AttributeError):
        return Signals(monkeypatch)
    pytest.skip("this loop cannot be told to hear less")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_gracefully(stage: Stage, signals: Signals, number: int) -> None:
    gate = Gate()
    jobs = stage.process(gate)
    await stage.enqueue(jobs)
    working = asyncio.create_task(work_until_told(jobs, 2))
    await gate.entered.wait()
    signals.heard[number]()
    await asyncio.sleep(0.02)
    assert not working.done()
    gate.is_open.set()
    assert await working == 0
    assert await stage.states() == [JobStatus.DONE]
    assert signals.heard == {}


async def test_a_second_signal_ends_it_at_once(stage: Stage, signals: Signals) -> None:
    """What ran is given back, and the exit code says that it was cut short."""
    gate = Gate()
    jobs = stage.process(gate)
    await stage.enqueue(jobs)
    working = asyncio.create_task(work_until_told(jobs, 2))
    await gate.entered.wait()
    signals.heard[signal.SIGTERM]()
    await asyncio.sleep(0.02)
    signals.heard[signal.SIGINT]()
    assert await working == CUT_SHORT
    assert (await stage.states(), gate.cancelled) == ([JobStatus.QUEUED], 1)

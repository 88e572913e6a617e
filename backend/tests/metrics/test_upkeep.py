"""Folding counts everything exactly once, whoever does it and however often; pruning keeps what the rules say."""

import asyncio
import random
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert

from app.metrics.models import MetricRetention
from app.metrics.repository import RollupRepository
from app.metrics.types import DEFAULT_RETENTION, FOLDED, Resolution, Retention, Rollup, Series, floor
from app.metrics.upkeep import FOLDED_AFTER, rule_for
from tests.metrics.stage import Recorded, aggregate, seen
from tests.support import ManualClock

MINUTE, HOUR, DAY = Resolution.MINUTE, Resolution.HOUR, Resolution.DAY


async def record(recorded: Recorded, clock: ManualClock, *, minutes: int = 6, processes: int = 3) -> list[float]:
    """Some minutes of some processes; the durations in them."""
    chance, durations = random.Random(3), []  # noqa: S311 - no secret
    running = [recorded.process() for _ in range(processes)]
    for _ in range(minutes):
        for process in running:
            for _ in range(chance.randint(1, 5)):
                durations.append(chance.lognormvariate(3, 1))
                process.observe(seen(ms=durations[-1], kind=chance.choice("ab")))
            await process.flush()
        clock.advance(minutes=1)
    return durations


async def test_folding_moves_everything_into_every_length(recorded: Recorded, clock: ManualClock) -> None:
    durations = await record(recorded, clock)
    await recorded.upkeep.fold()
    assert (await recorded.known("job.test", DAY)).count == 0, "it is too early"
    clock.advance(seconds=FOLDED_AFTER.total_seconds())
    await recorded.upkeep.fold()
    assert all(rollup.source == FOLDED for rollup in await recorded.rollups("job.test"))
    for resolution in Resolution:
        known = await recorded.known("job.test", resolution)
        assert known.count == len(durations)
        assert known.sum_ms == pytest.approx(sum(durations))
        assert (known.min_ms, known.max_ms) == (min(durations), max(durations))


async def test_folding_twice_changes_nothing(recorded: Recorded, clock: ManualClock) -> None:
    durations = await record(recorded, clock, minutes=2)
    clock.advance(hours=1)
    for _ in range(3):
        await recorded.upkeep.fold()
    assert (await recorded.known("job.test", DAY)).count == len(durations)


async def test_what_comes_late_is_added_to_what_is_folded(recorded: Recorded, clock: ManualClock) -> None:
    """A caller may report an event hours later, when its minute is folded already."""
    durations = await record(recorded, clock, minutes=2)
    start = floor(clock.now() - timedelta(minutes=1), MINUTE)
    clock.advance(hours=1)
    await recorded.upkeep.fold()
    late = Rollup(Series("job.test", (("kind", "a"),)), MINUTE, start, aggregate(7.0, 8.0), uuid4())
    await recorded.write(late)
    await recorded.upkeep.fold()
    for resolution in Resolution:
        assert (await recorded.known("job.test", resolution)).count == len(durations) + 2


async def test_many_folders_at_once_count_everything_once(recorded: Recorded, clock: ManualClock) -> None:
    durations = await record(recorded, clock, minutes=4, processes=4)
    clock.advance(hours=1)
    await asyncio.gather(*(recorded.upkeep.fold() for _ in range(4)), return_exceptions=True)
    await recorded.upkeep.fold()
    for resolution in Resolution:
        assert (await recorded.known("job.test", resolution)).count == len(durations)


async def test_a_folder_that_was_overtaken_changes_nothing(
    recorded: Recorded, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has changed a folded row between its reading and its writing."""
    await record(recorded, clock, minutes=2)
    clock.advance(hours=1)
    await recorded.upkeep.fold()
    start = floor(clock.now() - timedelta(minutes=62), MINUTE)
    for _ in range(2):
        await recorded.write(Rollup(Series("job.test", (("kind", "a"),)), MINUTE, start, aggregate(1.0), uuid4()))
    before = (await recorded.known("job.test", DAY)).count

    async def overtaken(*_: object, **__: object) -> bool:
        return False

    for name in ("take", "replace_folded"):
        with monkeypatch.context() as patch:
            patch.setattr(RollupRepository, name, overtaken)
            await recorded.upkeep.fold()
        assert (await recorded.known("job.test", DAY)).count == before
    await recorded.upkeep.fold()
    assert (await recorded.known("job.test", DAY)).count == before + 2


async def test_a_row_that_appears_meanwhile_is_no_error(
    recorded: Recorded, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two folders that both find no row of an hour: the constraint decides."""
    durations = await record(recorded, clock, minutes=1)
    clock.advance(hours=1)
    await recorded.upkeep.fold()
    start = floor(clock.now() - timedelta(minutes=61), MINUTE)
    await recorded.write(Rollup(Series("job.test", (("kind", "a"),)), MINUTE, start, aggregate(1.0), uuid4()))

    async def finds_nothing(*_: object) -> list[Rollup]:
        return []

    with monkeypatch.context() as patch:
        patch.setattr(RollupRepository, "folded", finds_nothing)
        await recorded.upkeep.fold()
    assert (await recorded.known("job.test", DAY)).count == len(durations)
    await recorded.upkeep.fold()
    assert (await recorded.known("job.test", DAY)).count == len(durations) + 1


async def test_long_queues_are_folded_in_pieces(
    recorded: Recorded, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.metrics.upkeep._ROWS_AT_ONCE", 3)
    durations = await record(recorded, clock, minutes=3, processes=1)
    clock.advance(hours=1)
    await recorded.upkeep.fold()
    assert (await recorded.known("job.test", HOUR)).count == len(durations)
    assert all(rollup.source == FOLDED for rollup in await recorded.rollups("job.test"))


async def test_pruning_keeps_what_the_rules_say(
    recorded: Recorded, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest pattern counts; rows of sources and days stay."""
    monkeypatch.setattr("app.metrics.upkeep._NAMES_AT_ONCE", 1)
    monkeypatch.setattr("app.metrics.upkeep._EVENTS_AT_ONCE", 2)
    now = clock.now()
    async with recorded.services.database.writer.begin() as connection:
        rules = [{"pattern": "job.*", "raw_days": 30, "minute_days": 2, "hour_days": 3}]
        rules.append({"pattern": "job.test", "raw_days": 1, "minute_days": 1, "hour_days": 10})
        await connection.execute(insert(MetricRetention), rules)
    process = recorded.process()
    for name in ("job.test", "job.other"):
        for _ in range(3):
            process.observe(seen(name, failed="x"))
        for days in (0.5, 1.5, 2.5, 5, 20):
            for resolution in Resolution:
                start = floor(now - timedelta(days=days), resolution)
                await recorded.write(Rollup(Series(name), resolution, start, aggregate(1.0)))
    await recorded.write(Rollup(Series("job.test"), MINUTE, now - timedelta(days=9), aggregate(1.0), uuid4()))
    await process.flush()
    clock.advance(days=1, seconds=-1)
    await recorded.upkeep.prune()
    assert len(await recorded.events("job.test")) == 3
    clock.advance(seconds=2)
    await recorded.upkeep.prune()
    assert await recorded.events("job.test") == []
    assert len(await recorded.events("job.other")) == 3
    left = {
        (name, resolution): sum(
            rollup.resolution is resolution and rollup.source == FOLDED for rollup in await recorded.rollups(name)
        )
        for name in ("job.test", "job.other")
        for resolution in Resolution
    }
    assert left == {
        ("job.test", MINUTE): 0,
        ("job.test", HOUR): 4,
        ("job.test", DAY): 5,
        ("job.other", MINUTE): 1,
        ("job.other", HOUR): 2,
        ("job.other", DAY): 5,
    }
    assert [rollup for rollup in await recorded.rollups("job.test") if rollup.source != FOLDED]


def test_the_longest_pattern_counts() -> None:
    rules = [Retention("http.*", 1, 1, 1), Retention("http.get_*", 2, 2, 2), Retention("*", 3, 3, 3)]
    assert rule_for("http.get_me", rules).raw_days == 2
    assert rule_for("http.login", rules).raw_days == 1
    assert rule_for("job.x", rules).raw_days == 3
    assert rule_for("job.x", []) is DEFAULT_RETENTION
    assert DEFAULT_RETENTION.raw_days == 7

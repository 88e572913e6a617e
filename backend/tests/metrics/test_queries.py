"""Questions: right over any window, within 1 %, whatever is folded, in few statements and by index."""

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, text

from app.main import Services
from app.metrics.models import MetricRollup
from app.metrics.types import Resolution, Rollup, Series, floor
from tests.metrics.stage import Recorded, aggregate, seen
from tests.statements import analyze, read_from_end_to_end, recorded_sql
from tests.support import Account, ManualClock

MINUTE, HOUR, DAY = Resolution.MINUTE, Resolution.HOUR, Resolution.DAY
QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)


async def ask(admin: Account, **params: Any) -> dict[str, Any]:
    """The answer to a question."""
    answer = await admin.get("/metrics", params={"operation": "job.test", **params})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_any_window_is_answered_right(recorded: Recorded, admin: Account, clock: ManualClock) -> None:
    """M2: hours of three processes, folded now and then; each window equals a count by hand of the same events."""
    chance = random.Random(11)  # noqa: S311 - no secret
    happened: list[tuple[datetime, float, bool]] = []
    running = [recorded.process() for _ in range(3)]
    for step in range(40):
        for process in running:
            for _ in range(chance.randint(0, 6)):
                ms, is_success = chance.lognormvariate(4, 1), chance.random() > 0.1
                happened.append((clock.now(), ms, is_success))
                process.observe(seen(ms=ms, failed=None if is_success else "x"))
            await process.flush()
        clock.advance(minutes=chance.choice((1, 2, 5)))
        if step % 20 == 19:
            await recorded.upkeep.fold()
    await admin.login()
    begin = happened[0][0]
    for _ in range(12):
        start = begin + timedelta(minutes=chance.randint(-30, 150))
        end = start + timedelta(minutes=chance.randint(1, 200))
        if start >= clock.now():
            continue
        found = await ask(admin, **{"from": start.isoformat(), "to": end.isoformat(), "q": "0.5,0.9,0.95,0.99,0.999"})
        since, until = datetime.fromisoformat(found["start"]), datetime.fromisoformat(found["end"])
        assert since <= start < end
        assert end <= until or until >= clock.now()
        inside = [(ms, ok) for at, ms, ok in happened if since <= at < until]
        total = found["total"]
        assert total["count"] == len(inside)
        assert total["errors"] == sum(not ok for _, ok in inside)
        if inside:
            assert total["average_ms"] == pytest.approx(sum(ms for ms, _ in inside) / len(inside))
            assert total["error_rate"] == pytest.approx(total["errors"] / len(inside))
        ordered = sorted(ms for ms, _ in inside)
        for percentile in total["percentiles"]:
            exact = ordered[max(1, math.ceil(percentile["q"] * len(ordered))) - 1]
            assert abs(percentile["ms"] - exact) <= 0.01 * exact * (1 + 1e-9)


async def test_the_percentiles_are_those_of_percentile_disc(recorded: Recorded, admin: Account) -> None:
    """PostgreSQL's own function over the single events is the oracle; elsewhere its definition."""
    chance = random.Random(5)  # noqa: S311 - no secret
    durations = sorted(chance.lognormvariate(3, 1.5) for _ in range(400))
    lines = [f'{{"operation": "editor.save", "duration_ms": {ms!r}}}' for ms in durations]
    headers = {"Content-Type": "application/x-ndjson"}
    answer = await admin.request("POST", "/metrics", content="\n".join(lines), headers=headers)
    assert answer.json() == {"stored": 400}
    found = await ask(admin, operation="editor.save", q=",".join(map(str, QUANTILES)))
    assert len(found["total"]["percentiles"]) == len(QUANTILES)
    statement = text("SELECT percentile_disc(:q) WITHIN GROUP (ORDER BY duration_ms) FROM system_metrics")
    for percentile in found["total"]["percentiles"]:
        q = percentile["q"]
        exact = durations[math.ceil(q * len(durations)) - 1]
        if recorded.services.database.url.backend == "postgresql":
            async with recorded.services.database.reader.connect() as connection:
                assert (await connection.execute(statement, {"q": q})).scalar_one() == exact
        assert percentile["ms"] == pytest.approx(exact, rel=0.01)


async def test_steps_and_groups(recorded: Recorded, admin: Account, clock: ManualClock) -> None:
    start = floor(clock.now(), HOUR) - timedelta(hours=3)
    for hours, durations, kind in ((0, (1.0, 3.0), "a"), (0, (5.0,), "b"), (1, (7.0,), "a")):
        series = Series("job.test", (("kind", kind),))
        known = aggregate(*durations, errors=1)
        await recorded.write(Rollup(series, HOUR, start + timedelta(hours=hours), known))
    await recorded.write(Rollup(Series("job.test"), HOUR, start, aggregate(100.0)))
    window = {"from": start.isoformat(), "to": (start + timedelta(hours=2)).isoformat()}
    found = await ask(admin, **window, step=3600, group_by="kind")
    assert [line["dimensions"]["kind"] for line in found["lines"]] == [None, "a", "b"]
    first = found["lines"][1]
    assert [point["stats"]["count"] for point in first["points"]] == [2, 1]
    assert [datetime.fromisoformat(point["at"]) for point in first["points"]] == [start, start + timedelta(hours=1)]
    assert (first["total"]["count"], first["total"]["errors"], first["total"]["max_ms"]) == (3, 2, 7.0)
    assert found["total"]["count"] == 5
    together = await ask(admin, **window)
    assert together["lines"][0]["points"] == []
    assert together["total"] == found["total"]


async def test_nothing_is_an_answer(admin: Account) -> None:
    found = await ask(admin)
    assert found["lines"] == []
    assert found["total"] == {
        "count": 0,
        "errors": 0,
        "error_rate": None,
        "sum_ms": 0.0,
        "average_ms": None,
        "min_ms": None,
        "max_ms": None,
        "percentiles": [],
    }


async def test_old_times_are_told_of_in_coarser_buckets(recorded: Recorded, admin: Account, clock: ManualClock) -> None:
    """The answer says which: 31 days ago whole hours, two years ago whole days."""
    month, years = clock.now() - timedelta(days=31), clock.now() - timedelta(days=700)
    await recorded.write(Rollup(Series("job.test"), HOUR, floor(month, HOUR), aggregate(1.0)))
    await recorded.write(Rollup(Series("job.test"), DAY, floor(years, DAY), aggregate(2.0)))
    for moment, resolution in ((month, HOUR), (years, DAY)):
        window = {"from": moment.isoformat(), "to": (moment + timedelta(minutes=1)).isoformat()}
        found = await ask(admin, **window)
        assert found["total"]["count"] == 1
        assert found["resolution_seconds"] == resolution
        assert datetime.fromisoformat(found["start"]) == floor(moment, resolution)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "validation_failed"),
    ({"from": "9999-12-31T23:59:59Z"}, "validation_failed"),
    ({"from": "0001-01-01T00:00:00Z"}, "window_too_wide"),
    ({"from": "2000-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "window_too_wide"),
    ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z", "step": 60}, "window_too_wide"),
    ({"step": 59}, "validation_failed"),
    ({"step": 61}, "validation_failed"),
    ({"step": 10**20}, "validation_failed"),
    ({"q": "0.5,nonsense"}, "validation_failed"),
    ({"q": "nan"}, "validation_failed"),
    ({"q": "1.5"}, "validation_failed"),
    ({"q": ",".join(["0.1"] * 11)}, "validation_failed"),
    ({"group_by": "a,,b"}, "validation_failed"),
    ({"group_by": "a,b,c,d,e"}, "validation_failed"),
    ({"operation": "x" * 101}, "validation_failed"),
    ({"operation": "a\x00b"}, "validation_failed"),
    ({"from": "1700000000"}, "validation_failed"),
]


async def test_what_cannot_be_answered_is_refused(admin: Account) -> None:
    for params, code in REFUSED:
        answer = await admin.get("/metrics", params=params)
        assert (answer.status_code, answer.json()["code"]) == (422, code), (params, answer.text)


async def test_an_empty_list_of_percentiles_is_one(admin: Account) -> None:
    assert (await ask(admin, q=""))["total"]["percentiles"] == []


async def test_too_many_buckets_or_groups_are_refused(
    recorded: Recorded, admin: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = recorded.process()
    for kind in "abc":
        process.observe(seen(kind=kind))
    await process.flush()
    with monkeypatch.context() as patch:
        patch.setattr("app.metrics.service._MAX_BUCKETS", 2)
        answer = await admin.get("/metrics", params={"operation": "job.test"})
        assert (answer.status_code, answer.json()["code"]) == (422, "window_too_wide")
    monkeypatch.setattr("app.metrics.service.MAX_LINES", 2)
    answer = await admin.get("/metrics", params={"operation": "job.test", "group_by": "kind"})
    assert answer.json()["code"] == "window_too_wide"


async def test_operations_come_in_pages(recorded: Recorded, admin: Account) -> None:
    process = recorded.process()
    for name in ("job.b", "job.a", "job.c", "http.x"):
        process.observe(seen(name))
        process.observe(seen(name, kind="other"))
    await process.flush()
    names: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await admin.get("/metrics/operations", params={"limit": 2, **cursor})).json()
        names += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert names == ["http", "http.x", "job", "job.a", "job.b", "job.c"]
    answer = await admin.get("/metrics/operations", params={"cursor": "nonsense"})
    assert answer.json()["code"] == "invalid_cursor"


async def test_no_question_reads_the_whole_table(recorded: Recorded, admin: Account, clock: ManualClock) -> None:
    """A window, the names, the scrape and the dashboard, among thousands of rollups of other times and operations."""
    services: Services = recorded.services
    start = floor(clock.now(), DAY) - timedelta(days=40)
    known = aggregate(1.0)
    figures = {"count": 1, "errors": 0, "sum_ms": 1.0, "min_ms": 1.0, "max_ms": 1.0}
    rows = [
        {"operation": f"job.n{number % 20}", "bucket_seconds": 60, "bucket_start": start + timedelta(minutes=number),
         "dims_hash": bytes(16), "dims": {}, **figures, "sketch": known.sketch.to_bytes()}
        for number in range(6000)
    ]  # fmt: skip
    async with services.database.writer.begin() as connection:
        await connection.execute(insert(MetricRollup), rows)
    await recorded.write(Rollup(Series("job.test"), MINUTE, floor(clock.now(), MINUTE), known, uuid4()))
    await analyze(services.database)
    with recorded_sql(services.database) as sent:
        await ask(admin, **{"from": (clock.now() - timedelta(days=3)).isoformat()})
        await admin.get("/metrics/operations")
        assert len([one for one in sent if "metric_rollups" in one]) == 2, "a statement for each question"
        await admin.client.get("/metrics", headers=admin.headers)
        await admin.get("/admin/dashboard", params={"period": "1h"})
        await recorded.upkeep.fold()
    looks = [one for one in sent if "metric_rollups" in one and not one.startswith("INSERT")]
    assert len(looks) >= 8
    for look, found in (await read_from_end_to_end(services.database, looks)).items():
        assert not [reading for reading in found if reading.table == "metric_rollups"], look


def test_floor_is_counted_from_1970() -> None:
    assert floor(datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), 3600) == datetime(1969, 12, 31, 23, tzinfo=UTC)

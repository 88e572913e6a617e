"""Reports from outside: who may, what is taken, and what a caller with bad intent can do with it."""

import json
from datetime import timedelta
from typing import Any

import httpx

from app.main import Services
from app.metrics.names import MAX_OPERATIONS, MAX_SETS, ReportedNames
from app.metrics.types import OTHER, Series
from tests.auth.credentials import service_of
from tests.metrics.stage import Recorded
from tests.support import Account, ManualClock

EVENT = {"operation": "editor.save", "duration_ms": 12.5}
NDJSON = {"Content-Type": "application/x-ndjson"}


async def report(account: Account, body: Any) -> httpx.Response:
    """Report one event."""
    return await account.request("POST", "/metrics", json=body)


async def report_lines(account: Account, *lines: str) -> httpx.Response:
    """Report one event a line."""
    return await account.request("POST", "/metrics", content="\n".join(lines), headers=NDJSON)


async def test_an_event_is_stored_as_it_was_told_and_counted(recorded: Recorded, admin: Account) -> None:
    told = {
        **EVENT,
        "success": False,
        "error": "the disk is full",
        "error_class": "OSError",
        "trace_id": "trace-1",
        "dimensions": {"language": "python"},
        "extra_data": {"bytes": 17},
    }
    answer = await report(admin, told)
    assert (answer.status_code, answer.json()) == (201, {"stored": 1})
    (row,) = await recorded.events("editor.save")
    assert {name: row[name] for name in ("duration_ms", "success", "error", "error_class", "trace_id")} == {
        "duration_ms": 12.5,
        "success": False,
        "error": "the disk is full",
        "error_class": "OSError",
        "trace_id": "trace-1",
    }
    assert row["extra_data"] == {"bytes": 17, "language": "python"}
    assert str(row["user_id"]) == admin.id
    assert row["created_at"] == recorded.services.clock.now()
    (rollup,) = await recorded.rollups("editor.save")
    assert (rollup.series.dimensions, rollup.aggregate.errors) == ((("language", "python"),), 1)


async def test_lines_are_stored_together(recorded: Recorded, admin: Account, clock: ManualClock) -> None:
    ago = (clock.now() - timedelta(minutes=3)).isoformat()
    lines = [json.dumps(EVENT), "", json.dumps({**EVENT, "duration_ms": 7}), json.dumps({**EVENT, "created_at": ago})]
    answer = await report_lines(admin, *lines)
    assert answer.json() == {"stored": 3}
    assert [rollup.aggregate.count for rollup in await recorded.rollups("editor.save")] == [1, 2]


async def test_one_bad_line_stores_nothing_and_is_named(recorded: Recorded, admin: Account) -> None:
    answer = await report_lines(admin, json.dumps(EVENT), json.dumps({**EVENT, "duration_ms": -1}))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", 1, "duration_ms"]
    assert (await report_lines(admin, json.dumps(EVENT), "{not json")).json()["code"] == "malformed_json"
    assert await recorded.events("editor.save") == []


UNFIT: list[dict[str, Any]] = [
    {"operation": "http.get_me"},
    {"operation": "http"},
    {"operation": "job.mail.send"},
    {"operation": "llm.chat"},
    {"operation": "tokens.prompt"},
    {"operation": OTHER},
    {"operation": "Editor"},
    {"operation": "a..b"},
    {"operation": 'a"} 1'},
    {"operation": "x" * 101},
    {"operation": "a\u0000"},
    {"duration_ms": -0.1},
    {"duration_ms": "12"},
    {"duration_ms": True},
    {"duration_ms": 1e13},
    {"success": "yes"},
    {"error": "x" * 501},
    {"error": "\u0000"},
    {"error_class": "two\nlines"},
    {"trace_id": "x" * 65},
    {"dimensions": {"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"}},
    {"dimensions": {"Bad Name": "1"}},
    {"dimensions": {"a": "x" * 65}},
    {"dimensions": {"a": 1}},
    {"extra_data": {"a": "x" * 4096}},
    {"extra_data": {"a": "\u0000"}},
    {"extra_data": {"a": 2**70}},
    {
        "extra_data": {"a": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}
    },  # MariaDB reads 32 levels
    {"created_at": "2001-01-01T00:00:00Z"},
    {"created_at": "2999-01-01T00:00:00Z"},
    {"created_at": 5},
    {"user_id": "0199c2a4-7d1e-7c3a-9f52-6b1d2e8f4a01"},
]


async def test_what_does_not_belong_into_the_table_is_refused(admin: Account) -> None:
    """Nobody forges the service's own figures, another's name, or the text that Prometheus reads."""
    for change in UNFIT:
        answer = await report(admin, {**EVENT, **change})
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed"), (change, answer.text)


async def test_no_number_is_no_duration(admin: Account) -> None:
    for number in ("NaN", "Infinity", "1e999"):
        for members in (f'"duration_ms": {number}', f'"duration_ms": 1, "extra_data": {{"a": {number}}}'):
            text = f'{{"operation": "a.b", {members}}}'
            answer = await admin.request("POST", "/metrics", content=text, headers={"Content-Type": "application/json"})
            assert answer.status_code == 422, answer.text


async def test_a_batch_has_bounds(admin: Account) -> None:
    for lines in (0, 501):
        answer = await report_lines(admin, *['{"operation":"a.b","duration_ms":1}'] * lines)
        assert answer.status_code == 422


async def test_other_media_types_are_refused(admin: Account) -> None:
    for media_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = await admin.request("POST", "/metrics", content=b"{}", headers={"Content-Type": media_type})
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
        assert "ndjson" in answer.headers["accept"]


async def test_only_who_may_write_metrics_reports_and_only_who_may_read_them_asks(account: Account) -> None:
    for method, path in (("POST", "/metrics"), ("GET", "/metrics"), ("GET", "/metrics/operations")):
        answer = await account.request(method, path, content=b"not even read")
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


async def test_what_a_machine_reports_is_nobodys(recorded: Recorded, admin: Account) -> None:
    """A service account is no user: its id would fit no row."""
    service = await service_of(admin, ["metrics:write"])
    answer = await (await service.bearer()).request("POST", "/metrics", json=EVENT)
    assert answer.status_code == 201, answer.text
    assert (await recorded.events("editor.save"))[0]["user_id"] is None


async def test_names_have_bounds(recorded: Recorded, admin: Account, services: Services) -> None:
    """Whoever invents names fills up `other`, and not the table; tomorrow names are free again."""
    services.metrics.reported = names = ReportedNames(services.clock)
    for number in range(MAX_OPERATIONS + 5):
        names.admit(f"invented.n{number}", {})
    try:
        assert (await report(admin, EVENT)).status_code == 201
        assert [rollup.series.operation for rollup in await recorded.rollups(OTHER)] == [OTHER]
        assert await recorded.rollups("editor.save") == []
        assert len(await recorded.events(OTHER)) == 1
    finally:
        services.metrics.reported = ReportedNames(services.clock)


def test_sets_of_dimensions_have_bounds(clock: ManualClock) -> None:
    names = ReportedNames(clock)
    found = [names.admit("a.b", {"caller": str(number)}) for number in range(MAX_SETS + 1)]
    assert found[0] == Series("a.b", (("caller", "0"),))
    assert found[-1] == Series("a.b", ((OTHER, OTHER),))
    assert names.admit("a.b", {"caller": "0"}) == found[0]
    clock.advance(days=1)
    assert names.admit("a.b", {"caller": "new"}) == Series("a.b", (("caller", "new"),))

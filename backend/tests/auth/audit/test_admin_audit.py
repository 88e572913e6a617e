"""`GET /admin/audit`: every event, to those who may read them."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from app.auth.audit import AuditTrail
from app.auth.models import AuditEvent
from app.auth.types import AuditAction, AuditOutcome, Client
from app.core.ids import new_id
from app.main import Services
from tests.auth.audit.trails import execute, record, stored
from tests.auth.scenarios import in_parallel
from tests.support import Account, ManualClock

LIST = "/admin/audit"


async def listed(admin: Account, **query: Any) -> list[dict[str, Any]]:
    """The items of the first page."""
    answer = await admin.get(LIST, params={"limit": 100, **query})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_an_event_is_shown_whole(services: Services, admin: Account) -> None:
    """A3: who, what, when, from where, outcome and request id, and its place in the chain."""
    user_id, session_id = new_id(), new_id()
    await record(services, user_id=user_id, session_id=session_id, detail={"a": [1, "ё"]})
    event = (await stored(services))[-1]
    shown = (await listed(admin))[0]
    assert shown == {
        "id": str(event.id),
        "sequence": event.sequence,
        "occurred_at": event.occurred_at.isoformat().replace("+00:00", "Z"),
        "action": "profile_updated",
        "outcome": "success",
        "user_id": str(user_id),
        "actor_id": str(user_id),
        "session_id": str(session_id),
        "address": "203.0.113.7",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "request_id": "r1",
        "detail": {"a": [1, "ё"]},
        "mac": event.mac.hex() if event.mac else None,
    }


async def test_pages_show_each_event_once_the_newest_first(services: Services, admin: Account) -> None:
    """Keyset pages: events that come meanwhile move nothing; equal times are told apart."""
    for _ in range(4):
        await record(services, 3)
    expected = [str(event.id) for event in reversed(await stored(services))]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        answer = await admin.get(LIST, params={"limit": 5, **({} if cursor is None else {"cursor": cursor})})
        seen += [item["id"] for item in answer.json()["items"]]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            break
        await record(services)
    assert seen == expected


async def test_every_filter_narrows(services: Services, admin: Account, clock: ManualClock) -> None:
    """Each filter alone, and all together, against events that differ in that one thing."""
    user_id, actor_id, session_id = new_id(), new_id(), new_id()
    clock.advance(hours=1)
    base: dict[str, Any] = {
        "action": AuditAction.SESSION_ENDED, "client": Client("2001:db8::1", "x", "wanted"), "user_id": user_id,
        "actor_id": actor_id, "session_id": session_id, "outcome": AuditOutcome.FAILURE,
    }  # fmt: skip
    others: list[dict[str, Any]] = [
        {"action": AuditAction.LOGOUT}, {"client": Client("2001:db8::2", "x", "wanted")}, {"user_id": new_id()},
        {"client": Client("2001:db8::1", "x", "other")}, {"actor_id": new_id()}, {"session_id": new_id()},
        {"outcome": AuditOutcome.SUCCESS},
    ]  # fmt: skip
    async with services.database.session() as session:
        trail = AuditTrail(session, services.auth)
        for changes in ({}, *others):
            await trail.record(**{**base, **changes})
        await session.commit()
    clock.reset()
    wanted = [event for event in await stored(services) if event.user_id == user_id][0]  # noqa: RUF015
    moment = wanted.occurred_at
    filters: dict[str, Any] = {
        "user_id": str(user_id), "actor_id": str(actor_id), "session_id": str(session_id), "outcome": "failure",
        "action": ["session_ended", "login_failed"], "address": "2001:0DB8:0::1", "request_id": "wanted",
        "occurred_after": moment.isoformat(), "occurred_before": (moment + timedelta(seconds=1)).isoformat(),
    }  # fmt: skip
    assert [item["id"] for item in await listed(admin, **filters)] == [str(wanted.id)]
    without = {"user_id": 7, "actor_id": 7, "session_id": 7, "outcome": 7, "action": 7, "address": 7, "request_id": 7}
    for name, count in without.items():
        assert len(await listed(admin, **{name: filters[name]})) == count, name
        rest = {key: value for key, value in filters.items() if key != name}
        assert len(await listed(admin, **rest)) == 2, name
    assert await listed(admin, occurred_before=wanted.occurred_at.isoformat(), request_id="wanted") == []
    assert len(await listed(admin, occurred_after=moment.isoformat())) == 8


@pytest.mark.parametrize(
    "query",
    [{"user_id": "x"}, {"action": "nothing"}, {"outcome": "maybe"}, {"address": "localhost"}, {"request_id": "a b"},
     {"request_id": "x" * 65}, {"occurred_after": "yesterday"}, {"occurred_after": "2026-01-01T00:00:00"},
     {"limit": 101}, {"limit": 0}, {"cursor": "x"}, {"cursor": ""}, {"request_id": "' OR 1=1 --"},
     {"action": ["login"] * 101}],
)  # fmt: skip
async def test_a_malformed_filter_is_refused(admin: Account, query: dict[str, Any]) -> None:
    answer = await admin.get(LIST, params=query)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_cursor_of_another_list_is_refused(admin: Account) -> None:
    users = (await admin.get("/admin/users", params={"limit": 1, "sort": "email"})).json()
    assert users["next_cursor"] is None or (
        (await admin.get(LIST, params={"cursor": users["next_cursor"]})).status_code == 422
    )


@pytest.mark.parametrize("path", [LIST, f"{LIST}/export"])
async def test_only_those_with_the_permission_may_read(account: Account, admin: Account, path: str) -> None:
    """No role but the administrator's has `audit:read`, and a token may be narrowed to nothing but it."""
    assert (await account.get(path)).json()["code"] == "insufficient_scope"
    assert (await admin.login(scope="users:read profile:read")).is_success
    assert (await admin.get(path)).status_code == 403
    assert (await admin.login(scope="audit:read")).is_success
    assert (await admin.get(path)).status_code == 200
    assert (await admin.get("/admin/users")).status_code == 403


async def test_events_from_before_the_chain_are_shown(services: Services, admin: Account) -> None:
    """They have no place in it, and say so."""
    await execute(services, "UPDATE audit_events SET sequence = NULL, mac = NULL")
    items = await listed(admin)
    assert items
    assert {(item["sequence"], item["mac"]) for item in items} == {(None, None)}


async def test_reading_leaves_no_event(services: Services, admin: Account) -> None:
    """What is read does not grow by it."""
    before = len(await stored(services))
    await in_parallel([listed(admin) for _ in range(5)])
    assert len(await stored(services)) == before


async def test_an_account_that_is_gone_keeps_its_events(services: Services, admin: Account, account: Account) -> None:
    """The trail outlives the account it tells of."""
    await execute(services, f"DELETE FROM users WHERE email_normalized = '{account.email}'")
    actions = [item["action"] for item in await listed(admin, user_id=account.id)]
    assert actions == ["login", "registered"]
    assert {event.user_id for event in await stored(services)} >= {UUID(account.id)}
    assert AuditEvent.__table__.foreign_keys == set()

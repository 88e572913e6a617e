"""What administrators and operators set: prices and limits."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select

from app.auth.guests.types import Owner
from app.auth.models import AuditEvent
from app.auth.types import AuditAction
from app.chat.responses.models import Response
from app.chat.types import MessageStatus
from app.chat.usage import administration
from app.chat.usage.models import UsageCounter, UsageReservation
from app.chat.usage.service import UsageService
from app.chat.usage.types import LimitScope, Metric
from app.core.ids import new_id
from app.main import Services
from tests.chat.stage import converse, talk
from tests.chat.usage.support import limit, record, reserve, settled, states
from tests.cli.conftest import Shell, shell
from tests.db.rows import row_of
from tests.support import Account, ManualClock

__all__ = ["shell"]

PRICE = {"match_pattern": "gpt-4o*", "unit": "input", "price": "2.50", "per": "1000000"}
LIMIT = {"scope_type": "user", "metric": "tokens", "window_seconds": 3600, "amount": "100"}


async def test_prices_are_loaded_again_and_again(admin: Account) -> None:
    other = {**PRICE, "unit": "output", "price": "10", "valid_from": "2026-01-01T00:00:00Z"}
    for prices, expected in (
        ([PRICE, other], (2, 0, 0)),
        ([PRICE, other], (0, 0, 2)),
        ([{**PRICE, "price": "2"}, other], (0, 1, 1)),
        ([{**other, "valid_from": "2026-02-01T01:00:00+01:00"}], (1, 0, 0)),
    ):
        answer = await admin.request("POST", "/admin/prices", json={"prices": prices})
        assert tuple(answer.json()[name] for name in ("added", "changed", "unchanged")) == expected, answer.text
    page = (await admin.get("/admin/prices", params={"limit": 2})).json()
    rest = (await admin.get("/admin/prices", params={"cursor": page["next_cursor"]})).json()
    found = [(item["unit"], item["price"]) for item in page["items"] + rest["items"]]
    assert sorted(found) == [("input", "0.000002000000000"), *[("output", "0.000010000000000")] * 2]


@pytest.mark.parametrize(
    "prices",
    [
        [],
        [PRICE, PRICE],
        [{**PRICE, "price": "NaN"}],
        [{**PRICE, "price": "Infinity"}],
        [{**PRICE, "price": "1e400"}],
        [{**PRICE, "per": "3"}],
        [{**PRICE, "match_pattern": "*" * 5}],
        [{**PRICE, "match_pattern": "a\x00"}],
        [{**PRICE, "match_pattern": "a" * 129}],
        [{**PRICE, "service_tier": []}],
        [{**PRICE, "surprise": 1}],
        [{**PRICE, "valid_from": 0}],
    ],
    ids=range(12),
)
async def test_what_is_no_price_is_refused(admin: Account, prices: list[dict[str, Any]]) -> None:
    assert (await admin.request("POST", "/admin/prices", json={"prices": prices})).status_code == 422
    assert (await admin.get("/admin/prices")).json()["items"] == []


async def test_a_limit_is_set_changed_and_removed(services: Services, admin: Account, account: Account) -> None:
    made = await admin.request("POST", "/admin/limits", json=LIMIT)
    assert (made.status_code, made.json()["amount"]) == (201, "100")
    again = await admin.request("POST", "/admin/limits", json={**LIMIT, "amount": "5"})
    assert (again.status_code, again.json()["code"]) == (409, "limit_exists")
    path = f"/admin/limits/{made.json()['id']}"
    assert (await admin.request("PATCH", path, json={"amount": "7"})).json()["amount"] == "7"
    assert [item["limit"] for item in (await account.get("/quota")).json()["items"]] == ["7"]
    assert [item["amount"] for item in (await admin.get("/admin/limits")).json()["items"]] == ["7"]
    assert (await admin.request("DELETE", path)).status_code == 204
    for method, options in (("DELETE", {}), ("PATCH", {"json": {"amount": "1"}})):
        assert (await admin.request(method, path, **options)).json()["code"] == "limit_not_found"
    async with services.database.read_session() as session:
        events = (await session.execute(select(AuditEvent).order_by(AuditEvent.sequence))).scalars()
        found = {event.action: event.detail for event in events if event.action.startswith("usage_limit")}
    assert list(found) == ["usage_limit_created", "usage_limit_updated", "usage_limit_deleted"]
    assert (found[AuditAction.USAGE_LIMIT_UPDATED]["before"], found[AuditAction.USAGE_LIMIT_UPDATED]["amount"]) == (
        "100",
        "7",
    )


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "-1"},
        {"amount": "1.5"},
        {"amount": "NaN"},
        {"amount": "1000000000000001"},
        {"metric": "cost", "amount": "0.0000000001"},
        {"metric": "cost", "amount": "1000001"},
        {"metric": "words"},
        {"window_seconds": 59},
        {"window_seconds": 10**9},
        {"scope_type": "global", "scope_id": "x"},
        {"scope_type": "role"},
        {"scope_id": "nobody"},
        {"scope_id": "\ud800"},
        {"scope_type": "role", "scope_id": "a\u0000"},
    ],
    ids=range(14),
)
async def test_what_is_no_limit_is_refused(admin: Account, change: dict[str, Any]) -> None:
    options = {"content": json.dumps({**LIMIT, **change}), "headers": {"Content-Type": "application/json"}}
    answer = await admin.request("POST", "/admin/limits", **options)
    assert answer.status_code in {400, 422}, answer.text
    assert (await admin.get("/admin/limits")).json()["items"] == []


async def test_limits_have_a_limit(admin: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(administration, "MAX_LIMITS", 1)
    assert (await admin.request("POST", "/admin/limits", json=LIMIT)).status_code == 201
    answer = await admin.request("POST", "/admin/limits", json={**LIMIT, "scope_type": "global"})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_limits")


async def test_nobody_else_sets_or_sees_them(account: Account) -> None:
    for method, path, body in (
        ("GET", "/admin/prices", None),
        ("POST", "/admin/prices", {"prices": [PRICE]}),
        ("GET", "/admin/limits", None),
        ("POST", "/admin/limits", LIMIT),
        ("PATCH", f"/admin/limits/{new_id()}", {"amount": "1"}),
        ("DELETE", f"/admin/limits/{new_id()}", None),
    ):
        assert (await account.request(method, path, json=body)).status_code == 403, path


async def test_an_operator_sets_them_on_the_command_line(shell: Shell, admin: Account, tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text("match_pattern,unit,price,per\ngpt-4o*,input,2.5,1000000\n")
    assert await shell.say("prices", "import", str(file)) == "1 added, 0 changed, 0 unchanged."
    assert await shell.get("prices", "import", str(file)) == {"added": 0, "changed": 0, "unchanged": 1}
    (price,) = await shell.list("prices", "list")
    assert (price["match_pattern"], price["price"]) == ("gpt-4o*", "0.000002500000000")
    file.write_text("match_pattern,unit,price\ngpt-4o*,input,much\n")
    assert "0.price" in await shell.refuse("prices", "import", str(file))

    made = await shell.get("limits", "set", "role:Power Users", "cost", "2.5", "--window", "3600")
    assert (made["scope_id"], made["amount"]) == ("power users", "2.500000000")
    assert (await shell.get("limits", "set", "role:power users", "cost", "3", "--window", "3600"))["id"] == made["id"]
    assert [item["amount"] for item in await shell.list("limits", "list")] == ["3.000000000"]
    assert (await shell.run("limits", "set", "king", "cost", "1")).exit_code == 2
    assert await shell.say("limits", "remove", made["id"], "--yes") == "The limit is gone."
    assert await shell.refuse("limits", "remove", made["id"], "--yes") == "No such limit."
    assert await shell.say("limits", "list") == "None."


async def test_what_nobody_ended_is_released(services: Services, account: Account, clock: ManualClock) -> None:
    """A reply whose conversation is gone, and one that failed; but none that is still being made."""
    owner = Owner(user_id=UUID(account.id))
    await limit(services, LimitScope.USER, Metric.TOKENS, 100, window_seconds=366 * 86_400)
    await limit(services, LimitScope.USER, Metric.MESSAGES, 100, window_seconds=60)
    gone, failed, running = [await reserve(services, owner, tokens=10) for _ in range(3)]
    await make_response(services, account, failed, MessageStatus.FAILED)
    await make_response(services, account, running, MessageStatus.STREAMING)
    await run_upkeep(services)
    assert (await states(services, owner))[Metric.TOKENS].reserved == 30, "replies may take a while"
    clock.advance(hours=2)
    await run_upkeep(services)
    assert (await states(services, owner))[Metric.TOKENS].reserved == 10
    await record(services, settled(owner, gone, completion=4))
    await record(services, settled(owner, running, completion=5))
    found = (await states(services, owner))[Metric.TOKENS]
    assert (int(found.used), int(found.reserved)) == (5, 0)
    clock.advance(days=2)
    await run_upkeep(services)
    async with services.database.read_session() as session:
        for table, expected in ((UsageReservation, 0), (UsageCounter, 1)):
            assert await session.scalar(select(func.count()).select_from(table)) == expected


async def test_each_is_released_for_itself(
    services: Services, account: Account, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction for all of them would hold counters in another order than those who reserve."""
    owner = Owner(user_id=UUID(account.id))
    await limit(services, LimitScope.USER, Metric.TOKENS, 100, window_seconds=366 * 86_400)
    for _ in range(2):
        await reserve(services, owner, tokens=10)
        clock.advance(seconds=1)
    clock.advance(hours=2)
    release = UsageService.release
    released: list[UUID] = []

    async def release_one(self: UsageService, response_id: UUID) -> None:
        released.append(response_id)
        if len(released) == 2:
            raise RuntimeError
        await release(self, response_id)

    monkeypatch.setattr(UsageService, "release", release_one)
    await run_upkeep(services)
    assert (await states(services, owner))[Metric.TOKENS].reserved == 10


async def run_upkeep(services: Services) -> None:
    """As the periodic job does."""
    await services.jobs.run_due()


async def make_response(services: Services, account: Account, response_id: UUID, status: MessageStatus) -> None:
    """A reply in some state, without a model."""
    conversation = UUID((await converse(account))["id"])
    (message,) = await talk(services, account, str(conversation), 1)
    row = row_of(Response.__table__, 0, {"messages.id": [message.id]})
    async with services.database.writer.begin() as connection:
        await connection.execute(insert(Response), [{**row, "id": response_id, "status": status}])

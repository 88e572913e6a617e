"""`/admin/users`: pages, filters, changes, and the administrators that must stay."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from app.auth.models import AuditEvent, User
from app.auth.repository import UserRepository, normalize_name
from app.auth.types import AuditAction, Role
from app.main import Services
from tests.auth.stage import code_of
from tests.statements import recorded_sql
from tests.support import API, Account, register

MakeAdmin = Callable[..., Awaitable[Account]]
FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
ROLES = list(Role)
CROWD = 60


@pytest.fixture
async def crowd(services: Services, admin: Account) -> list[User]:
    """Sixty accounts, two a day; some have never logged in, some have names that a pattern would trip on."""
    nasty = ["50% off", "under_score", "back\\slash", "O'Hara; DROP TABLE users", "Ünïcode Straße"]
    users = [
        User(
            email=f"Person{number:02}@example.com",
            email_normalized=f"person{number:02}@example.com",
            username=f"nick{number:02}" if number % 2 else None,
            username_normalized=f"nick{number:02}" if number % 2 else None,
            full_name=(name := nasty[number] if number < len(nasty) else f"Crowd {number % 7}"),
            full_name_normalized=normalize_name(name),
            hashed_password="!",
            is_active=number % 5 != 0,
            role=ROLES[number % 3],
            last_login_at=None if number % 4 == 0 else FIRST_DAY + timedelta(days=100 + number),
            created_at=FIRST_DAY + timedelta(days=number // 2),
        )
        for number in range(CROWD)
    ]
    async with services.database.session() as session:
        await UserRepository(session, services.clock).add_all(users)
        await session.commit()
    return users


async def walk(admin: Account, **query: Any) -> list[dict[str, Any]]:
    """Every item of a list, page by page."""
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(CROWD):
        page = await admin.get(f"/admin/users?{urlencode(query | ({'cursor': cursor} if cursor else {}))}")
        assert page.status_code == 200, page.text
        items += page.json()["items"]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return items
        assert len(page.json()["items"]) == query.get("limit", 20)
    raise AssertionError("the list does not end")


@pytest.mark.parametrize("sort", ["created_at", "-created_at", "email", "-email"])
async def test_pages_in_each_order_meet_every_account_once(
    services: Services, admin: Account, crowd: list[User], sort: str
) -> None:
    """The admin list: keyset pages over equal times too, one statement a page, and cursors of their own order only."""
    with recorded_sql(services.database) as statements:
        items = await walk(admin, sort=sort, limit=7)
        await asyncio.sleep(0)
    assert len(statements) == 9
    key = "email" if "email" in sort else "created_at"
    ordered = sorted(items, key=lambda item: (str(item[key]).lower(), item["id"]), reverse=sort.startswith("-"))
    assert items == ordered
    assert len({item["id"] for item in items}) == CROWD + 1
    page = (await admin.get(f"/admin/users?sort={sort}&limit=7")).json()
    for other in {"created_at", "-created_at", "email", "-email"} - {sort}:
        refused = await admin.get(f"/admin/users?sort={other}&cursor={page['next_cursor']}")
        assert code_of(refused) == (422, "invalid_cursor")
    for forged in ("x", page["next_cursor"][:-2], page["next_cursor"] + "A" * 4, "=" * 8):
        assert code_of(await admin.get(f"/admin/users?sort={sort}&cursor={forged}")) == (422, "invalid_cursor")


async def test_filters_find_what_they_say(admin: Account, crowd: list[User]) -> None:
    """The admin list: each filter alone, bounds inclusive below and exclusive above, and all of them together."""
    middle, login = FIRST_DAY + timedelta(days=10), FIRST_DAY + timedelta(days=130)
    logged_in = [user for user in crowd if user.last_login_at is not None]
    expectations: list[tuple[dict[str, Any], list[User]]] = [
        ({"role": "reviewer"}, [user for user in crowd if user.role is Role.REVIEWER]),
        ({"is_active": "false"}, [user for user in crowd if not user.is_active]),
        ({"created_before": middle.isoformat()}, [user for user in crowd if user.created_at < middle]),
        (
            {"created_after": middle.isoformat(), "created_before": "2025-02-01T00:00:00Z"},
            [user for user in crowd if user.created_at >= middle],
        ),
        (
            {"last_login_before": login.isoformat()},
            [user for user in logged_in if user.last_login_at and user.last_login_at < login],
        ),
        (
            {"last_login_after": login.isoformat(), "created_before": "2025-02-01T00:00:00Z"},
            [user for user in logged_in if user.last_login_at and user.last_login_at >= login],
        ),
        (
            {"search": "crowd 4", "role": "user", "is_active": "true", "last_login_after": FIRST_DAY.isoformat()},
            [user for user in logged_in if user.full_name == "Crowd 4" and user.role is Role.USER and user.is_active],
        ),
    ]
    for query, users in expectations:
        assert users, query
        found = await walk(admin, sort="created_at", limit=9, **query)
        assert {item["email"] for item in found} == {user.email for user in users}, query
    far = {"created_after": middle.astimezone(UTC).replace(tzinfo=None).isoformat()}
    assert (await admin.get(f"/admin/users?{urlencode(far)}")).status_code == 422  # a time without a zone


async def test_a_search_is_the_start_of_a_name_and_never_a_pattern(admin: Account, crowd: list[User]) -> None:
    """The admin list: the beginning of address, user name or full name, whatever characters it holds."""
    expectations = {
        "PERSON0": 10,
        "person07@example.com": 1,
        "nick1": 5,
        "NICK": 30,
        "crowd": 55,
        "50%": 1,
        "50": 1,
        "under_": 1,
        "under-": 0,
        "back\\": 1,
        "%": 0,
        "_": 0,
        "\\": 0,
        "o'hara; drop": 1,
        "ünïcode strasse": 1,
        "ÜNÏCODE": 1,
        "erson": 0,
        "'": 0,
    }
    for text, count in expectations.items():
        assert len(await walk(admin, search=text, limit=50)) == count, text
    for refused in ("", " ", "a\nb", "a" * 101, "\x00"):
        assert (await admin.get(f"/admin/users?{urlencode({'search': refused})}")).status_code == 422


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "sort=password", "role=king", "is_active=perhaps"]
)
async def test_a_malformed_list_request_is_refused(admin: Account, query: str) -> None:
    """Promise 3: a fault of the query is told with its place."""
    answer = await admin.get(f"/admin/users?{query}")
    assert code_of(answer) == (422, "validation_failed")
    assert answer.json()["errors"][0]["loc"] == ["query", query.partition("=")[0]]


async def test_an_account_is_read_and_changed_under_its_version(admin: Account, account: Account) -> None:
    """GET and PATCH /admin/users/{id}: ETag and If-Match, unknown ids, refused bodies, taken names."""
    path = f"/admin/users/{account.id}"
    read = await admin.get(path)
    assert (read.json()["email"], "hashed_password" in read.text) == (account.email, False)
    tag = read.headers["ETag"]
    changed = await admin.request("PATCH", path, json={"full_name": "Countess"}, headers={"If-Match": tag})
    assert (changed.status_code, changed.json()["full_name"]) == (200, "Countess")
    assert changed.headers["ETag"] != tag
    stale = await admin.request("PATCH", path, json={"full_name": "Late"}, headers={"If-Match": tag})
    assert code_of(stale) == (412, "precondition_failed")
    assert (await account.get("/users/me")).json()["full_name"] == "Countess"  # no new role, so no new login
    cleared = await admin.request("PATCH", path, json={"username": None})
    assert cleared.json()["username"] is None
    taken = await admin.request("PATCH", path, json={"username": "ROOT.admin"})
    assert code_of(taken) == (409, "username_taken")
    for body in (
        {"is_active": False},
        {"email": "x@example.com"},
        {"role": None},
        {"role": "king"},
        {"hashed_password": "x"},
    ):
        assert (await admin.request("PATCH", path, json=body)).status_code == 422, body
    unknown = f"/admin/users/{'0' * 32}"
    for method, target, change in (
        ("GET", unknown, None),
        ("PATCH", unknown, {"full_name": "x"}),
        ("PATCH", unknown, {"role": "admin"}),
        ("POST", f"{unknown}/disable", None),
        ("POST", f"{unknown}/enable", None),
        ("DELETE", f"{unknown}/sessions", None),
    ):
        assert code_of(await admin.request(method, target, json=change)) == (404, "user_not_found")


async def test_the_last_administrator_stays(admin: Account, account: Account, make_admin: MakeAdmin) -> None:
    """A2: neither demoted nor disabled, by nobody; with a second one it is allowed, and felt at once."""
    me = f"/admin/users/{admin.id}"
    for _ in range(2):
        assert code_of(await admin.request("PATCH", me, json={"role": "user"})) == (409, "last_admin")
        assert code_of(await admin.request("POST", f"{me}/disable")) == (409, "last_admin")
    assert (await admin.get("/admin/users")).status_code == 200
    second = await make_admin(account)
    assert (await admin.request("PATCH", me, json={"role": "user"})).status_code == 200
    assert code_of(await admin.get("/admin/users")) == (401, "invalid_token")
    await admin.login()
    assert code_of(await admin.get("/admin/users")) == (403, "insufficient_scope")
    disabled = await second.request("POST", f"{me}/disable")
    assert disabled.json()["is_active"] is False
    assert code_of(await second.request("POST", f"/admin/users/{second.id}/disable")) == (409, "last_admin")


async def test_administrators_who_remove_each_other_leave_one(
    services: Services, admin: Account, client: httpx.AsyncClient, make_admin: MakeAdmin
) -> None:
    """A2 under a race: twenty times two administrators demote or disable each other at once, and one always stays."""
    other = await make_admin(await register(client))
    pair = (admin, other)
    for turn in range(20):

        async def remove(actor: Account, victim: Account, kind: int = turn % 3) -> httpx.Response:
            if kind == 0 or (kind == 1 and actor is admin):
                return await actor.request("PATCH", f"/admin/users/{victim.id}", json={"role": "user"})
            return await actor.request("POST", f"/admin/users/{victim.id}/disable")

        answers = await asyncio.gather(remove(admin, other), remove(other, admin))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses[0] == 200, [answer.text for answer in answers]
        assert statuses[1] in {401, 409}, [answer.text for answer in answers]
        async with services.database.session() as session:
            users = UserRepository(session, services.clock)
            assert len(await users.lock_active_admins()) == 1
            await users.update_where(
                User.id.in_([UUID(account.id) for account in pair]),
                values={User.role: Role.ADMIN, User.is_active: True},
            )
            await session.commit()
        for account in pair:
            assert (await account.login()).is_success


async def test_parallel_changes_of_rank_are_all_kept(
    services: Services, client: httpx.AsyncClient, account: Account, make_admin: MakeAdmin
) -> None:
    """No lost updates: role and superuser state changed at once by two, each change stands."""
    root = await make_admin(await register(client), is_superuser=True)
    path = f"/admin/users/{account.id}"
    for is_superuser, role in ((True, "reviewer"), (False, "user")) * 8:
        answers = await asyncio.gather(
            root.request("PATCH", path, json={"is_superuser": is_superuser}),
            root.request("PATCH", path, json={"role": role}),
        )
        assert [answer.status_code for answer in answers] == [200, 200]
        user = (await root.get(path)).json()
        assert (user["is_superuser"], user["role"]) == (is_superuser, role)


async def test_superusers_are_touched_by_superusers_only(
    client: httpx.AsyncClient, admin: Account, account: Account, make_admin: MakeAdmin
) -> None:
    """Superuser protection: an administrator cannot change, disable or log out one, nor make one."""
    root = await make_admin(await register(client), is_superuser=True)
    path = f"/admin/users/{root.id}"
    refused = (403, "superuser_protected")
    assert code_of(await admin.request("PATCH", path, json={"full_name": "Mallory"})) == refused
    assert code_of(await admin.request("POST", f"{path}/disable")) == refused
    assert code_of(await admin.request("POST", f"{path}/enable")) == refused
    assert code_of(await admin.request("DELETE", f"{path}/sessions")) == refused
    for target in (account, admin):
        promotion = await admin.request("PATCH", f"/admin/users/{target.id}", json={"is_superuser": True})
        assert code_of(promotion) == refused
    promoted = await root.request("PATCH", f"/admin/users/{account.id}", json={"is_superuser": True})
    assert (promoted.json()["is_superuser"], promoted.json()["role"]) == (True, "user")
    await account.login()
    assert (await account.get("/admin/users")).status_code == 200
    assert (await account.request("DELETE", f"{path}/sessions")).status_code == 204
    assert code_of(await root.get("/users/me")) == (401, "invalid_token")


async def test_what_an_administrator_does_is_on_record(services: Services, admin: Account, account: Account) -> None:
    """A3: who did what to whom, from where, in which request; repeated without effect it leaves no further trace."""
    path = f"/admin/users/{account.id}"
    steps: list[tuple[str, str, dict[str, Any] | None]] = [
        ("PATCH", path, {"role": "reviewer", "full_name": "Ada King"}),
        ("POST", f"{path}/disable", None),
        ("POST", f"{path}/disable", None),
        ("POST", f"{path}/enable", None),
        ("POST", f"{path}/enable", None),
    ]
    for number, (method, target, body) in enumerate(steps):
        headers = {"X-Request-ID": f"step-{number}", "User-Agent": "curl/8"}
        assert (await admin.request(method, target, json=body, headers=headers)).is_success
    await account.login()
    ended = await admin.request("DELETE", f"{path}/sessions", headers={"X-Request-ID": "step-5"})
    assert ended.status_code == 204
    async with services.database.session() as session:
        events = list(
            await session.scalars(
                select(AuditEvent)
                .where(AuditEvent.user_id == UUID(account.id), AuditEvent.actor_id == UUID(admin.id))
                .order_by(AuditEvent.occurred_at, AuditEvent.id)
            )
        )
    assert [(event.action, event.request_id) for event in events] == [
        (AuditAction.USER_UPDATED, "step-0"),
        (AuditAction.USER_DISABLED, "step-1"),
        (AuditAction.SESSION_ENDED, "step-1"),
        (AuditAction.USER_ENABLED, "step-3"),
        (AuditAction.SESSION_ENDED, "step-5"),
        (AuditAction.USER_SESSIONS_ENDED, "step-5"),
    ]
    assert events[0].detail == {"members": ["full_name", "role"], "role": "reviewer", "old_role": "user"}
    assert events[1].address == "127.0.0.1"
    assert events[1].user_agent == "curl/8"
    login = await account.client.post(f"{API}/auth/login", json={"email": account.email, "password": account.password})
    assert login.status_code == 200

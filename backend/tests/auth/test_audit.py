"""Security events: who, what, when, from where, how it ended, and exactly when the change itself stands."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from app.auth.audit import AuditTrail
from app.auth.models import AuditEvent
from app.auth.repository import AuditRepository
from app.auth.types import AuditAction, AuditOutcome, Client
from app.main import Services
from tests.support import API, PASSWORD, Account, ManualClock, register

SUCCESS, FAILURE = AuditOutcome.SUCCESS, AuditOutcome.FAILURE


async def events_of(services: Services, user_id: str | None) -> list[AuditEvent]:
    """What is recorded about an account, or about nobody, the oldest first."""
    owner = AuditEvent.user_id.is_(None) if user_id is None else AuditEvent.user_id == UUID(user_id)
    async with services.database.read_session() as session:
        events = AuditRepository(session, services.clock)
        return await events.list_(owner, order_by=(AuditEvent.occurred_at, AuditEvent.id))


@contextmanager
def audit_away(services: Services) -> Iterator[None]:
    """Let no event be written: the database refuses exactly these statements."""

    def refuse(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO audit_events"):
            raise OperationalError(statement, None, Exception("no events today"))

    engine = services.database.writer.sync_engine
    event.listen(engine, "before_cursor_execute", refuse)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", refuse)


def logged(lines: list[Any]) -> list[tuple[str, str, UUID | None]]:
    """The events that the log tells of."""
    return [(line["action"], line["outcome"], line["user_id"]) for line in lines if line["event"] == "audit"]


async def test_an_event_tells_who_did_what_when_from_where_and_how_it_ended(
    services: Services, client: httpx.AsyncClient
) -> None:
    """A3: the life of an account, each step with address, user agent and request id; failed logins too."""
    account = await register(client)
    started = services.clock.now()
    headers = {"User-Agent": "Mozilla/5.0", "X-Request-ID": "the-login"}
    body = {"email": account.email, "password": "not the password"}
    assert (await client.post(f"{API}/auth/login", json=body, headers=headers)).status_code == 401
    unknown = {"email": "nobody@example.com", "password": PASSWORD}
    assert (await client.post(f"{API}/auth/login", json=unknown)).status_code == 401
    await account.login()
    await account.request("PATCH", "/users/me", json={"full_name": "Grace"})
    change = {"current_password": "not the password", "new_password": "another passphrase 43"}
    assert (await account.request("POST", "/users/me/password", json=change)).status_code == 403
    change["current_password"] = PASSWORD
    assert (await account.request("POST", "/users/me/password", json=change)).status_code == 204
    await account.request("POST", "/auth/logout")
    events = await events_of(services, account.id)
    assert [(found.action, found.outcome) for found in events] == [
        (AuditAction.REGISTERED, SUCCESS),
        (AuditAction.LOGIN, SUCCESS),
        (AuditAction.LOGIN_FAILED, FAILURE),
        (AuditAction.LOGIN, SUCCESS),
        (AuditAction.PROFILE_UPDATED, SUCCESS),
        (AuditAction.PASSWORD_CHANGE_FAILED, FAILURE),
        (AuditAction.PASSWORD_CHANGED, SUCCESS),
        (AuditAction.SESSION_ENDED, SUCCESS),
        (AuditAction.LOGOUT, SUCCESS),
    ]
    assert {found.actor_id for found in events} == {UUID(account.id)}
    assert {found.address for found in events} == {"127.0.0.1"}
    assert all(found.request_id for found in events)
    failed = events[2]
    assert (failed.request_id, failed.user_agent) == ("the-login", "Mozilla/5.0")
    assert started <= failed.occurred_at <= services.clock.now()
    assert failed.occurred_at.utcoffset() == timedelta()
    (stranger,) = await events_of(services, None)
    assert (stranger.action, stranger.actor_id) == (AuditAction.LOGIN_FAILED, None)
    assert all(secret not in str(found.detail) for found in events for secret in (PASSWORD, "43", "not the"))


async def test_without_its_event_nothing_changes(services: Services, account: Account, admin: Account) -> None:
    """A3: event and change are one transaction; where the event cannot be written, the change does not happen."""
    before = len(await events_of(services, account.id))
    attempts: list[tuple[Account, str, str, dict[str, Any] | None]] = [
        (account, "PATCH", "/users/me", {"full_name": "Changed"}),
        (
            account,
            "POST",
            "/users/me/password",
            {"current_password": PASSWORD, "new_password": "another passphrase 43"},
        ),
        (account, "POST", "/auth/logout", None),
        (admin, "PATCH", f"/admin/users/{account.id}", {"role": "admin"}),
        (admin, "POST", f"/admin/users/{account.id}/disable", None),
        (admin, "DELETE", f"/admin/users/{account.id}/sessions", None),
    ]
    with audit_away(services):
        for caller, method, path, body in attempts:
            assert (await caller.request(method, path, json=body)).status_code == 503, path
        assert (await account.login()).status_code == 503
        refused = await account.client.post(
            f"{API}/auth/register", json={"email": "new@example.com", "password": PASSWORD}
        )
        assert refused.status_code == 503
    user = (await account.get("/users/me")).json()
    assert (user["full_name"], user["role"], user["is_active"]) == ("Ada Lovelace", "user", True)
    assert len((await account.get("/users/me/sessions")).json()["items"]) == 1
    assert len(await events_of(services, account.id)) == before
    again = {"email": "new@example.com", "password": PASSWORD}
    assert (await account.client.post(f"{API}/auth/register", json=again)).status_code == 201
    assert (await account.login()).status_code == 200


async def test_the_log_tells_only_of_what_is_committed(services: Services, account: Account) -> None:
    """A3: the log's line comes after the commit; a change that is rolled back or fails leaves none."""
    user_id = UUID(account.id)
    with capture_logs() as lines:
        async with services.database.session() as session:
            trail = AuditTrail(session, services.auth)
            await trail.record(AuditAction.PROFILE_UPDATED, Client(), user_id=user_id)
            await session.rollback()
            await trail.record(AuditAction.LOGOUT, Client(), user_id=user_id, outcome=FAILURE)
            assert logged(lines) == []
            await session.commit()
        assert logged(lines) == [("logout", "failure", user_id)]
        with audit_away(services):
            assert (await account.request("PATCH", "/users/me", json={"full_name": "Changed"})).status_code == 503
        assert len(logged(lines)) == 1
        assert (await account.request("PATCH", "/users/me", json={"full_name": "Changed"})).status_code == 200
        assert logged(lines)[1:] == [("profile_updated", "success", user_id)]


async def test_a_reused_refresh_token_is_on_record(services: Services, account: Account, clock: ManualClock) -> None:
    """A3, F2: the refusal leaves its event, although the request itself fails."""
    old = account.refresh_token
    assert (await account.client.post(f"{API}/auth/refresh", json={"refresh_token": old})).status_code == 200
    clock.advance(seconds=31)
    assert (await account.client.post(f"{API}/auth/refresh", json={"refresh_token": old})).status_code == 400
    reused, ended = (await events_of(services, account.id))[-2:]
    assert (reused.action, reused.outcome, reused.detail) == (AuditAction.REFRESH_REUSED, FAILURE, {"generation": 1})
    assert (ended.action, ended.detail) == (AuditAction.SESSION_ENDED, {"reason": "refresh_reused"})
    assert reused.session_id == ended.session_id is not None


async def test_a_header_cannot_forge_a_record(services: Services, account: Account) -> None:
    """A5: line breaks and escape sequences of a user agent or address are not recorded as such; logs are JSON lines."""
    nasty = b'x\x1b[31m\r\n{"event":"forged"}\x85\x00'
    line = (b"User-Agent", nasty)
    body = {"email": account.email, "password": "not the password"}
    await account.client.post(f"{API}/auth/login", json=body, headers=[line])
    email = {"email": 'a"\r\n{"event":"forged"}@example.com', "password": PASSWORD}
    assert (await account.client.post(f"{API}/auth/register", json=email)).status_code == 422
    assert (await account.client.post(f"{API}/auth/login", json=email)).status_code in {401, 422}
    failed = (await events_of(services, account.id))[-1]
    assert failed.user_agent is not None
    assert failed.user_agent.isprintable()
    assert failed.user_agent.startswith("x[31m")

"""What the tests of the account endpoints share: requests in parallel, events, and every row as it is stored."""

import asyncio
import base64
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar
from uuid import UUID

import httpx
from fastapi import FastAPI
from sqlalchemy import text

from app.auth.models import AuditEvent
from app.auth.repository import AuditRepository
from app.auth.types import AccessClaims
from app.main import Services
from app.models import Base
from tests.support import API, Account

ResultT = TypeVar("ResultT")
WRONG_PASSWORD = "not the passphrase 17"


async def in_parallel(calls: Iterable[Awaitable[ResultT]]) -> list[ResultT]:
    """Start all calls at once and wait for every one."""
    return list(await asyncio.gather(*calls))


async def log_in(client: httpx.AsyncClient, login: str, password: str, **members: Any) -> httpx.Response:
    """A login by address or user name that keeps nothing."""
    name = "email" if "@" in login else "username"
    return await client.post(f"{API}/auth/login", json={name: login, "password": password, **members})


async def log_in_by_form(client: httpx.AsyncClient, **members: str) -> httpx.Response:
    """A request to the token endpoint."""
    return await client.post(f"{API}/auth/token", data=members)


async def refresh(client: httpx.AsyncClient, token: str, **members: Any) -> httpx.Response:
    """A refresh that keeps nothing."""
    return await client.post(f"{API}/auth/refresh", json={"refresh_token": token, **members})


async def is_alive(client: httpx.AsyncClient, access_token: str) -> bool:
    """Whether an access token is accepted."""
    answer = await client.get(f"{API}/users/me", headers={"Authorization": f"Bearer {access_token}"})
    assert answer.status_code in {200, 401}, answer.text
    return answer.is_success


async def session_of(account: Account) -> Account:
    """A further session of the same account."""
    other = Account(account.client, account.id, account.email, account.password, account.username)
    assert (await other.login()).is_success
    return other


def claims_of(services: Services, access_token: str) -> AccessClaims:
    """What a valid access token says."""
    return services.auth.access_tokens.verify(access_token)


async def events_of(app: FastAPI, user_id: str | None = None) -> list[AuditEvent]:
    """The events that concern a user, or all of them, the oldest first."""
    services: Services = app.state.merit
    where = [] if user_id is None else [AuditEvent.user_id == UUID(user_id)]
    async with services.database.read_session() as session:
        order = (AuditEvent.occurred_at, AuditEvent.id)
        return await AuditRepository(session, services.clock).list_(*where, order_by=order)


async def actions_of(app: FastAPI, user_id: str | None = None) -> list[str]:
    """What happened, without the details."""
    return [event.action.value for event in await events_of(app, user_id)]


async def stored_rows(app: FastAPI, *, without: Iterable[str] = ()) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of every table as the driver gives them, by the name of the table."""
    services: Services = app.state.merit
    async with services.database.reader.connect() as connection:
        return {
            table.name: sorted(
                (tuple(row) for row in await connection.execute(text(f"SELECT * FROM {table.name}"))), key=repr
            )
            for table in Base.metadata.sorted_tables
            if table.name not in without
        }


def as_bytes(rows: dict[str, list[tuple[Any, ...]]]) -> bytes:
    """All values one after the other: binary ones as they are, others as text."""
    values = (value for table in rows.values() for row in table for value in row)
    return b"\0".join(bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for v in values)


def spellings(secret: bytes) -> set[bytes]:
    """The ways in which a secret is usually written."""
    plain = base64.b64encode(secret).rstrip(b"=")
    url_safe = base64.urlsafe_b64encode(secret).rstrip(b"=")
    return {secret, secret.hex().encode(), secret.hex().upper().encode(), plain, url_safe, secret[::-1]}

"""What the tests of guests share: guests, things that they own, and operations that take an owner."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import httpx
from sqlalchemy import insert, select, update

from app.auth.guests.dependencies import require_owner
from app.auth.guests.models import Guest
from app.auth.guests.types import Owner
from app.auth.permissions import PermissionRegistry
from app.chat.models import Conversation
from app.core.ids import new_id
from app.db.engine import Session
from app.db.session import SessionDep
from app.main import Services
from app.routing import api_router
from tests.support import API, Account

HEADER = "Guest-Token"
GONE = (401, "invalid_guest_token")

# Every account has the permission of this name; here it is one that guests have too.
FOR_GUESTS = PermissionRegistry().declare("profile:read", "Use the probe", guests=True)
OwnerDep = Annotated[Owner, require_owner(FOR_GUESTS)]

probe = api_router("/probe")
entered, go_on = asyncio.Event(), asyncio.Event()


@dataclass
class Visitor:
    """A guest, and the client it calls with."""

    client: httpx.AsyncClient
    id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """The header that tells who it is."""
        return {HEADER: self.token}

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """GET as this guest."""
        return await self.request("GET", path, **options)

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request as this guest."""
        headers = {**self.headers, **options.pop("headers", {})}
        return await self.client.request(method, f"{API}{path}", headers=headers, **options)


async def visitor(client: httpx.AsyncClient) -> Visitor:
    """A new guest."""
    answer = await client.post(f"{API}/guests")
    assert answer.status_code == httpx.codes.CREATED, answer.text
    return Visitor(client, answer.json()["guest"]["id"], answer.json()["token"])


async def claim(account: Account, token: str) -> httpx.Response:
    """Take over what a guest made."""
    return await account.request("POST", "/guests/claim", headers={HEADER: token})


async def make_thing(services: Services, **owner: str) -> str:
    """A conversation of a guest or an account; its id."""
    id_ = new_id()
    async with services.database.session() as session:
        await _insert(session, id_, {key: UUID(value) for key, value in owner.items()})
        await session.commit()
    return str(id_)


async def claim_things(session: Session, guest_id: UUID, user_id: UUID) -> None:
    """Make a guest's conversations an account's."""
    moved = update(Conversation).where(Conversation.guest_id == guest_id).values(guest_id=None, user_id=user_id)
    await session.execute(moved, execution_options={"synchronize_session": False})


async def owners(services: Services) -> dict[str, tuple[str | None, str | None]]:
    """Account and guest of every conversation, by its id."""
    async with services.database.read_session() as session:
        columns = (Conversation.id, Conversation.user_id, Conversation.guest_id)
        rows = (await session.execute(select(*columns))).all()
    return {str(id_): (_text(user), _text(guest)) for id_, user, guest in rows}


async def guest_rows(services: Services) -> list[Guest]:
    """Every guest's row, the oldest first."""
    async with services.database.read_session() as session:
        return list((await session.scalars(select(Guest).order_by(Guest.id))).all())


async def set_seen(services: Services, guest_id: str, at: datetime) -> None:
    """Let a guest have been there at a moment."""
    async with services.database.session() as session:
        await session.execute(update(Guest).where(Guest.id == UUID(guest_id)).values(last_seen_at=at))
        await session.commit()


@probe.get("")
async def look(owner: OwnerDep) -> dict[str, str | None]:
    """Who calls."""
    return {"user_id": _text(owner.user_id), "guest_id": _text(owner.guest_id)}


@probe.post("")
async def make(owner: OwnerDep, session: SessionDep) -> str:
    """Make a thing."""
    id_ = new_id()
    await _insert(session, id_, {"user_id": owner.user_id, "guest_id": owner.guest_id})
    return str(id_)


@probe.post("/slowly")
async def make_slowly(owner: OwnerDep, session: SessionDep) -> str:
    """Make a thing in a transaction that a test lets go on."""
    entered.set()
    await go_on.wait()
    return await make(owner, session)


def _text(id_: UUID | None) -> str | None:
    return None if id_ is None else str(id_)


async def _insert(session: Session, id_: UUID, owner: dict[str, UUID | None]) -> None:
    now = datetime.fromisoformat("2026-01-02T03:04:05Z")
    times = {"created_at": now, "updated_at": now, "last_message_at": now}
    values: dict[str, Any] = {"id": id_, "default_model": "merit/echo", "settings": {}, **times, **owner}
    await session.execute(insert(Conversation).values(values))

"""What the tests of idempotency share: a way to make roles with a key, the rows behind it, and further operations."""

from typing import Annotated
from uuid import UUID

import httpx
from fastapi import Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import func, select

from app.auth.guests.dependencies import require_owner
from app.auth.guests.types import Owner
from app.auth.permissions import PermissionRegistry
from app.auth.roles.models import CustomRole
from app.core.ids import new_id
from app.idempotency.dependencies import OnceDep
from app.idempotency.models import IdempotencyKey
from app.main import Services
from app.routing import api_router
from tests.support import Account

KEY = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"

# Every account has the permission of this name; here it is one that guests have too.
OwnerDep = Annotated[
    Owner, require_owner(PermissionRegistry().declare("profile:read", "Use the workshop", guests=True))
]

workshop = api_router("/workshop")
made: list[UUID] = []


class Order(BaseModel):
    """What the workshop is to make."""

    model_config = ConfigDict(extra="forbid")

    text: str


class Work(BaseModel):
    """What the workshop has made."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    text: str


@workshop.post("/works", status_code=201, response_model=Work)
async def make_work(body: Order, owner: OwnerDep, once: OnceDep) -> Work | Response:
    """Make something, and tell where it is."""

    async def create() -> Work:
        made.append(new_id())
        return Work(id=made[-1], text=body.text)

    return await once.run(owner.id, body, create, headers=lambda work: {"Location": f"/works/{work.id}"})


@workshop.post("/raw", response_model=None)
async def make_raw(owner: OwnerDep, once: OnceDep) -> object:
    """Make something of nothing, without a model."""

    async def create() -> dict[str, int]:
        made.append(new_id())
        return {"count": len(made)}

    return await once.run(owner.id, b"", create)


@workshop.post("/streams/{kind}")
async def make_stream(kind: str, body: Order, owner: OwnerDep, once: OnceDep) -> dict[str, str]:
    """Make something whose answer is not kept."""
    named = await once.name(owner.id, body, new_id())
    if named.is_new:
        made.append(named.id)
    return {"id": str(named.id), "kind": kind}


async def make_role(
    account: Account, name: str, key: str | None = None, permissions: tuple[str, ...] = ()
) -> httpx.Response:
    """Ask for a role."""
    headers = {} if key is None else {KEY: key}
    return await account.request(
        "POST", "/admin/roles", json={"name": name, "permissions": list(permissions)}, headers=headers
    )


async def count_roles(services: Services) -> int:
    """How many roles there are."""
    async with services.database.read_session() as session:
        return int(await session.scalar(select(func.count()).select_from(CustomRole)) or 0)


async def kept(services: Services) -> list[IdempotencyKey]:
    """Every key that is remembered, the oldest first."""
    async with services.database.read_session() as session:
        return list((await session.scalars(select(IdempotencyKey).order_by(IdempotencyKey.id))).all())

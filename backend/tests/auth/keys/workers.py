"""Workers of the service that share a database, and what they sign."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from sqlalchemy import select

from app.auth.components import AuthComponents
from app.auth.models import SigningKeyRecord
from app.auth.tokens import AccessTokenCodec
from app.core.settings import Settings
from app.main import Services
from tests.auth.stage import SteerableClock


@asynccontextmanager
async def worker(
    settings: Settings, *, is_started: bool = False, clock: SteerableClock | None = None
) -> AsyncIterator[Services]:
    """The parts of a worker process."""
    services = Services.create(settings, clock or SteerableClock())
    try:
        if is_started:
            await services.start()
        yield services
    finally:
        await services.close()


async def keys_of(services: Services) -> list[SigningKeyRecord]:
    """What the table holds, the oldest first."""
    async with services.database.session() as session:
        return list(await session.scalars(select(SigningKeyRecord).order_by(SigningKeyRecord.id)))


def issue(auth: AuthComponents) -> str:
    """A token of nobody in particular."""
    return issued_by(auth.access_tokens, auth)


def issued_by(codec: AccessTokenCodec, auth: AuthComponents) -> str:
    """A token that a codec signs."""
    members: dict[str, Any] = {"client_id": "web", "auth_version": 1, "scope": [], "amr": ["pwd"], "acr": "aal1"}
    return codec.issue(user_id=uuid4(), session_id=uuid4(), auth_time=auth.clock.now(), **members).token

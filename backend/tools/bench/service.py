"""This service within the bench's own process, on a database of its own, called through its HTTP interface."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from pydantic import SecretStr
from sqlalchemy import insert, update

from app.auth.guests.types import Owner
from app.chat.models import Conversation, Message
from app.chat.types import MessageRole, MessageStatus
from app.core.ids import new_id
from app.core.settings import Environment, Settings, Toggle
from app.db import migrations
from app.main import Services, create_app
from tools.databases import fresh_database

API = "/api/v1"
_ROWS_AT_ONCE = 1_000
_EMAIL, _PASSWORD = "ada@example.com", "a long passphrase 42"  # of an account that lives for one bench


class BenchError(Exception):
    """The bench could not be carried out; says nothing about the speed."""


@dataclass(frozen=True)
class Service:
    """The running service and one account that calls it."""

    parts: Services
    client: httpx.AsyncClient
    owner: Owner

    async def call(self, method: str, path: str, **options: Any) -> Any:
        """One request that must succeed; its JSON, or None where there is none.

        Raises:
            BenchError: it did not succeed.
        """
        answer = await self.client.request(method, f"{API}{path}", **options)
        if not answer.is_success:
            raise BenchError(f"{method} {path} was answered {answer.status_code}: {answer.text[:300]}")
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.json() if is_json else None

    async def converse(self) -> UUID:
        """A new conversation, which has a title."""
        made = await self.call("POST", "/conversations", json={"default_model": "merit/echo", "title": "Bench"})
        return UUID(made["id"])

    async def fill(self, conversation_id: UUID, texts: Sequence[str]) -> list[UUID]:
        """Put messages into an empty conversation, past the service; they are not indexed."""
        now, ids = self.parts.clock.now(), [new_id() for _ in texts]
        parents = [None, *ids]
        roles = (MessageRole.USER, MessageRole.ASSISTANT)
        rows: list[dict[str, Any]] = [
            {"id": id_, "conversation_id": conversation_id, "parent_id": parents[number], "seq": number + 1,
             "role": roles[number % 2], "content": text, "status": MessageStatus.COMPLETE, "extra_data": {},
             "created_at": now, "updated_at": now}
            for number, (id_, text) in enumerate(zip(ids, texts, strict=True))
        ]  # fmt: skip
        values = {"message_count": len(ids), "active_leaf_id": ids[-1], "last_message_at": now}
        async with self.parts.database.writer.begin() as connection:
            for begin in range(0, len(rows), _ROWS_AT_ONCE):
                await connection.execute(insert(Message), rows[begin : begin + _ROWS_AT_ONCE])
            await connection.execute(update(Conversation).where(Conversation.id == conversation_id).values(values))
        return ids


@contextmanager
def prepared(url: str | None) -> Iterator[Settings]:
    """The settings of a service on a migrated database of its own, beside the one of `url` or in a SQLite file."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, fresh_database(url) as database:
        settings = Settings(
            _env_file=None,
            environment=Environment.TEST,
            secret_key=SecretStr(os.urandom(32).hex()),
            database_url=SecretStr(database),
            data_dir=Path(folder),
            bcrypt_rounds=4,
            rate_limits=Toggle.OFF,
            log_level="WARNING",
            job_workers=0,
            metrics_flush_seconds=0,
            db_command_timeout=timedelta(minutes=10).total_seconds(),  # of what fills the database
        )
        migrations.upgrade(settings)
        yield settings


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Service]:
    """The service, started, and an account that is logged in."""
    application = create_app(settings)
    async with application.router.lifespan_context(application):
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://bench", timeout=600) as client:
            login = {"email": _EMAIL, "password": _PASSWORD}
            made = await client.post(f"{API}/auth/register", json=login)
            tokens = await client.post(f"{API}/auth/login", json=login)
            if not tokens.is_success:
                raise BenchError(f"no account could be made: {made.text} {tokens.text}")
            client.headers["Authorization"] = f"Bearer {tokens.json()['access_token']}"
            yield Service(application.state.merit, client, Owner(user_id=UUID(made.json()["id"])))

"""What tests of conversations begin with: callers of both kinds, conversations, and messages in them."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import event

from app.auth.guests.types import Owner
from app.chat.messages import MessageWriter
from app.chat.models import Message
from app.chat.types import MessageRole
from app.db.engine import Session
from app.main import Services
from tests.support import API, Account


@dataclass
class GuestCaller:
    """A guest, who calls with a guest token."""

    client: httpx.AsyncClient
    id: str
    token: str

    @property
    def owner(self) -> Owner:
        """Whose things they are."""
        return Owner(guest_id=UUID(self.id))

    @property
    def headers(self) -> dict[str, str]:
        """The header of the guest token."""
        return {"Guest-Token": self.token}

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """GET as this guest."""
        return await self.request("GET", path, **options)

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request as this guest."""
        headers = {**self.headers, **options.pop("headers", {})}
        return await self.client.request(method, f"{API}{path}", headers=headers, **options)


Caller = Account | GuestCaller


async def make_guest(client: httpx.AsyncClient) -> GuestCaller:
    """Become a guest."""
    answer = await client.post(f"{API}/guests")
    assert answer.status_code == httpx.codes.CREATED, answer.text
    return GuestCaller(client, answer.json()["guest"]["id"], answer.json()["token"])


def owner_of(caller: Caller) -> Owner:
    """Whose things a caller's are."""
    return caller.owner if isinstance(caller, GuestCaller) else Owner(user_id=UUID(caller.id))


async def converse(caller: Caller, **members: Any) -> dict[str, Any]:
    """Make a conversation."""
    answer = await caller.request("POST", "/conversations", json=members)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    return dict(answer.json())


async def folder(account: Account, name: str = "Folder", **members: Any) -> str:
    """Make a folder; its id."""
    answer = await account.request("POST", "/folders", json={"name": name, **members})
    assert answer.status_code == httpx.codes.CREATED, answer.text
    return str(answer.json()["id"])


_BEHIND_REQUESTS = ("revocations", "UPDATE guests", "UPDATE conversation_shares")


@contextmanager
def statements_of(services: Services) -> Iterator[list[str]]:
    """The statements that are sent meanwhile, but for those that a process sends by itself."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not any(behind in statement for behind in _BEHIND_REQUESTS):
            sent.append(statement)

    lanes = (services.database.reader.sync_engine, services.database.writer.sync_engine)
    engines = list({lane.pool: lane for lane in lanes}.values())  # on PostgreSQL both are one
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


@asynccontextmanager
async def writing(services: Services) -> AsyncIterator[Session]:
    """A transaction of its own."""
    async with services.database.session() as session:
        yield session
        await session.commit()


async def say(
    services: Services,
    caller: Caller,
    conversation_id: str,
    content: str = "Hello",
    *,
    parent: Message | None = None,
    role: MessageRole = MessageRole.USER,
    **members: Any,
) -> Message:
    """Append a message."""
    async with writing(services) as session:
        return await MessageWriter(session, services.clock).append(
            owner_of(caller),
            UUID(conversation_id),
            parent_id=None if parent is None else parent.id,
            role=role,
            content=content,
            **members,
        )


async def talk(services: Services, caller: Caller, conversation_id: str, count: int) -> list[Message]:
    """Append messages below each other, each person's followed by an assistant's."""
    said: list[Message] = []
    async with writing(services) as session:
        writer = MessageWriter(session, services.clock)
        for number in range(count):
            said.append(
                await writer.append(
                    owner_of(caller),
                    UUID(conversation_id),
                    parent_id=said[-1].id if said else None,
                    role=MessageRole.ASSISTANT if number % 2 else MessageRole.USER,
                    content=f"message {number}",
                )
            )
    return said


def ids(items: Sequence[Any]) -> list[str]:
    """The ids of messages or of their JSON."""
    return [str(item["id"] if isinstance(item, dict) else item.id) for item in items]

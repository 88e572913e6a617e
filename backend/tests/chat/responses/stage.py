"""Replies from a real provider over real sockets: a server in this process, its parts at hand, and a reader of SSE."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from app.api.protocol import BoundedHttpProtocol, ServerConfig
from app.api.server import DrainingServer, StartUpLifespan
from app.auth.guests.types import Owner
from app.chat.models import Conversation, Message
from app.chat.repository import ConversationRepository, MessageRepository
from app.chat.responses.models import Response
from app.chat.responses.repository import EventRepository, ResponseRepository
from app.core.clock import Clock
from app.core.ids import new_id
from app.core.settings import Settings
from app.main import Services, create_app
from tests.support import API
from tools.provider import Provider
from tools.streams import Heard, listen

PATIENCE_SECONDS = 10.0


@dataclass
class Caller:
    """Somebody who has logged in, with a conversation."""

    http: httpx.AsyncClient
    owner: Owner
    conversation_id: str

    async def send(self, content: str = "one two three", **members: Any) -> httpx.Response:
        """Send a message, and wait for the whole answer."""
        body = {"content": content, **members}
        return await self.http.post(f"/conversations/{self.conversation_id}/messages", json=body)

    async def begin(self, model: str, content: str = "one two three", **members: Any) -> str:
        """Have a reply made in the background; its id."""
        answer = await self.send(content, model=f"test/{model}", background=True, **members)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    @asynccontextmanager
    async def stream(self, content: str = "one two three", **members: Any) -> AsyncIterator[httpx.Response]:
        """Send a message, and stream the reply."""
        path = f"/conversations/{self.conversation_id}/messages"
        body = {"content": content, "stream": True, **members}
        async with self.http.stream("POST", path, json=body) as answer:
            yield answer

    async def hear(self, content: str = "one two three", **members: Any) -> Heard:
        """Send a message, and listen to the reply to its end."""
        async with self.stream(content, **members) as answer:
            return await listen(answer)

    async def follow(
        self, response_id: str, after: int | None = None, *, heard: Heard | None = None, **options: Any
    ) -> Heard:
        """Follow a reply to its end."""
        params = {"stream": "true"} | ({} if after is None else {"starting_after": str(after)})
        async with self.http.stream("GET", f"/responses/{response_id}", params=params, **options) as answer:
            return await listen(answer, heard)


@dataclass
class LiveApp:
    """A server in this process on a real socket, and its parts."""

    url: str
    server: DrainingServer
    services: Services
    provider: Provider

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client of it."""
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=self.url, timeout=20, limits=limits) as client:
            yield client

    async def conversation(self, owner: Owner, model: str = "test/x", **members: Any) -> str:
        """A new conversation; its id."""
        async with self.services.database.session() as session:
            conversations = ConversationRepository(session, self.services.clock)
            now = self.services.clock.now()
            row = Conversation(
                id=new_id(),
                user_id=owner.user_id,
                guest_id=owner.guest_id,
                default_model=model,
                last_message_at=now,
                **members,
            )
            await conversations.add(row)
            await session.commit()
        return str(row.id)

    async def response(self, response_id: str) -> Response:
        """A reply's row."""
        async with self.services.database.read_session() as session:
            row = await ResponseRepository(session, self.services.clock).get(UUID(response_id))
        assert row is not None
        return row

    async def message(self, message_id: UUID | str) -> Message:
        """A message's row."""
        async with self.services.database.read_session() as session:
            row = await MessageRepository(session, self.services.clock).get(UUID(str(message_id)))
        assert row is not None
        return row

    async def ended(self, response_id: str) -> Response:
        """A reply's row once it is over."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while (row := await self.response(response_id)).status in {"queued", "streaming"}:
            assert asyncio.get_running_loop().time() < deadline, row.status
            await asyncio.sleep(0.02)
        return row

    async def come_to_rest(self) -> None:
        """Have every reply end that a test has left behind, before its rows are taken away."""
        engine = self.services.replies.engine
        for response_id in list(engine.generating):
            await engine.cancel(response_id)
        if engine._tasks:
            _, left = await asyncio.wait(engine._tasks, timeout=PATIENCE_SECONDS)
            assert not left, "replies that do not end"

    async def text_of(self, response_id: str, words: int = 2) -> str:
        """What is stored of a reply's text, once that is so many words."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                async with self.services.database.read_session() as session:
                    text = await EventRepository(session).text(UUID(response_id))
                if len(text.split()) >= words:
                    return text
                await asyncio.sleep(0.02)

    def checked_out(self) -> int:
        """How many connections of the pools are in use."""
        database = self.services.database
        return sum(engine.pool.checkedout() for engine in {database.writer, database.reader})  # type: ignore[attr-defined]


class _QuietServer(DrainingServer):
    """A server that leaves the signals to the tests."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def live(settings: Settings, provider: Provider, clock: Clock | None = None) -> AsyncIterator[LiveApp]:
    """A server of these settings."""
    application = create_app(settings, clock)
    config = ServerConfig(
        application,
        settings,
        http=BoundedHttpProtocol,
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=False,
        port=0,
        timeout_graceful_shutdown=2,
    )
    config.load()
    config.lifespan_class = StartUpLifespan
    started = asyncio.Event()
    server = _QuietServer(config, started.set)
    serving = asyncio.create_task(server.serve())
    starting = asyncio.create_task(started.wait())
    await asyncio.wait([serving, starting], return_when=asyncio.FIRST_COMPLETED)
    assert started.is_set(), serving.exception()
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield LiveApp(f"http://127.0.0.1:{port}{API}", server, application.state.merit, provider)
    finally:
        server.should_exit = True
        await serving


def providers(provider: Provider, faults: str = "", **settings: Any) -> list[dict[str, Any]]:
    """The setting that makes a provider `test`, of models such as `test/x`, but none that begin with an `n`."""
    models = [f"{letter}*" for letter in "abcdefghijklmopqrstuvwxyz"]
    return [{"name": "test", "base_url": provider.url(faults), "models": models, **settings}]

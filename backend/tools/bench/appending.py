"""Goal C5: appending to a conversation of 10,000 messages takes at most twice as long as appending to an empty one.

Three ways of appending are judged: `POST …/messages` answered at once, the same until its reply is complete, and within
the process by `MessageWriter`, with its commit. Each round appends to a new empty conversation and to the long one.
"""

import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from app.chat.messages import MessageWriter
from app.chat.repository import MessageRepository
from app.chat.types import MessageRole
from app.core.settings import Settings
from tools.bench.report import Report
from tools.bench.service import Service, prepared, running
from tools.drill.site import NAMES

_TEXT = "What does a function do that calls itself, and when does it come to an end?"
_MOST_TIMES = 2.0
_LEAST_ROUNDS = 50
_LONG = 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How long the long conversation is, and how often each way is tried."""

    messages: int
    rounds: int


FULL = Plan(messages=_LONG, rounds=100)
QUICK = Plan(messages=500, rounds=5)


class Appending:
    """The ways of appending, each in milliseconds."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.leaves: dict[UUID, UUID] = {}

    @property
    def ways(self) -> dict[str, Callable[[UUID], Awaitable[float]]]:
        """Their names."""
        return {
            "POST …/messages, answered at once": self._post,
            "POST …/messages, with the whole reply": self._post_and_wait,
            "MessageWriter.append and commit": self._write,
        }

    async def page(self, conversation_id: UUID) -> float:
        """Reading the newest twenty messages."""
        clock, started = self._service.parts.clock, time.perf_counter()
        session = self._service.parts.database.read_session()
        await MessageRepository(session, clock).path(conversation_id, self.leaves[conversation_id], 20)
        return (time.perf_counter() - started) * 1000

    async def _post(self, conversation_id: UUID) -> float:
        """The time to the 202; the reply is waited for afterwards."""
        started = time.perf_counter()
        reply = await self._send(conversation_id)
        took = (time.perf_counter() - started) * 1000
        await self._wait(reply)
        return took

    async def _post_and_wait(self, conversation_id: UUID) -> float:
        started = time.perf_counter()
        await self._wait(await self._send(conversation_id))
        return (time.perf_counter() - started) * 1000

    async def _send(self, conversation_id: UUID) -> str:
        body = {"content": _TEXT, "background": True}
        reply = await self._service.call("POST", f"/conversations/{conversation_id}/messages", json=body)
        self.leaves[conversation_id] = UUID(reply["message_id"])
        return str(reply["id"])

    async def _wait(self, reply_id: str) -> None:
        """Return when a reply is complete."""
        await self._service.call("GET", f"/responses/{reply_id}?stream=true")

    async def _write(self, conversation_id: UUID) -> float:
        started = time.perf_counter()
        async with self._service.parts.database.session() as session:
            message = await MessageWriter(session, self._service.parts.clock).append(
                self._service.owner, conversation_id, parent_id=self.leaves.get(conversation_id),
                role=MessageRole.USER, content=_TEXT,
            )  # fmt: skip
            await session.commit()  # commit: outside any request
        self.leaves[conversation_id] = message.id
        return (time.perf_counter() - started) * 1000


async def _measure(settings: Settings, report: Report, plan: Plan) -> None:
    async with running(settings) as service:
        name = NAMES[service.parts.database.url.backend]
        bench, long = Appending(service), await service.converse()
        bench.leaves[long] = (await service.fill(long, [_TEXT] * plan.messages))[-1]
        empty_took: dict[str, list[float]] = defaultdict(list)
        long_took: dict[str, list[float]] = defaultdict(list)
        for _ in range(plan.rounds):
            for way, append in bench.ways.items():
                empty_took[way].append(await append(await service.converse()))
                long_took[way].append(await append(long))
        pages = [await bench.page(long) for _ in range(plan.rounds)]
    enough = plan.rounds >= _LEAST_ROUNDS and plan.messages >= _LONG
    for way in bench.ways:
        empty, full = statistics.median(empty_took[way]), statistics.median(long_took[way])
        report.inform(f"{name}: {way}", f"empty {empty:.2f} ms, {plan.messages:,} messages {full:.2f} ms")
        report.at_most(f"{name}: {way}, long / empty", full / empty, _MOST_TIMES, enough=enough)
    report.inform(f"{name}: the newest 20 of {plan.messages:,} messages", f"{statistics.median(pages):.2f} ms")


def measure(report: Report, url: str | None, *, is_quick: bool) -> None:
    """Measure on one database; medians over the rounds."""
    with prepared(url) as settings:
        asyncio.run(_measure(settings, report, QUICK if is_quick else FULL))

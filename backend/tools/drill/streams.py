"""Promise 9: a reply survives `kill -9` in the midst of it: the question, the text but its last moment, and an end."""

import asyncio
import json
import random
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import select

from app.chat.models import Message
from app.chat.responses.models import Response
from app.chat.types import UNFINISHED, MessageRole, MessageStatus
from tools.drill.client import Client
from tools.drill.report import Result, at_least
from tools.drill.site import API, DrillError, Person, Site, new_person
from tools.provider import Asked, Provider
from tools.server import LiveServer
from tools.streams import FINAL, Heard, listen

PROMISE = "9 replies survive kill -9"
MARK_SECONDS = 15.0
LOST_MS = 250.0
STREAMS_A_LIFE = 4
_GAP_SECONDS = 0.03
_MODEL = f"test/drill+words=1000000+gap={_GAP_SECONDS}"
_PATIENCE_SECONDS = 30.0
_LISTENED_SECONDS = (0.1, 1.0)
_ASKED_SECONDS = (0.0, 0.15)
_EARLY_EVERY = 3
_GLANCE_SECONDS = 0.05
_MOST_GLANCES = 400


class Outcome(StrEnum):
    """What whoever asks can know of a question."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass
class Broken:
    """A question whose server is killed: what its client knows of it, and what its model had said by then."""

    conversation_id: str
    question: str = field(default_factory=lambda: f"What survives {secrets.token_hex(8)}?")
    outcome: Outcome = Outcome.UNKNOWN
    is_sent: asyncio.Event = field(default_factory=asyncio.Event)
    heard: Heard = field(default_factory=Heard)
    said: int = 0
    killed_on: datetime = field(default_factory=lambda: datetime.now(UTC))

    def note_kill(self, requests: Sequence[Asked]) -> None:
        """Take note of how many words the model has said at this moment."""
        self.killed_on = datetime.now(UTC)
        for asked in requests:
            if asked.body["messages"][-1]["content"] == self.question:
                self.said = asked.sent

    def lost_ms(self, content: str) -> float:
        """How long the model had talked to say what it had said and is not in the stored `content`."""
        return max(0, self.said - len(content.split())) * _GAP_SECONDS * 1000

    def was_said(self, content: str) -> bool:
        """Whether the model said this; one word more than counted may just have been on its way."""
        return " ".join(f"word-{number}" for number in range(1, self.said + 2)).startswith(content)


@dataclass
class Findings:
    """What was wrong, and the figures. `applied` are questions of unknown outcome that are there."""

    violations: list[str] = field(default_factory=list)
    lost_questions: int = 0
    applied: int = 0
    lost_ms: list[float] = field(default_factory=list)
    marked_seconds: list[float] = field(default_factory=list)

    def note_question(self, one: Broken, stored: Sequence[str]) -> None:
        """Compare what the client knows of a question with the questions that its conversation has."""
        self.lost_questions += one.outcome is Outcome.ACKNOWLEDGED and not stored
        self.applied += one.outcome is Outcome.UNKNOWN and bool(stored)
        wrong = {
            "the question is lost": one.outcome is Outcome.ACKNOWLEDGED and not stored,
            "a refused question is there": one.outcome is Outcome.REFUSED and bool(stored),
            "the question is another one": bool(stored) and list(stored) != [one.question],
        }
        self.violations += [f"{one.conversation_id}: {what}" for what, is_so in wrong.items() if is_so]


def client_of(server: LiveServer, person: Person) -> httpx.AsyncClient:
    """A client by which a person asks a server."""
    headers = {"Authorization": f"Bearer {person.access_token}"}
    return httpx.AsyncClient(base_url=f"{server.url}{API}", headers=headers, timeout=_PATIENCE_SECONDS)


async def begin(client: httpx.AsyncClient) -> Broken:
    """A new conversation with a question to ask in it.

    Raises:
        DrillError: the service refused it.
    """
    made = await client.post("/conversations", json={"default_model": _MODEL})
    if not made.is_success:
        raise DrillError(f"no conversation could be made: {made.text}")
    return Broken(made.json()["id"])


async def ask(client: httpx.AsyncClient, one: Broken) -> None:
    """Stream a reply for as long as the server lives.

    Raises:
        RuntimeError: the server answers with something else.
    """

    async def note_sent(what: str, _: object) -> None:
        if what == "http11.send_request_body.complete":
            one.is_sent.set()

    path, body = f"/conversations/{one.conversation_id}/messages", {"content": one.question, "stream": True}
    try:
        async with client.stream("POST", path, json=body, extensions={"trace": note_sent}) as answer:
            one.outcome = Outcome.ACKNOWLEDGED if answer.is_success else Outcome.REFUSED
            await listen(answer, one.heard)
    except httpx.ConnectError:
        one.outcome = Outcome.REFUSED
    except httpx.TransportError:
        pass  # what is known by then stays
    finally:
        one.is_sent.set()


async def resume(client: httpx.AsyncClient, response_id: UUID, heard: Heard) -> None:
    """Follow a reply from where it broke to its end."""
    params = {"stream": "true", "starting_after": str(heard.last_id)}
    async with client.stream("GET", f"/responses/{response_id}", params=params) as answer:
        await listen(answer, heard)


async def check(site: Site, client: httpx.AsyncClient, one: Broken, findings: Findings) -> None:
    """Compare what became of a question, and of its reply where it is stored, with what its client knows."""
    rows = await site.fetch(
        select(Message.id, Message.content, Message.role).where(Message.conversation_id == UUID(one.conversation_id))
    )
    findings.note_question(one, [row.content for row in rows if row.role is MessageRole.USER])
    if rows:
        await _check_reply(site, client, one, findings)


async def _check_reply(site: Site, client: httpx.AsyncClient, one: Broken, findings: Findings) -> None:
    """Resume a broken reply on a server that lives, and compare what was heard with what is stored."""
    reply = select(Response.id).join(Message, Message.id == Response.message_id)
    found = await site.fetch(reply.where(Message.conversation_id == UUID(one.conversation_id)))
    if len(found) != 1:
        findings.violations.append(f"{one.conversation_id}: {len(found)} replies to one question")
        return
    [[response_id]] = found
    await resume(client, response_id, one.heard)
    [row] = await site.fetch(
        select(Response.completed_at, Response.status, Message.content, Message.status.label("message_status"))
        .join(Message, Message.id == Response.message_id)
        .where(Response.id == response_id)
    )
    findings.lost_ms.append(one.lost_ms(row.content))
    findings.marked_seconds.append((row.completed_at - one.killed_on).total_seconds())
    wrong = _faults(one, row, findings.lost_ms[-1], findings.marked_seconds[-1])
    findings.violations += [f"{response_id}: {what}" for what, is_so in wrong.items() if is_so]


def _faults(one: Broken, row: Any, lost_ms: float, marked_seconds: float) -> dict[str, bool]:
    """What may be wrong with a reply at its end, and whether it is."""
    events = one.heard.events
    return {
        "what was resumed is not what is stored": one.heard.text != row.content,
        "what is stored was not said": not one.was_said(row.content),
        f"more than {LOST_MS:.0f} ms of text are lost": lost_ms > LOST_MS,
        f"it was marked after more than {MARK_SECONDS:.0f} s": marked_seconds > MARK_SECONDS,
        "it has no end": events[-1].name not in FINAL or row.status in UNFINISHED,
        "it is not incomplete": (row.status, row.message_status)
        != (MessageStatus.INCOMPLETE, MessageStatus.INCOMPLETE),
        "its events have gaps": [event.id for event in events] != list(range(1, one.heard.last_id + 1)),
    }


async def _until_all_talk(broken: Sequence[Broken]) -> None:
    for _ in range(_MOST_GLANCES):
        if all(one.heard.text for one in broken):
            break
        await asyncio.sleep(_GLANCE_SECONDS)


async def _one_life(
    server: LiveServer, person: Person, provider: Provider, broken: Sequence[Broken], seconds: float, *, is_early: bool
) -> None:
    """Ask several questions of a server, and kill it: so long after all were sent, or after all replies have text."""
    async with client_of(server, person) as client:
        asking = [asyncio.create_task(ask(client, one)) for one in broken]
        if is_early:
            await asyncio.gather(*(one.is_sent.wait() for one in broken))
        else:
            await _until_all_talk(broken)
        await asyncio.sleep(seconds)
        server.process.kill()
        for one in broken:
            one.note_kill(provider.requests)
        server.kill()
        await asyncio.wait_for(asyncio.gather(*asking), _PATIENCE_SECONDS)


async def drill(site: Site, kills: int, seed: int, **settings: str) -> Result:
    """Kill the server again and again under streams; another one, which lives, marks and resumes what is left.

    Every third kill comes at any moment after the questions were sent, the others in the midst of the text.
    """
    chance, findings = random.Random(seed), Findings()  # noqa: S311 - to be repeatable
    broken: list[Broken] = []
    async with Provider() as provider:
        models = json.dumps([{"name": "test", "base_url": provider.url()}])
        settings |= {"LLM_PROVIDERS": models, "JOB_WORKERS": "0", "MAX_REPLIES_PER_OWNER": str(STREAMS_A_LIFE)}
        async with site.running(**settings) as steady:
            async with Client(steady.port) as client:
                person = await new_person(client)
            async with client_of(steady, person) as http:
                for life in range(kills):
                    is_early = life % _EARLY_EVERY == _EARLY_EVERY - 1
                    seconds = chance.uniform(*(_ASKED_SECONDS if is_early else _LISTENED_SECONDS))
                    asked = [await begin(http) for _ in range(STREAMS_A_LIFE)]
                    mortal = site.start(**settings)
                    try:
                        await asyncio.to_thread(mortal.wait_until_ready)
                        await _one_life(mortal, person, provider, asked, seconds, is_early=is_early)
                    finally:
                        mortal.kill()
                    broken += asked
                talking = sum(bool(one.heard.events) for one in broken)
                await asyncio.gather(*(check(site, http, one, findings) for one in broken))
    return _result(site, kills, broken, talking, findings)


def _result(site: Site, kills: int, broken: Sequence[Broken], talking: int, findings: Findings) -> Result:
    outcomes = Counter(one.outcome for one in broken)
    lost, marked = max(findings.lost_ms, default=0), max(findings.marked_seconds, default=0)
    figure = (
        f"{findings.lost_questions} questions lost of {outcomes[Outcome.ACKNOWLEDGED]} acknowledged;"
        f" {outcomes[Outcome.UNKNOWN]} unknown, {findings.applied} of them stored;"
        f" ≤ {lost:.0f} ms of text lost, marked within {marked:.1f} s"
    )
    done = len(broken) // STREAMS_A_LIFE
    return Result(
        PROMISE,
        site.name,
        len(broken),
        done,
        figure,
        violations=findings.violations,
        shortfalls=[*at_least(kills, done, "kills"), *at_least(2 * kills, talking, "broken replies")],
    )

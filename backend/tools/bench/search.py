"""Goal C1: a search of 200,000 messages takes at most 100 ms (p95) with snippets, a tenth of a scan with LIKE.

One account has all the messages. A tenth of them are indexed as the service does it, the others are copies of these;
some thousand messages of other owners lie between them. Each query goes to `GET /search` once, and then to a scan
which sees each of the account's messages, as a ranking must. All queries of all kinds are judged together, because the
goal speaks of searches and not of one kind: the p95 of the searches against the p95 of the scans. Each kind is shown
beside that.
"""

import asyncio
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, literal, select, text
from sqlalchemy.orm import aliased

from app.auth.guests.models import Guest
from app.auth.guests.types import Owner
from app.chat.indexing import MESSAGE_TARGET, SEARCH_DOMAIN
from app.chat.models import Conversation, Message
from app.core.ids import new_id
from app.core.settings import Settings
from app.search.models import SearchCollection, SearchDocument, SearchPosting
from app.search.service import SearchIndex
from app.search.types import Document, Target
from tools.bench.corpus import Corpus
from tools.bench.report import Report
from tools.bench.service import BenchError, Service, prepared, running
from tools.drill.site import NAMES

COPIES = 10
_MESSAGES = 200_000
_MOST_MS = 100.0
_LEAST_TIMES = 10.0
_BATCH = 500
_SMALL_OWNERS = 200
_PAGE = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """How many messages the account has, and how many queries of each kind there are."""

    messages: int
    queries: int


FULL = Plan(messages=_MESSAGES, queries=20)
QUICK = Plan(messages=2_000, queries=3)


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of the same queries by search and by scan."""

    search: Sequence[float]
    scan: Sequence[float]

    @property
    def ratio(self) -> float:
        """How many times longer the scans take, by their p95."""
        return p95(self.scan) / p95(self.search)

    @property
    def is_missed(self) -> bool:
        """Whether these queries by themselves would miss one of the goals."""
        return p95(self.search) > _MOST_MS or self.ratio < _LEAST_TIMES

    def __str__(self) -> str:
        middle, scan = statistics.median(self.search), statistics.median(self.scan)
        figures = f"p50 {middle:.0f}, p95 {p95(self.search):.0f} ms; LIKE p50 {scan:.0f}, p95 {p95(self.scan):.0f} ms"
        return f"{figures}; by p95 {self.ratio:.1f} times, by p50 {scan / middle:.1f}"


def p95(times: Sequence[float]) -> float:
    """The 95th percentile, by nearest rank."""
    return sorted(times)[max(0, -(-len(times) * 95 // 100) - 1)]


def judge(report: Report, name: str, by_kind: dict[str, Times], *, enough: bool) -> None:
    """Add a line for each kind, and judge all queries together."""
    for kind, times in by_kind.items():
        report.inform(f"{name}: {kind}", f"{times}{' (MISSED)' if enough and times.is_missed else ''}")
    every = Times(
        [took for times in by_kind.values() for took in times.search],
        [took for times in by_kind.values() for took in times.scan],
    )
    report.inform(f"{name}: all {len(every.search)} queries", str(every))
    report.at_most(f"{name}: p95 of GET /search, all queries", p95(every.search), _MOST_MS, " ms", enough=enough)
    report.at_least(f"{name}: p95 of LIKE / p95 of search, all queries", every.ratio, _LEAST_TIMES, enough=enough)


class Library:
    """The messages of one account, searched and scanned."""

    def __init__(self, service: Service, corpus: Corpus) -> None:
        self._service = service
        self._corpus = corpus
        self._database = service.parts.database
        self._index = SearchIndex(SEARCH_DOMAIN, service.parts.clock)

    async def fill(self, count: int) -> float:
        """Give the account so many messages; the milliseconds that putting one into the index took."""
        each = count // COPIES
        texts = list(islice(self._corpus.messages(), each))
        conversations = [await self._service.converse() for _ in range(COPIES)]
        indexed, *_ = [await self._service.fill(one, texts) for one in conversations]
        others = await self._add_guests(_SMALL_OWNERS)
        started = time.perf_counter()
        for number, begin in enumerate(range(0, each, _BATCH)):
            some = zip(indexed[begin : begin + _BATCH], texts[begin : begin + _BATCH], strict=True)
            await self.put(self._service.owner, some, conversations[0])
            noise = ((new_id(), one) for one in islice(self._corpus.messages(), _BATCH // 10))
            await self.put(others[number % _SMALL_OWNERS], noise, None)
        took = (time.perf_counter() - started) / each * 1000
        [[last_id]] = await self._database.read_session().rows(select(func.max(SearchDocument.id)))
        for number, conversation_id in enumerate(conversations[1:], start=1):
            await self._copy(last_id, number * count * 10, conversation_id)
        await self._analyze()
        return took

    async def put(self, owner: Owner, messages: Iterable[tuple[UUID, str]], conversation_id: UUID | None) -> None:
        """Index messages by their ids and texts, as the service does."""
        documents = [Document(Target(MESSAGE_TARGET, id_), body, group_id=conversation_id) for id_, body in messages]
        async with self._database.session() as session:
            await self._index.put_many(session, owner, documents)
            await session.commit()  # commit: outside any request

    async def _copy(self, last_id: int, further: int, conversation_id: UUID) -> None:
        """Index a conversation that says the same as the first one by what is stored of that, with ids `further` on.

        The documents of the first one are those up to `last_id`.
        """
        mine = select(SearchCollection.id).where(SearchCollection.user_id == self._service.owner.user_id)
        documents: Any = SearchDocument.__table__
        postings: Any = SearchPosting.__table__
        first, copied = aliased(Message), aliased(Message)
        changed = {
            documents.c.id: documents.c.id + further,
            documents.c.target_id: copied.id,
            documents.c.group_id: literal(conversation_id, documents.c.group_id.type),
        }
        copies = (
            select(*(changed.get(column, column) for column in documents.c))
            .join_from(documents, first, first.id == documents.c.target_id)
            .join(copied, (copied.seq == first.seq) & (copied.conversation_id == conversation_id))
            .where(documents.c.collection_id == mine.scalar_subquery(), documents.c.id <= last_id)
        )
        moved = {postings.c.document_id: postings.c.document_id + further}
        words = select(*(moved.get(column, column) for column in postings.c)).where(
            postings.c.collection_id == mine.scalar_subquery(), postings.c.document_id <= last_id
        )
        for table, rows in ((documents, copies), (postings, words)):
            async with self._database.writer.begin() as connection:
                await connection.execute(insert(table).from_select(table.c.keys(), rows))

    async def count(self) -> int:
        """How many messages of the account are indexed."""
        statement = (
            select(func.count())
            .select_from(SearchDocument)
            .join(SearchCollection, SearchCollection.id == SearchDocument.collection_id)
            .where(SearchCollection.user_id == self._service.owner.user_id)
        )
        [[found]] = await self._database.read_session().rows(statement)
        return int(found)

    async def search(self, query: str) -> float:
        """One page with snippets.

        Raises:
            BenchError: something was found without a snippet.
        """
        started = time.perf_counter()
        page = await self._service.call("GET", "/search", params={"q": query, "limit": _PAGE})
        took = (time.perf_counter() - started) * 1000
        if not all(any(segment["is_match"] for segment in item["snippet"]) for item in page["items"]):
            raise BenchError(f"something was found for {query} without a snippet")
        return took

    async def scan(self, query: str) -> float:
        """Counting the account's messages with each of the words, whatever their case."""
        words = [word.strip('"*') for word in query.split() if not word.startswith("-")]
        statement = (
            select(func.count())
            .select_from(Message)
            .join(Conversation, Conversation.id == Message.conversation_id)
            .where(Conversation.user_id == self._service.owner.user_id)
            .where(*(Message.content.ilike(f"%{word}%") for word in words))
        )
        started = time.perf_counter()
        await self._database.read_session().rows(statement)
        return (time.perf_counter() - started) * 1000

    async def _add_guests(self, count: int) -> list[Owner]:
        now, ids = self._service.parts.clock.now(), [new_id() for _ in range(count)]
        rows = [{"id": one, "secret_hash": one.bytes * 2, "created_at": now, "last_seen_at": now} for one in ids]
        async with self._database.writer.begin() as connection:
            await connection.execute(insert(Guest), rows)
        return [Owner(guest_id=one) for one in ids]

    async def _analyze(self) -> None:
        """Have what the servers do by themselves in time; nobody does it for a SQLite file."""
        names = "messages, search_documents, search_postings"
        statements = {"mysql": f"ANALYZE TABLE {names}", "postgresql": f"VACUUM ANALYZE {names}"}
        if statement := statements.get(self._database.url.backend):
            async with self._database.reader.connect() as connection:
                await connection.execute(text(statement))


async def _measure(settings: Settings, report: Report, plan: Plan) -> None:
    async with running(settings) as service:
        name = NAMES[service.parts.database.url.backend]
        corpus = Corpus()
        library = Library(service, corpus)
        report.inform(
            f"{name}: indexing a message, {_BATCH} a transaction", f"{await library.fill(plan.messages):.1f} ms"
        )
        found = await library.count()
        by_kind = {}
        for kind, (first, *queries) in corpus.queries(plan.queries + 1).items():
            await library.search(first)  # what a process does once, such as to compile a statement
            pairs = [(await library.search(query), await library.scan(query)) for query in queries]
            by_kind[kind] = Times([search for search, _ in pairs], [scan for _, scan in pairs])
    judge(report, name, by_kind, enough=found >= _MESSAGES)


def measure(report: Report, url: str | None, *, is_quick: bool) -> None:
    """Measure on one database. Every query counts, and each is asked once."""
    with prepared(url) as settings:
        asyncio.run(_measure(settings, report, QUICK if is_quick else FULL))

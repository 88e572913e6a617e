"""No statement of the index reads a table from end to end, on any database."""

import re
from typing import Any

from sqlalchemy import event, insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.auth.guests.models import Guest
from app.auth.guests.types import Owner
from app.core.ids import new_id
from app.main import Services
from app.search.models import SearchCollection
from app.search.types import Document, Target
from tests.search.stage import Library

OWNERS = 24
TEXTS = [f"common word{number % 7} rare{number}" for number in range(60)]
QUERIES = [
    "rare5",
    "common",
    "common word1",
    "common absent1 word2",
    '"common word1"',
    "common -word2",
    "wor*",
    "co* ra*",
]
SCANS = {
    "sqlite": r"SCAN search_\w+(?! USING)",
    "postgresql": r"Seq Scan on search_",
    "mysql": r'"table_name": "search_\w+",\s*"access_type": "(ALL|index)"',
}
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN ", "mysql": "EXPLAIN FORMAT=JSON "}

Sent = list[tuple[str, Any]]


def record(engine: AsyncEngine, sent: Sent) -> Any:
    """Note what is sent; returns what ends that."""

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, is_many: bool) -> None:
        if re.match(r"SELECT|WITH|UPDATE|DELETE", statement):
            sent.append((statement, parameters[0] if is_many else parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    return lambda: event.remove(engine.sync_engine, "before_cursor_execute", note)


async def work(library: Library, owner: Owner, heir: Owner) -> None:
    """Everything that the index can do."""
    for query in QUERIES:
        first = await library.query(owner, query, limit=3)
        assert first.items, query
        if first.next_position is not None:
            await library.query(owner, query, limit=3, after=first.next_position)
    group = new_id()
    targets = await library.put(owner, "again", group_id=group)
    await library.put_documents(owner, [Document(targets[0], "and again", group_id=group)])
    async with library.session() as session:
        await library.index.delete(session, owner, [*targets, Target("text", new_id())])
        await library.index.delete_groups(session, [group])
        await library.index.change_owner(session, owner, heir)


async def crowd(services: Services) -> None:
    """So many others that looking through all of them is the worse plan."""
    now, ids = services.clock.now(), [new_id() for _ in range(1_000)]
    guests = [{"id": id_, "secret_hash": id_.bytes * 2, "created_at": now, "last_seen_at": now} for id_ in ids]
    async with services.database.writer.begin() as connection:
        await connection.execute(insert(Guest), guests)
        await connection.execute(insert(SearchCollection), [{"guest_id": id_, "domain": "test"} for id_ in ids])


async def test_nothing_reads_a_whole_table(library: Library, services: Services) -> None:
    owners = [await library.guest() for _ in range(OWNERS)]
    for owner in owners:
        await library.put(owner, *TEXTS)
    await crowd(services)
    backend = services.database.url.backend
    tables = "search_collections, search_documents, search_postings"
    async with services.database.reader.connect() as connection:
        await connection.execute(text(f"ANALYZE TABLE {tables}" if backend == "mysql" else "ANALYZE"))
    sent: Sent = []
    engines = {engine.sync_engine: engine for engine in (services.database.reader, services.database.writer)}
    endings = [record(engine, sent) for engine in engines.values()]
    await work(library, owners[0], owners[1])
    for end in endings:
        end()
    assert len(sent) > 60
    async with services.database.reader.connect() as connection:
        for statement, parameters in dict(sent).items():
            rows = await connection.exec_driver_sql(EXPLAIN[backend] + statement, parameters)
            plan = "\n".join(" ".join(map(str, row)) for row in rows)
            assert not re.search(SCANS[backend], plan), (statement, plan)

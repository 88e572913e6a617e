"""What requests send to the database, and how the database would read its tables for it."""

import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import Database
from app.models import Base

_sent: ContextVar["list[Sent] | None"] = ContextVar("sent", default=None)
_EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN (FORMAT JSON) ", "mysql": "EXPLAIN FORMAT=JSON "}


class Sent(str):
    """The text of a statement, with what it was sent with."""

    __slots__ = ("parameters",)
    parameters: Any

    @classmethod
    def of(cls, statement: str, parameters: Any) -> "Sent":
        """A statement and its parameters."""
        sent = cls(statement)
        sent.parameters = parameters
        return sent

    @property
    def is_query(self) -> bool:
        """Whether it reads, and no more."""
        return re.match(r"\W*(SELECT|WITH)\b", self) is not None


class Reading(NamedTuple):
    """A table that is read from end to end: itself, or one of its indexes."""

    table: str
    is_by_index: bool


@contextmanager
def recorded_sql(database: Database) -> Iterator[list[Sent]]:
    """Every statement that the block's own requests execute, through SQLAlchemy or straight through asyncpg.

    What tasks in the background execute meanwhile is not the block's, and left out.
    """
    engines = {id(engine.pool): engine.sync_engine for engine in (database.reader, database.writer)}.values()
    found: list[Sent] = []
    token = _sent.set(found)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", _note_execution)
        event.listen(engine, "checkout", _watch_driver)
    try:
        yield found
    finally:
        _sent.reset(token)
        for engine in engines:
            event.remove(engine, "before_cursor_execute", _note_execution)
            event.remove(engine, "checkout", _watch_driver)


def _note(statement: str, parameters: Any) -> None:
    found = _sent.get()
    if found is not None and statement != ";":  # the pool's ping of a connection that has rested
        found.append(Sent.of(statement, parameters))


def _note_execution(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
    _note(statement, parameters)


def _note_query(record: Any) -> None:
    _note(record.query, tuple(record.args or ()))


def _watch_driver(connection: Any, _record: Any, _proxy: Any) -> None:
    # asyncpg tells of what is not a prepared statement of SQLAlchemy's: `fetch`, BEGIN and COMMIT.
    if hasattr(connection.driver_connection, "add_query_logger"):
        connection.driver_connection.add_query_logger(_note_query)


async def analyze(database: Database) -> None:
    """Let the database count its rows, which its plans rest on."""
    tables = ", ".join(Base.metadata.tables)
    async with database.reader.connect() as connection:
        await connection.execute(text(f"ANALYZE TABLE {tables}" if database.url.backend == "mysql" else "ANALYZE"))


async def read_from_end_to_end(database: Database, statements: Iterable[Sent]) -> dict[Sent, set[Reading]]:
    """Which tables each statement reads without a bound in an index."""
    backend = database.url.backend
    found: dict[Sent, set[Reading]] = {}
    async with database.reader.connect() as connection, _seeking(backend, connection):
        for sent in statements:
            found[sent] = readings(backend, await plan_of(backend, connection, sent))
    return found


@asynccontextmanager
async def _seeking(backend: str, connection: AsyncConnection) -> AsyncIterator[None]:
    """Have PostgreSQL take short tables for long ones, which it reads as a whole whatever there is."""
    settings = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin") if backend == "postgresql" else ()
    for name in settings:
        await connection.execute(text(f"SET {name} = off"))
    try:
        yield
    finally:
        for name in settings:
            await connection.execute(text(f"RESET {name}"))


async def plan_of(backend: str, connection: AsyncConnection, sent: Sent) -> str:
    """What the database says about a statement."""
    result = await connection.exec_driver_sql(_EXPLAIN[backend] + sent, sent.parameters)
    cells = [row[-1] for row in result]
    return "\n".join(cell if isinstance(cell, str) else json.dumps(cell) for cell in cells)


def readings(backend: str, plan: str) -> set[Reading]:
    """The tables that a plan reads from end to end; `messages_1` is another name of `messages`."""
    match backend:
        case "sqlite":
            scans = re.findall(r"^SCAN (\w+)( USING (?:COVERING )?INDEX)?", plan, re.MULTILINE)
            found = [Reading(name, bool(index)) for name, index in scans]
        case "postgresql":
            found = [reading for node in _nodes(json.loads(plan)) if (reading := _reading(node)) is not None]
        case _:  # what MariaDB quotes of conditions is no JSON
            tables = re.findall(r'"table_name": "(\w+)",\s*"access_type": "(ALL|index)"', plan)
            found = [Reading(name, access == "index") for name, access in tables]
    plain = (Reading(re.sub(r"_\d+$", "", name), is_by_index) for name, is_by_index in found)
    return {reading for reading in plain if reading.table in Base.metadata.tables}


def _reading(node: dict[str, Any]) -> Reading | None:
    """A node of a plan of PostgreSQL, where it reads a table from end to end."""
    match node:
        case {"Node Type": "Seq Scan", "Relation Name": table}:
            return Reading(table, is_by_index=False)
        case {"Node Type": "Index Scan" | "Index Only Scan", "Relation Name": table} if "Index Cond" not in node:
            return Reading(table, is_by_index=True)
        case _:
            return None


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object within a plan in JSON."""
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for branch in tree:
            yield from _nodes(branch)

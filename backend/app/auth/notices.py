"""Telling every other host of a change by PostgreSQL's NOTIFY, and knowing that they have heard it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from uuid import uuid4
from weakref import WeakValueDictionary

import asyncpg
from sqlalchemy import bindparam, column, func, select, table

from app.core.settings import Settings
from app.db.engine import LISTENER_NAME, Database, Session, asyncpg_connect
from app.db.url import listen_url

_CHANNEL = "merit_revocations"
_PATIENCE_SECONDS = 0.25
_ACTIVITY = table("pg_stat_activity", column("datname"), column("application_name"))
_LISTENERS = select(func.count()).where(
    _ACTIVITY.c.datname == func.current_database(), _ACTIVITY.c.application_name == bindparam("listener")
)
_POST = select(
    func.pg_notify(bindparam("channel"), bindparam("payload")), _LISTENERS.scalar_subquery().label("listeners")
)


class _Receipt:
    """How many listeners have still to answer a notice."""

    def __init__(self, listeners: int) -> None:
        self.listeners = listeners
        self.answers = 0
        self.is_complete = asyncio.Event()


class HostNotices:
    """Posts notices to all workers that listen, this one among them, and counts those that come.

    PostgreSQL hands a notice to each listener when it gets round to it: that it came back here says nothing about the
    others. So every listener answers, and the poster waits for the answers, though never long. Where nobody can
    listen (another database, a pooler in between and no `DATABASE_LISTEN_URL` past it), nothing is awaited.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._url = listen_url(settings)
        self._settings = settings
        self._can_post = database.url.backend == "postgresql"
        self._answers = f"merit_{uuid4().hex}"
        self._receipts: WeakValueDictionary[str, _Receipt] = WeakValueDictionary()  # a rollback drops its receipt
        self._listener: asyncpg.Connection | None = None
        self._speaking = asyncio.Lock()
        self.count = 0

    async def listen(self) -> None:
        """Listen, unless it is done already or impossible. Counts as a notice: one may have passed unheard.

        Raises:
            OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached.
        """
        if self._listener is not None or self._url is None:
            return
        listener = await asyncpg_connect(self._url, self._settings)
        listener.add_termination_listener(self._on_lost)
        try:
            async with self._speaking:
                await listener.add_listener(_CHANNEL, self._on_notice)
                await listener.add_listener(self._answers, self._on_answer)
        except BaseException:
            listener.terminate()
            raise
        self._listener = listener
        self.count += 1

    async def post(self, session: Session) -> Callable[[], Awaitable[None]] | None:
        """Put a notice into the session's transaction; to be awaited after the commit, until every worker has heard."""
        if not self._can_post:
            return None
        key = uuid4().hex
        values = {"channel": _CHANNEL, "payload": f"{self._answers} {key}", "listener": LISTENER_NAME}
        [row] = await session.rows(_POST, values)
        receipt = self._receipts[key] = _Receipt(row.listeners)
        return lambda: self._await_answers(receipt)

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.terminate()

    async def _await_answers(self, receipt: _Receipt) -> None:
        if self._listener is None:
            return
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await receipt.is_complete.wait()
        except TimeoutError:
            if receipt.answers == 0:  # not even our own: the line is dead, and must be made anew
                self.close()

    async def _on_notice(self, listener: asyncpg.Connection, _pid: int, _channel: str, payload: object) -> None:
        self.count += 1  # the next request reads the table before it is believed
        answers, _, key = str(payload).partition(" ")
        # Whoever is not answered waits a moment in vain.
        with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            async with self._speaking:
                await listener.execute("SELECT pg_notify($1, $2)", answers, key)

    def _on_answer(self, _listener: object, _pid: int, _channel: str, key: object) -> None:
        receipt = self._receipts.get(str(key))
        if receipt is not None:
            receipt.answers += 1
            if receipt.answers >= receipt.listeners:
                receipt.is_complete.set()

    def _on_lost(self, listener: object) -> None:
        if self._listener is listener:
            self._listener = None

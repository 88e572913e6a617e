"""Instant revocation of access tokens without SQL on the way of a request.

Every worker keeps the recent revocations in memory. It learns of new ones, and of changed signing keys, from a counter
that the workers of a host share (the very next request sees them), from PostgreSQL's NOTIFY across hosts, and from a
poll that makes good whatever was lost. A worker that could not read the table for three seconds asks it on every
request: it fails closed.
"""

import asyncio
import fcntl
import mmap
import struct
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from app.auth.keys.store import KeyStore
from app.auth.models import Revocation
from app.auth.notices import HostNotices
from app.auth.repository import RevocationRepository, revocations_of_sessions
from app.auth.types import AccessClaims
from app.core.clock import Clock
from app.core.logging import get_logger
from app.core.settings import Settings
from app.core.tasks import end_task
from app.db.engine import Database, Session

_POLL_SECONDS = 1.0
_STALE_SECONDS = 3.0
# How far two hosts' clocks, or a statement and its commit, may be apart without a row being missed.
_OVERLAP = timedelta(seconds=60)
_FORGET_EVERY_POLLS = 600
_LOAD_KEYS_EVERY_POLLS = 60

logger = get_logger("auth.revocation")


class SharedEpoch:
    """A counter that all workers of a host see at once, in a memory-mapped file."""

    _VALUE = struct.Struct("<Q")

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        self._file.truncate(self._VALUE.size)
        self._map = mmap.mmap(self._file.fileno(), self._VALUE.size)

    @property
    def value(self) -> int:
        """The present count."""
        return int(self._VALUE.unpack_from(self._map)[0])

    def bump(self) -> int:
        """Raise the count by one; two workers at once raise it by two, or a reader could miss the second."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            value = self.value + 1
            self._VALUE.pack_into(self._map, 0, value)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        return value

    def close(self) -> None:
        """Release the file."""
        self._map.close()
        self._file.close()


class RevocationFeed:
    """Knows which access tokens are dead before their time, and keeps the signing keys as they are in the table."""

    def __init__(
        self, database: Database, settings: Settings, clock: Clock, keys: KeyStore, *, longest_token_life: timedelta
    ) -> None:
        self._database = database
        self._clock = clock
        self._keys = keys
        self._retention = longest_token_life + _OVERLAP * 2
        self._epoch = SharedEpoch(settings.data_dir / "run" / f"{database.fingerprint}.epoch")
        self._notices = HostNotices(database, settings)
        self._seen = (-1, -1)
        self._synced_at = float("-inf")
        self._read_at: datetime | None = None
        self._sessions: dict[UUID, datetime] = {}
        self._versions: dict[UUID, tuple[int, datetime]] = {}
        self._key_changes: dict[UUID, datetime] = {}
        self._catching_up = asyncio.Lock()
        self._poller: asyncio.Task[None] | None = None

    @property
    def retention(self) -> timedelta:
        """How long a revocation matters: the longest life of a token, and what clocks and commits may differ."""
        return self._retention

    async def start(self) -> None:
        """Load what is revoked, and begin to listen."""
        await self._notices.listen()
        await self.catch_up()
        self._poller = asyncio.create_task(self._poll(), name="revocation-poll")

    async def close(self) -> None:
        """Stop listening."""
        await end_task(self._poller)
        self._notices.close()
        self._epoch.close()

    async def is_revoked(self, claims: AccessClaims) -> bool:
        """Whether a verified token is dead all the same.

        Raises:
            DBAPIError, OSError, TimeoutError: the feed is stale and the database does not answer.
        """
        if self._seen != self._known() or self._is_stale():
            await self.catch_up()
            if claims.kid is not None and not self._keys.knows(claims.kid):
                return True
        if claims.sid in self._sessions:
            return True
        version = self._versions.get(claims.sub)
        return version is not None and claims.ver < version[0]

    async def revoke_sessions(self, session: Session, session_ids: Sequence[UUID]) -> None:
        """Kill the access tokens of ended sessions, in the transaction that ends them."""
        await self._write(session, revocations_of_sessions(session_ids, self._clock.now()))

    async def revoke_versions_below(self, session: Session, user_id: UUID, auth_version: int) -> None:
        """Kill a user's access tokens that are older than `auth_version`, in the transaction that raises it."""
        await self.revoke_versions(session, {user_id: auth_version})

    async def revoke_versions(self, session: Session, versions: Mapping[UUID, int]) -> None:
        """The same for many users at once, by their ids."""
        now = self._clock.now()
        rows = [
            Revocation(user_id=user_id, minimum_auth_version=auth_version, created_at=now)
            for user_id, auth_version in versions.items()
        ]
        if rows:
            await self._write(session, rows)

    async def announce_keys(self, session: Session) -> None:
        """Make every worker load the signing keys again, in the transaction that changes them."""
        await self._write(session, [Revocation(created_at=self._clock.now())])

    async def catch_up(self) -> None:
        """Read what is new, if anything is. Concurrent callers wait for one read that began after they asked.

        Raises:
            DBAPIError, OSError, TimeoutError: the database does not answer.
        """
        if self._seen == self._known() and not self._is_stale():
            return
        async with self._catching_up:
            if self._seen != self._known() or self._is_stale():
                await self._read()

    def _known(self) -> tuple[int, int]:
        """How many revocations have been told of so far, on this host and by others."""
        return self._epoch.value, self._notices.count

    def _is_stale(self) -> bool:
        return self._clock.monotonic() - self._synced_at > _STALE_SECONDS

    async def _read(self) -> None:
        # What is known now is noted before the table is read: whatever comes meanwhile calls for another read.
        seen, started, now = self._known(), self._clock.monotonic(), self._clock.now()
        since = now - self._retention
        if self._read_at is not None:  # after however long an outage, nothing of it is missed; a clock may be set back
            since = max(since, min(self._read_at, now) - _OVERLAP)
        async with self._database.read_session() as session:
            rows = await RevocationRepository(session, self._clock).list_since(since)
        self._apply(rows)
        await self._load_keys(rows)
        self._seen, self._synced_at, self._read_at = seen, started, now

    def _apply(self, rows: Sequence[Revocation]) -> None:
        for row in rows:
            if row.session_id is not None:
                self._sessions[row.session_id] = row.created_at
            if row.user_id is not None and row.minimum_auth_version is not None:
                known = self._versions.get(row.user_id)
                if known is None or known[0] < row.minimum_auth_version:
                    self._versions[row.user_id] = (row.minimum_auth_version, row.created_at)

    async def _load_keys(self, rows: Sequence[Revocation]) -> None:
        changes = {row.id: row.created_at for row in rows if row.session_id is None and row.user_id is None}
        if changes.keys() - self._key_changes.keys():
            await self._keys.load()
            self._key_changes |= changes

    async def _write(self, session: Session, rows: list[Revocation]) -> None:
        await RevocationRepository(session, self._clock).add_all(rows)
        until_heard = await self._notices.post(session)

        async def announce() -> None:
            self._apply(rows)
            self._epoch.bump()
            if until_heard is not None:
                await until_heard()

        session.after_commit(announce)

    async def _poll(self) -> None:
        polls = 0
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            try:
                async with self._catching_up:
                    await self._read()
                await self._notices.listen()
                polls += 1
                if polls % _LOAD_KEYS_EVERY_POLLS == 0:  # the table may have been changed past the service
                    await self._keys.load()
                if polls % _FORGET_EVERY_POLLS == 0:
                    self._forget()
            except Exception as error:  # the database may be away; requests fail closed meanwhile
                logger.warning("revocation feed is behind", error=type(error).__name__)

    def _forget(self) -> None:
        """Let go of what no living token can meet any more; `Housekeeping` deletes the rows."""
        oldest = self._clock.now() - self._retention
        self._sessions = {key: at for key, at in self._sessions.items() if at > oldest}
        self._versions = {key: entry for key, entry in self._versions.items() if entry[1] > oldest}
        self._key_changes = {key: at for key, at in self._key_changes.items() if at > oldest}

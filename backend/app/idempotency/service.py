"""Requests that are done once, however often they are sent."""

import hashlib
import hmac
from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, SecretStr
from sqlalchemy.exc import DBAPIError

from app.core.clock import Clock
from app.core.ids import new_id
from app.core.keys import derive_key
from app.db.engine import Database, Session
from app.db.errors import is_deadlock
from app.idempotency.errors import AnswerNotKeptError, IdempotencyInProgressError, IdempotencyKeyReusedError
from app.idempotency.models import MAX_ANSWER_BYTES, IdempotencyKey
from app.idempotency.repository import IdempotencyKeyRepository
from app.idempotency.types import Answer, Named, Request

TRIM_EVERY = 32
"""An owner's oldest keys are looked after at about every such key: to count them at each would cost more."""

_TRIES = 3
_PRUNED_AT_ONCE = 500
_PRUNED_IN_ALL = 200


class IdempotencyService:
    """Idempotency keys within the transaction of whatever they protect, so that a crash leaves both or neither.

    Refusals are not kept: they have changed nothing, and the same request may succeed later.
    """

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._keys = IdempotencyKeyRepository(session, clock)

    async def begin(self, request: Request) -> UUID | Answer:
        """Take the request's key, under the id that `finish` takes; or how it was answered before.

        Raises:
            IdempotencyKeyReusedError: the key came with another request before.
            IdempotencyInProgressError: the first request with it is not answered yet.
            AnswerNotKeptError: the first one succeeded, and its answer was too long to keep.
        """
        id_ = new_id()
        known = await self._take(id_, request, None)
        if known is None:
            return id_
        if known.status is None:
            raise IdempotencyInProgressError
        if known.body is None:
            raise AnswerNotKeptError
        return Answer(known.status, known.headers or {}, known.body)

    async def finish(self, id_: UUID, answer: Answer) -> None:
        """Keep the answer, or of a very long one, that there was one."""
        body = answer.body if answer.body is not None and len(answer.body) <= MAX_ANSWER_BYTES else None
        await self._keys.keep(id_, Answer(answer.status, answer.headers, body))

    async def name(self, request: Request, proposed: UUID) -> Named:
        """The id of the thing that the request makes: `proposed` the first time, and the same ever after.

        Raises:
            IdempotencyKeyReusedError: the key came with another request before.
            IdempotencyInProgressError: what has the key is no named thing.
        """
        known = await self._take(new_id(), request, proposed)
        if known is None:
            return Named(proposed, is_new=True)
        if known.resource_id is None:
            raise IdempotencyInProgressError
        return Named(known.resource_id, is_new=False)

    async def _take(self, id_: UUID, request: Request, resource_id: UUID | None) -> IdempotencyKey | None:
        """None where the key is the request's now, else who has it."""
        for _ in range(_TRIES):
            known = await self._take_now(id_, request, resource_id)
            if known is None:  # pruned in between
                continue
            if known.id == id_:
                if id_.int % TRIM_EVERY == 0:
                    await self._keys.trim(request.owner_id)
                return None
            if known.expires_at > self._clock.now():
                if not hmac.compare_digest(known.fingerprint, request.fingerprint):
                    raise IdempotencyKeyReusedError
                return known
            await self._keys.delete(known.id)
        raise IdempotencyInProgressError

    async def _take_now(self, id_: UUID, request: Request, resource_id: UUID | None) -> IdempotencyKey | None:
        """See `IdempotencyKeyRepository.take`. Where a request fails that several wait for, MariaDB lets one go on.

        It undoes the transactions of the others as deadlocks. A key comes first of all that is written, and a guest's
        requests wait for the guest instead: there is nothing to lose.
        """
        try:
            return await self._keys.take(id_, request, resource_id)
        except DBAPIError as error:
            if not is_deadlock(error):
                raise
            await self._session.rollback()  # commit: the database has done so already
            return await self._keys.take(id_, request, resource_id)


async def forget(session: Session, clock: Clock, owner_id: UUID) -> None:
    """Delete all keys of an owner who is deleted."""
    await IdempotencyKeyRepository(session, clock).delete_of(owner_id)


async def prune(database: Database, clock: Clock) -> None:
    """Delete keys whose time is over, some hundred a transaction; what is left over waits for the next time."""
    for _ in range(_PRUNED_IN_ALL):
        async with database.session() as session:
            count = await IdempotencyKeyRepository(session, clock).delete_expired(_PRUNED_AT_ONCE)
            await session.commit()  # commit: outside any request
        if count < _PRUNED_AT_ONCE:
            return


def fingerprint(secret: SecretStr, place: Sequence[str], body: BaseModel | bytes | None) -> bytes:
    """The digest of a request: where it went, and what it said; whoever reads it learns nothing of either.

    Members that were left out are not the same as their defaults spelled out; the order of members does not matter.
    """
    said = body if isinstance(body, bytes) else _canonical(body)
    lengths = b",".join(b"%d" % len(part) for part in (*(part.encode() for part in place), said))
    return hmac.digest(_key(secret), b"\0".join((lengths, *(part.encode() for part in place), said)), hashlib.sha256)


def _canonical(body: BaseModel | None) -> bytes:
    members = None if body is None else body.model_dump(exclude_unset=True)
    return orjson.dumps(members, default=_plain, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> str | list[Any]:
    """What `model_dump` leaves and JSON has no form for."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


@cache
def _key(secret: SecretStr) -> bytes:
    return derive_key(secret, "idempotency fingerprint")

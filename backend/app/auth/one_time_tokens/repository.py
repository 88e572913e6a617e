"""The SQL of one-time tokens."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, literal, or_, select

from app.auth.models import User
from app.auth.one_time_tokens.models import OneTimeToken
from app.auth.one_time_tokens.types import CODE_LIFETIME, LIFETIMES, MAX_CODE_TRIES, TokenPurpose
from app.db.query import Column
from app.db.repository import BaseRepository
from app.db.types import JsonDict

# What an account was to be made with is forgotten with the token; who invited whom is shown afterwards.
_WITHOUT_PASSWORDS = case(
    (OneTimeToken.purpose == TokenPurpose.REGISTER, literal({}, JsonDict)), else_=OneTimeToken.payload
)


class OneTimeTokenRepository(BaseRepository[OneTimeToken]):
    """One-time tokens."""

    model = OneTimeToken
    sorts: ClassVar = {"created_at": OneTimeToken.created_at}

    async def use(self, id_: UUID) -> bool:
        """Use a token up, if it is live: one atomic statement, so that of many at once one wins."""
        now = self.clock.now()
        values: dict[Column, Any] = {OneTimeToken.used_at: now, OneTimeToken.payload: _WITHOUT_PASSWORDS}
        return bool(await self.update_where(OneTimeToken.id == id_, *is_live(now), values=values))

    async def issue(
        self, token: OneTimeToken, *, email: str, user_id: UUID | None, is_renewed: bool = True
    ) -> OneTimeToken | None:
        """Put a token in force for the mail that goes out now; its new row. None where it is used up or taken back.

        `email` is where the mail goes, in that very spelling. The token's lifetime begins now, anew for a mail that had
        to be tried again. Not so for one that was asked for again (`is_renewed`): a pending registration could be kept
        for ever.
        """
        now = self.clock.now()
        values: dict[Column, Any] = {
            OneTimeToken.issued_at: now,
            OneTimeToken.user_id: user_id,
            OneTimeToken.email: email,
        }
        if is_renewed:
            values[OneTimeToken.expires_at] = now + LIFETIMES[token.purpose]
        is_issued = await self.update_where(OneTimeToken.id == token.id, *_is_unused(), values=values)
        return await self.get(token.id) if is_issued else None

    async def withhold(self, token: OneTimeToken) -> None:
        """Settle that no mail is sent for a token; the password of a registration is forgotten."""
        now = self.clock.now()
        values: dict[Column, Any] = {
            OneTimeToken.issued_at: now,
            OneTimeToken.revoked_at: now,
            OneTimeToken.payload: _WITHOUT_PASSWORDS,
        }
        await self.update_where(OneTimeToken.id == token.id, *_is_unused(), values=values)

    async def count_code_try(self, purposes: Collection[TokenPurpose], email: str) -> list[OneTimeToken]:
        """Count a try of a code against every mail that went to an address, and find those that it may belong to.

        Counting first holds the rows until the commit, so that of many guesses at once no more than the limit are
        looked at; beyond the limit nothing is written. Rows of mails that were never sent are counted too, and never
        found.
        """
        now = self.clock.now()
        ids = await self._ids(
            OneTimeToken.email_normalized == email,
            OneTimeToken.purpose.in_(purposes),
            OneTimeToken.used_at.is_(None),
            OneTimeToken.issued_at > now - CODE_LIFETIME,
            OneTimeToken.code_tries < MAX_CODE_TRIES,
        )
        is_meant = OneTimeToken.id.in_(ids)  # where there are none, the statements are sent too: time tells nothing
        await self.update_where(is_meant, values={OneTimeToken.code_tries: OneTimeToken.code_tries + 1})
        return await self.list_(is_meant, *is_live(now), OneTimeToken.code_tries <= MAX_CODE_TRIES)

    async def take_code_try_back(self, id_: UUID) -> None:
        """A right code was no guess."""
        values = {OneTimeToken.code_tries: OneTimeToken.code_tries - 1}
        await self.update_where(OneTimeToken.id == id_, OneTimeToken.code_tries > 0, values=values)

    async def newest_live(self, purpose: TokenPurpose, email: str) -> OneTimeToken | None:
        """The last live token of an address."""
        found = await self.list_(
            OneTimeToken.email_normalized == email,
            OneTimeToken.purpose == purpose,
            *is_live(self.clock.now()),
            order_by=(OneTimeToken.created_at.desc(), OneTimeToken.id.desc()),
            limit=1,
        )
        return found[0] if found else None

    async def list_ways_back(self, email: str) -> list[OneTimeToken]:
        """The tokens that give an address back to an account that left it, mailed or about to be; the oldest first."""
        return await self.list_(
            OneTimeToken.email_normalized == email,
            OneTimeToken.purpose == TokenPurpose.UNDO_EMAIL_CHANGE,
            OneTimeToken.expires_at > self.clock.now(),
            *_is_unused(),
            order_by=(OneTimeToken.id,),
        )

    async def revoke(self, *where: ColumnElement[bool]) -> int:
        """Take tokens back that are not used; the number of those."""
        is_meant = OneTimeToken.id.in_(await self._ids(*where, *_is_unused()))
        values: dict[Column, Any] = {
            OneTimeToken.revoked_at: self.clock.now(),
            OneTimeToken.payload: _WITHOUT_PASSWORDS,
        }
        return await self.update_where(is_meant, *_is_unused(), values=values)

    async def hold(self, purpose: TokenPurpose, email: str) -> None:
        """Hold an address's unused tokens of a purpose until the transaction ends: of several, one goes first."""
        ids = await self._ids(OneTimeToken.email_normalized == email, OneTimeToken.purpose == purpose, *_is_unused())
        statement = select(OneTimeToken.id).where(OneTimeToken.id.in_(ids)).order_by(OneTimeToken.id)
        await self.session.rows(statement.with_for_update())

    async def delete_expired(self, ago: timedelta) -> int:
        """Delete tokens that expired some time ago; until then the answer can say what became of them."""
        return await self.delete_where(OneTimeToken.expires_at < self.clock.now() - ago)

    async def _ids(self, *where: ColumnElement[bool]) -> list[UUID]:
        """The rows to change, found without locking: changed by their keys alone, they are locked in one order.

        MariaDB locks the entries of whichever index it goes by, and two statements by two indexes are a deadlock.
        """
        rows = await self.session.rows(select(OneTimeToken.id).where(*where).order_by(OneTimeToken.id))
        return [row.id for row in rows]


def is_live(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """The conditions that a token can be used."""
    return (*_is_unused(), OneTimeToken.issued_at.is_not(None), OneTimeToken.expires_at > now)


def belongs_to(user: User) -> ColumnElement[bool]:
    """The condition that a token is an account's, or was ordered by its address and not mailed yet."""
    is_ordered = and_(OneTimeToken.user_id.is_(None), OneTimeToken.email_normalized == user.email_normalized)
    return or_(OneTimeToken.user_id == user.id, is_ordered)


def _is_unused() -> tuple[ColumnElement[bool], ...]:
    return (OneTimeToken.used_at.is_(None), OneTimeToken.revoked_at.is_(None))

"""The SQL of the account package, but for posting notices (`notices`)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ColumnElement, Row, bindparam, case, delete, or_, select, update

from app.auth.models import AuditEvent, AuthSession, LoginThrottle, Revocation, User
from app.auth.types import MAX_NAME_LENGTH, AuditAction, Role, SessionEndReason, UserSort
from app.core.text import normalize_email, normalize_username
from app.db.query import Column, snapshot
from app.db.repository import BaseRepository, OwnedRepository
from app.db.types import GUID, UtcDateTime
from app.db.upsert import insert_or_update

_LOCKED = select(User.__table__.c.id).where(User.__table__.c.id == bindparam("user_id", type_=GUID())).with_for_update()
# Not "now": a parallel attempt may have looked at the clock a moment earlier, and would find itself blocked.
_NOT_BLOCKED = datetime(1970, 1, 1, tzinfo=UTC)
_THROTTLES: Any = LoginThrottle.__table__
_THIS_COUNT = _THROTTLES.c.key == bindparam("of", type_=_THROTTLES.c.key.type)
_COUNTS = select(_THROTTLES.c.key, _THROTTLES.c.failures, _THROTTLES.c.blocked_until).where(
    _THROTTLES.c.key.in_(bindparam("keys", expanding=True))
)
_BLOCK = update(_THROTTLES).where(_THIS_COUNT).values(blocked_until=bindparam("until", type_=UtcDateTime()))
_TAKE_BACK = (
    update(_THROTTLES)
    .where(_THIS_COUNT, _THROTTLES.c.failures > 0)
    .values(failures=_THROTTLES.c.failures - 1, blocked_until=_NOT_BLOCKED)
)
_FORGET = delete(_THROTTLES).where(_THIS_COUNT)
_AFTER_EVERY_TEXT = "\U0010ffff"


class UserRepository(BaseRepository[User]):
    """Accounts."""

    model = User
    sorts: ClassVar = {
        UserSort.CREATED_AT.value: User.created_at,
        UserSort.EMAIL.value: User.email_normalized,
    }

    async def get_by_login(self, login: str) -> User | None:
        """The account with this e-mail address or user name, however they are written."""
        if "@" not in login:
            return await self.get_by(User.username_normalized, normalize_username(login))
        try:
            email = normalize_email(login)
        except ValueError:
            return None
        return await self.get_by(User.email_normalized, email)

    async def admit_login(self, user: User, at: datetime, *, new_hash: str | None) -> bool:
        """Note a login, and store the upgraded hash. False where the account changed since its password was checked.

        Leaves `row_version` alone: a login is no edit, and must not make an editor's `If-Match` stale.
        """
        values: dict[str, Any] = {"last_login_at": at}
        if new_hash is not None:
            values["hashed_password"] = new_hash
        statement = (
            update(User.__table__)
            .where(
                User.id == user.id,
                User.is_active.is_(True),
                User.hashed_password == user.hashed_password,
                User.auth_version == user.auth_version,  # which the tokens of this login will carry
            )
            .values(values)
        )
        return bool(await self.session.change(statement))

    async def lock(self, user_id: UUID | None) -> None:
        """Hold an account's row until the transaction ends; no id holds nothing."""
        await self.session.rows(_LOCKED, {"user_id": user_id})

    async def lock_active_admins(self) -> set[UUID]:
        """The ids of those who administer the service, locked until the transaction ends."""
        statement = select(User.id).where(User.is_active.is_(True), is_admin()).order_by(User.id).with_for_update()
        return set(await self.session.scalars(statement))

    async def auth_versions(self, *where: ColumnElement[bool]) -> dict[UUID, int]:
        """The auth versions of the accounts that meet the conditions, by their ids."""
        columns = User.__table__.c
        rows = await self.session.rows(select(columns.id, columns.auth_version).where(*where))
        return {row.id: row.auth_version for row in rows}

    async def has_admin(self) -> bool:
        """Whether anyone administers the service."""
        return await self.exists(User.is_active.is_(True), is_admin())


def rehashed(user: User, new_hash: str) -> User:
    """The same snapshot with the hash that has replaced its own."""
    values = {**vars(user), User.hashed_password.key: new_hash}
    return snapshot(User, list(values), list(values.values()))


def is_admin() -> ColumnElement[bool]:
    """The condition that an account administers the service."""
    return or_(User.role == Role.ADMIN, User.is_superuser.is_(True))


def normalize_name(full_name: str) -> str:
    """The form in which full names are searched: its start, for it can be many times as long as the name."""
    return normalize_username(full_name)[:MAX_NAME_LENGTH]


def has_prefix(prefix: str) -> ColumnElement[bool]:
    """The condition that an address, user name or full name begins with a text; a range, so that indexes serve it."""
    start = normalize_username(prefix)
    end = start + _AFTER_EVERY_TEXT
    columns = (User.email_normalized, User.username_normalized, User.full_name_normalized)
    return or_(*(column.between(start, end) for column in columns))


class AuthSessionRepository(OwnedRepository[AuthSession]):
    """Login sessions."""

    model = AuthSession
    sorts: ClassVar = {"created_at": AuthSession.created_at}

    async def rotate(self, session_id: UUID, presented: bytes, successor: bytes, values: dict[Column, Any]) -> bool:
        """Replace the refresh token `presented` by its successor, if it is the current one of a live session."""
        now = self.clock.now()
        return bool(
            await self.update_where(
                AuthSession.id == session_id,
                AuthSession.rt_hash == presented,
                *is_live(now),
                values={
                    AuthSession.rt_hash: successor,
                    AuthSession.previous_rt_hash: presented,
                    AuthSession.refreshed_at: now,
                    **values,
                },
            )
        )

    async def list_live(self, user_id: UUID, *, spare: UUID | None = None) -> list[AuthSession]:
        """A user's live sessions, the oldest first."""
        where = [AuthSession.user_id == user_id, *is_live(self.clock.now())]
        if spare is not None:
            where.append(AuthSession.id != spare)
        return await self.list_(*where, order_by=(AuthSession.created_at, AuthSession.id))

    async def latest_origins(self, user_id: UUID, limit: int) -> list[tuple[str | None, str | None]]:
        """`user_agent` and `address` of the sessions that a user opened last, ended ones among them."""
        order = (AuthSession.created_at.desc(), AuthSession.id.desc())
        origins: Any = select(AuthSession.user_agent, AuthSession.address)
        rows = await self.session.rows(origins.where(AuthSession.user_id == user_id).order_by(*order).limit(limit))
        return [(row.user_agent, row.address) for row in rows]

    async def delete_expired(self, ago: timedelta) -> int:
        """Delete sessions that expired some time ago; the audit trail keeps their story."""
        return await self.delete_where(AuthSession.expires_at < self.clock.now() - ago)

    async def end(self, session_ids: Sequence[UUID], reason: SessionEndReason) -> int:
        """End sessions that have not ended yet; the number of those."""
        return await self.update_where(
            AuthSession.id.in_(session_ids),
            AuthSession.revoked_at.is_(None),
            values={AuthSession.revoked_at: self.clock.now(), AuthSession.revoked_reason: reason},
        )


def is_live(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """The conditions that a session has neither ended nor expired."""
    return (
        AuthSession.revoked_at.is_(None),
        AuthSession.expires_at > now,
        AuthSession.absolute_expires_at > now,
    )


class RevocationRepository(BaseRepository[Revocation]):
    """Revocations; `app.auth.revocation` keeps the recent ones in memory."""

    model = Revocation

    async def list_since(self, moment: datetime) -> list[Revocation]:
        """The revocations made after a moment."""
        return await self.list_(Revocation.created_at > moment)

    async def delete_older(self, age: timedelta) -> int:
        """Delete what no living access token can meet any more."""
        return await self.delete_where(Revocation.created_at < self.clock.now() - age)


class LoginThrottleRepository(BaseRepository[LoginThrottle]):
    """Counts of attempts; `app.auth.limits` tells what they mean."""

    model = LoginThrottle

    async def raise_count(self, key: str, window: timedelta) -> None:
        """Count an attempt, in the present window or as the first of a new one. It locks the row."""
        now = self.clock.now()
        new = {"key": key, "failures": 1, "window_started_at": now, "blocked_until": _NOT_BLOCKED, "updated_at": now}
        statement = insert_or_update(self.session, LoginThrottle, ["key"], _raised)
        await self.session.change(statement, new | {"present_since": now - window})

    async def counts(self, keys: Iterable[str]) -> Sequence[Row[Any]]:
        """Each count that is there: its key, how many failures it has, and until when it is blocked."""
        return await self.session.rows(_COUNTS, {"keys": list(keys)})

    async def block(self, key: str, until: datetime) -> None:
        """Let no attempt in until a moment."""
        await self.session.change(_BLOCK, {"of": key, "until": until})

    async def take_back(self, key: str) -> None:
        """Count an attempt less, and block nothing any more."""
        await self.session.change(_TAKE_BACK, {"of": key})

    async def forget(self, key: str) -> None:
        """Begin at none."""
        await self.session.change(_FORGET, {"of": key})

    async def delete_older(self, age: timedelta) -> int:
        """Delete counts that were last raised longer ago."""
        return await self.delete_where(LoginThrottle.updated_at < self.clock.now() - age)


class AuditRepository(OwnedRepository[AuditEvent]):
    """The audit trail. The owner of an event is whom it concerns."""

    model = AuditEvent
    sorts: ClassVar = {"occurred_at": AuditEvent.occurred_at}

    async def list_latest(self, action: AuditAction, limit: int) -> list[AuditEvent]:
        """The last events of one kind, the newest first."""
        order = (AuditEvent.occurred_at.desc(), AuditEvent.id.desc())
        return await self.list_(AuditEvent.action == action, order_by=order, limit=limit)


def _raised(new: Any) -> dict[str, Any]:
    """What `raise_count` sets where a count is there."""
    is_over = _THROTTLES.c.window_started_at < bindparam("present_since", type_=UtcDateTime())
    return {
        "failures": case((is_over, 1), else_=_THROTTLES.c.failures + 1),
        "window_started_at": case((is_over, new.window_started_at), else_=_THROTTLES.c.window_started_at),
        "updated_at": new.updated_at,
    }


def revocations_of_sessions(session_ids: Iterable[UUID], at: datetime) -> list[Revocation]:
    """One revocation for each session."""
    return [Revocation(session_id=session_id, created_at=at) for session_id in session_ids]


def profile_values(changes: Mapping[str, Any]) -> dict[Column, Any]:
    """The columns behind the profile members of a change, with their normalised twins."""
    values: dict[Column, Any] = {}
    if "username" in changes:
        values[User.username] = username = changes["username"]
        values[User.username_normalized] = None if username is None else normalize_username(username)
    if "full_name" in changes:
        values[User.full_name] = name = changes["full_name"]
        values[User.full_name_normalized] = None if name is None else normalize_name(name)
    return values

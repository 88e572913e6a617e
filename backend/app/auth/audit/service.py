"""The audit trail, as administrators and the persons concerned read it."""

from collections.abc import AsyncIterator
from dataclasses import asdict, replace

import orjson

from app.auth.audit.repository import matches
from app.auth.audit.schemas import AuditEventRead
from app.auth.audit.trail import AuditTrail
from app.auth.audit.types import BY_OPERATOR, AuditFilter, EventBy, OwnEvent
from app.auth.components import AuthComponents
from app.auth.models import AuditEvent
from app.auth.repository import AuditRepository
from app.auth.types import AuditAction, Client, Principal, SessionEndReason
from app.auth.user_agents import DeviceNames
from app.core.pagination import Page
from app.db.engine import Session

_NEWEST_FIRST = "-occurred_at"
_OLDEST_FIRST = "occurred_at"
_EXPORT_BATCH = 500
# Whoever causes these has not shown to be the person whom they concern.
_UNPROVEN = frozenset(
    {
        AuditAction.LOGIN_FAILED,
        AuditAction.THROTTLED,
        AuditAction.MAIL_CODE_FAILED,
        AuditAction.REFRESH_REUSED,
        AuditAction.PASSWORD_RESET_REQUESTED,
    }
)
_ENDED_BY_RULE = frozenset({SessionEndReason.LIMIT.value, SessionEndReason.REFRESH_REUSED.value})


class AuditService:
    """Reads security events."""

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._events = AuditRepository(session, components.clock)
        self._parts = components

    async def list_(self, filter_: AuditFilter, *, limit: int, cursor: str | None) -> Page[AuditEvent]:
        """One page of everyone's events, the newest first.

        Raises:
            InvalidCursorError: the cursor is none of this list.
        """
        return await self._page(self._events, filter_, limit, cursor)

    async def list_latest(self, action: AuditAction, limit: int) -> list[AuditEvent]:
        """The last events of one kind, the newest first."""
        return await self._events.list_latest(action, limit)

    async def list_own(self, principal: Principal, *, limit: int, cursor: str | None) -> Page[OwnEvent]:
        """One page of the events that concern the caller, the newest first.

        Raises:
            InvalidCursorError: the cursor is none of this list.
        """
        page = await self._page(self._events.owned_by(principal.user_id), AuditFilter(), limit, cursor)
        devices = DeviceNames()
        return Page(items=[_own(event, devices) for event in page.items], next_cursor=page.next_cursor)

    async def export(self, actor: Principal, filter_: AuditFilter, client: Client) -> AsyncIterator[bytes]:
        """The events as lines of JSON, the oldest first, up to this moment; the export itself is on record first.

        The last line is `{"end": true, "count": n}`; where it is missing, the export was broken off. Between two reads
        no connection is held, however slowly the lines are taken.
        """
        asked = {name: value for name, value in asdict(filter_).items() if value}
        async with self._parts.database.session() as session:
            await AuditTrail(session, self._parts).record(
                AuditAction.AUDIT_EXPORTED,
                client,
                user_id=None,
                actor_id=actor.user_id,
                session_id=actor.session_id,
                detail={"filter": asked},
            )
            await session.commit()  # commit: a GET's own session cannot write
        now = self._parts.clock.now()
        return self._lines(replace(filter_, occurred_before=min(filter_.occurred_before or now, now)))

    async def _page(
        self, events: AuditRepository, filter_: AuditFilter, limit: int, cursor: str | None
    ) -> Page[AuditEvent]:
        cursors = self._parts.cursors
        after = None if cursor is None else cursors.decode(_NEWEST_FIRST, cursor)
        items, position = await events.page(*matches(filter_), sort=_NEWEST_FIRST, limit=limit, after=after)
        next_cursor = None if position is None else cursors.encode(_NEWEST_FIRST, position)
        return Page(items=items, next_cursor=next_cursor)

    async def _lines(self, filter_: AuditFilter) -> AsyncIterator[bytes]:
        count, position, is_last = 0, None, False
        while not is_last:
            async with self._parts.database.read_session() as session:
                events = AuditRepository(session, self._parts.clock)
                items, position = await events.page(
                    *matches(filter_), sort=_OLDEST_FIRST, limit=_EXPORT_BATCH, after=position
                )
            count, is_last = count + len(items), position is None
            if items:
                yield b"".join(AuditEventRead.model_validate(item).model_dump_json().encode() + b"\n" for item in items)
        yield orjson.dumps({"end": True, "count": count}, option=orjson.OPT_APPEND_NEWLINE)


def _own(event: AuditEvent, devices: DeviceNames) -> OwnEvent:
    by = _caused_by(event)
    is_shown = by in {EventBy.YOU, EventBy.UNKNOWN}  # where an administrator works from is nobody's business
    return OwnEvent(
        id=event.id,
        occurred_at=event.occurred_at,
        action=event.action,
        outcome=event.outcome,
        by=by,
        session_id=event.session_id,
        address=event.address if is_shown else None,
        device=devices.describe(event.user_agent) if is_shown else None,
    )


def _caused_by(event: AuditEvent) -> EventBy:
    if event.detail.get("by") == BY_OPERATOR:
        return EventBy.SYSTEM
    if event.actor_id != event.user_id:
        return EventBy.ADMINISTRATOR
    if event.action in _UNPROVEN:
        return EventBy.UNKNOWN
    if event.request_id is None or event.detail.get("reason") in _ENDED_BY_RULE:
        return EventBy.SYSTEM
    return EventBy.YOU

"""Recording security events."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.auth.models import AuditEvent
from app.auth.repository import AuditRepository
from app.auth.types import AuditAction, AuditOutcome, Client
from app.core.clock import Clock
from app.core.logging import get_logger
from app.db.engine import Session

logger = get_logger("audit")


class AuditTrail:
    """Writes events into the caller's transaction, so that an event stands exactly when its change does."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._events = AuditRepository(session, clock)
        self._clock = clock

    async def record(
        self,
        action: AuditAction,
        client: Client,
        *,
        user_id: UUID | None,
        actor_id: UUID | None = None,
        session_id: UUID | None = None,
        outcome: AuditOutcome = AuditOutcome.SUCCESS,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Record one event, and log it once it is committed.

        `user_id` is whom it concerns, `actor_id` who did it, by default the same person.
        """
        await self._events.add(
            AuditEvent(
                occurred_at=self._clock.now(),
                action=action,
                outcome=outcome,
                user_id=user_id,
                actor_id=actor_id or user_id,
                session_id=session_id,
                address=client.address,
                user_agent=client.user_agent,
                request_id=client.request_id,
                detail=dict(detail or {}),
            )
        )

        async def log() -> None:
            logger.info("audit", action=action.value, outcome=outcome.value, user_id=user_id, session_id=session_id)

        self._session.after_commit(log)

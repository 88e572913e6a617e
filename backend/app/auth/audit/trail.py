"""Recording security events."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from app.auth.audit.types import BY_OPERATOR
from app.auth.types import AuditAction, AuditOutcome, Client
from app.core.ids import new_id
from app.core.logging import get_logger
from app.db.engine import Session

if TYPE_CHECKING:  # the chain is one of the components
    from app.auth.components import AuthComponents

logger = get_logger("audit")


class AuditTrail:
    """Puts events into the caller's transaction, so that an event stands exactly when its change does.

    They are written and chained right before the commit: the chain's head is the last row that a transaction locks,
    so that it is never held while something else is waited for.
    """

    def __init__(self, session: Session, components: "AuthComponents") -> None:
        self._session = session
        self._chain = components.audit_chain
        self._clock = components.clock

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

        `user_id` is whom it concerns, `actor_id` who did it, by default the same person, and nobody where an operator
        did it at the command line. `detail` holds what JSON can.
        """
        by = {"by": BY_OPERATOR} if client.is_operator else {}
        event = {
            "id": new_id(),
            "occurred_at": self._clock.now(),
            "action": action,
            "outcome": outcome,
            "user_id": user_id,
            "actor_id": None if client.is_operator else actor_id or user_id,
            "session_id": session_id,
            "address": client.address,
            "user_agent": client.user_agent,
            "request_id": client.request_id,
            # As it will be read again: what is chained must be what is stored.
            "detail": orjson.loads(orjson.dumps({**(detail or {}), **by})),
        }
        self._session.before_commit(self._chain.append, event)

        async def log() -> None:
            logger.info("audit", action=action.value, outcome=outcome.value, user_id=user_id, session_id=session_id)

        self._session.after_commit(log)

    async def record_failure(
        self,
        action: AuditAction,
        client: Client,
        *,
        user_id: UUID | None,
        detail: Mapping[str, Any] | None = None,
        limits: Sequence[str] = (),
    ) -> None:
        """Record an attempt that is refused, and the limits that it meets, which keep further ones off for a while.

        Those are not recorded: whoever goes on trying does not fill the trail.
        """
        await self.record(action, client, user_id=user_id, outcome=AuditOutcome.FAILURE, detail=detail)
        if limits:
            await self.record(
                AuditAction.THROTTLED,
                client,
                user_id=user_id,
                outcome=AuditOutcome.FAILURE,
                detail={"limits": list(limits)},
            )

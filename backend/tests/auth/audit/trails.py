"""What the tests of the audit trail share: events made without endpoints, and a look at what is stored."""

from typing import Any

from sqlalchemy import text, update

from app.auth.audit import AuditTrail
from app.auth.audit.types import BEFORE_FIRST, AuditReport, FaultKind, Link, Progress
from app.auth.audit.verification import AuditVerifier
from app.auth.models import AuditEvent
from app.auth.repository import AuditRepository
from app.auth.types import AuditAction, Client
from app.core.ids import new_id
from app.main import Services

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CLIENT = Client(address="203.0.113.7", user_agent=FIREFOX, request_id="r1")


async def record(services: Services, count: int = 1, **members: Any) -> None:
    """Commit some events in one transaction."""
    default: dict[str, Any] = {"user_id": new_id(), "session_id": new_id(), "detail": {"members": ["full_name"]}}
    async with services.database.session() as session:
        trail = AuditTrail(session, services.auth)
        for _ in range(count):
            await trail.record(AuditAction.PROFILE_UPDATED, CLIENT, **{**default, **members})
        await session.commit()


async def stored(services: Services) -> list[AuditEvent]:
    """The chained events, in the order of the chain."""
    async with services.database.read_session() as session:
        events = AuditRepository(session, services.clock)
        return await events.list_(AuditEvent.sequence.is_not(None), order_by=(AuditEvent.sequence,))


async def verify(services: Services, after: Link = BEFORE_FIRST, progress: Progress | None = None) -> AuditReport:
    """Verify as the command does."""
    return await AuditVerifier(services.database, services.auth.audit_chain, services.clock).verify(after, progress)


async def faults(services: Services) -> list[tuple[FaultKind, int | None]]:
    """What a verification finds, and where."""
    return [(fault.kind, fault.sequence) for fault in (await verify(services)).faults]


async def tamper(services: Services, at: int, /, **values: Any) -> None:
    """Change the event with the number `at` past the service."""
    async with services.database.writer.begin() as connection:
        await connection.execute(update(AuditEvent).where(AuditEvent.sequence == at).values(values))


async def execute(services: Services, statement: str) -> None:
    """Run a statement past the service."""
    async with services.database.writer.begin() as connection:
        await connection.execute(text(statement))

"""What becomes of a guest's replies when the guest gets an account."""

from uuid import UUID

from app.auth.guests.claims import Claim
from app.chat.responses.repository import ResponseRepository
from app.core.clock import Clock
from app.db.engine import Session


def claim_responses(clock: Clock) -> Claim:
    """What moves a guest's replies to an account, by one statement."""

    async def claim(session: Session, guest_id: UUID, user_id: UUID) -> None:
        await ResponseRepository(session, clock).hand_over(guest_id, user_id)

    return claim

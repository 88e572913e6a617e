"""What becomes of a guest's conversations when the guest gets an account."""

from uuid import UUID

from app.auth.guests.claims import Claim
from app.auth.guests.types import Owner
from app.chat.indexing import MessageIndex
from app.chat.repository import ConversationRepository
from app.core.clock import Clock
from app.db.engine import Session


def claim_conversations(clock: Clock) -> Claim:
    """What moves a guest's conversations to an account: a constant number of statements, however many they are."""

    async def claim(session: Session, guest_id: UUID, user_id: UUID) -> None:
        guest, account = Owner(guest_id=guest_id), Owner(user_id=user_id)
        await ConversationRepository(session, clock).hand_over(guest, account)
        await MessageIndex(session, clock).hand_over(guest, account)

    return claim

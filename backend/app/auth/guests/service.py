"""Making guests, knowing them again, and handing over what they made."""

from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.guests.errors import (
    GuestClaimedError,
    GuestNotFoundError,
    GuestsOffError,
    InvalidGuestTokenError,
)
from app.auth.guests.models import Guest
from app.auth.guests.repository import GuestRepository
from app.auth.guests.types import IssuedGuest, KnownGuest
from app.auth.limits import LoginLimiter
from app.auth.secret_texts import SecretText
from app.auth.sessions import SessionManager
from app.auth.types import AuditAction, Client, Principal
from app.core.errors import AppError
from app.core.ids import new_id
from app.core.logging import get_logger
from app.db.engine import ReadSession, Session
from app.idempotency import service as idempotency

logger = get_logger("auth.guests")


class GuestService:
    """Guests within one transaction."""

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._session = session
        self._clock = components.clock
        self._parts = components.guests
        self._guests = GuestRepository(session, components.clock)
        self._limiter = LoginLimiter(session, components.settings, components.clock)
        self._audit = AuditTrail(session, components)
        self._sessions = SessionManager(session, components)

    async def create(self, client: Client) -> IssuedGuest:
        """Make a guest, and a token that is shown once.

        Raises:
            GuestsOffError: the service has no guests.
            GuestsThrottledError: too many came from this network.
        """
        if not self._parts.is_on:
            raise GuestsOffError
        await self._limiter.reserve_guest(client.address)
        secret, now = self._parts.codec.new(new_id()), self._clock.now()
        guest = await self._guests.add(Guest(id=secret.id, secret_hash=secret.digest, created_at=now, last_seen_at=now))
        return IssuedGuest(guest=self._parts.known(guest), token=secret.text)

    async def prove(self, token: str) -> KnownGuest:
        """The guest behind a token, by one statement.

        In a transaction that may write, the guest is held until it ends: nothing can be made for a guest that somebody
        claims meanwhile. Whoever commits in the middle of a request must look the owner up again.

        Raises:
            InvalidGuestTokenError: made up, unknown, unseen for too long, or claimed; or there are no guests here.
        """
        secret = self._parts.codec.decode(token)
        if secret is None or not self._parts.is_on:
            raise InvalidGuestTokenError
        is_read = isinstance(self._session, ReadSession)
        guest = await (self._guests.get(secret.id) if is_read else self._guests.hold(secret.id))
        if guest is None or not self._parts.is_alive(guest, secret):
            raise InvalidGuestTokenError
        self._parts.sightings.note(guest.id, guest.last_seen_at)
        return self._parts.known(guest)

    async def delete(self, guest: KnownGuest) -> None:
        """Forget a guest, with all that the guest made."""
        await idempotency.forget(self._session, self._clock, guest.id)
        await self._guests.delete(guest.id)

    async def claim(self, principal: Principal, token: str, client: Client) -> UUID:
        """Hand everything that a guest has over to the caller's account, and kill the guest's token; the guest's id.

        To repeat it for the same account changes nothing. Of several accounts at once exactly one gets everything.

        Raises:
            GuestNotFoundError: the token is of no living guest.
            GuestClaimedError: another account was faster.
            InvalidTokenError: the caller's session has ended meanwhile.
        """
        secret = self._parts.codec.decode(token)
        if secret is None:
            raise GuestNotFoundError
        await self._sessions.hold(principal)
        return await self._claim(principal.user_id, secret, client)

    async def claim_on_entry(self, user_id: UUID, token: str | None, client: Client) -> None:
        """Claim a guest whose token came along with a login or a registration.

        That never fails for the guest's sake: browsers keep tokens that have died meanwhile, and nobody is to be
        locked out by what a guest has. The guest then stays a guest, and `POST /guests/claim` tells why.
        """
        secret = None if token is None else self._parts.codec.decode(token)
        if secret is None:
            return
        try:
            async with self._session.begin_nested():  # savepoint: a claim that fails leaves nothing
                await self._claim(user_id, secret, client)
        except (AppError, IntegrityError) as error:
            logger.info("guest not claimed", user_id=user_id, reason=getattr(error, "code", type(error).__name__))

    async def _claim(self, user_id: UUID, secret: SecretText, client: Client) -> UUID:
        """See `claim`. The account's row is locked already, before the guest's, as by everyone who changes both."""
        if await self._guests.claim(secret.id, secret.digest, user_id, seen_since=self._parts.unseen_since):
            await self._parts.claims.run(self._session, secret.id, user_id)
            await self._audit.record(
                AuditAction.GUEST_CLAIMED, client, user_id=user_id, detail={"guest_id": str(secret.id)}
            )
            return secret.id
        guest = await self._guests.get(secret.id)
        if guest is None or guest.secret_hash != secret.digest or guest.claimed_at is None:
            raise GuestNotFoundError
        if guest.claimed_by_user_id != user_id:
            raise GuestClaimedError
        return guest.id

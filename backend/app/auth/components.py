"""The parts of the account package that live as long as the process."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from app.auth.housekeeping import Housekeeping
from app.auth.key_store import KeyStore
from app.auth.password_policy import PasswordPolicy
from app.auth.passwords import PasswordHasher
from app.auth.refresh_tokens import RefreshTokenCodec
from app.auth.revocation import RevocationFeed
from app.auth.tokens import AccessTokenCodec
from app.core.clock import Clock
from app.core.pagination import CursorCodec
from app.core.settings import Settings
from app.db.engine import Database


@dataclass(frozen=True, slots=True)
class AuthComponents:
    """What services are built from, request by request."""

    settings: Settings
    clock: Clock
    hasher: PasswordHasher
    policy: PasswordPolicy
    access_tokens: AccessTokenCodec
    refresh_tokens: RefreshTokenCodec
    cursors: CursorCodec
    keys: KeyStore
    revocations: RevocationFeed
    housekeeping: Housekeeping

    @classmethod
    def create(cls, settings: Settings, database: Database, clock: Clock) -> Self:
        """Build the parts; nothing touches the database before `start`."""
        access_tokens = AccessTokenCodec(
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            lifetime_seconds=settings.access_token_seconds,
            clock=clock,
        )
        revocations = RevocationFeed(
            database, settings, clock, longest_token_life=timedelta(seconds=access_tokens.longest_life_seconds)
        )
        return cls(
            settings=settings,
            clock=clock,
            hasher=PasswordHasher(
                rounds=settings.bcrypt_rounds, workers=settings.hash_workers, queue_size=settings.hash_queue_size
            ),
            policy=PasswordPolicy(settings.password_min_length),
            access_tokens=access_tokens,
            refresh_tokens=RefreshTokenCodec(settings.secret_key),
            cursors=CursorCodec(settings.secret_key),
            keys=KeyStore(database, settings, access_tokens, clock),
            revocations=revocations,
            housekeeping=Housekeeping(database, clock, keep_revocations=revocations.retention),
        )

    async def start(self) -> None:
        """Load the keys and the revocations."""
        await self.keys.start()
        await self.revocations.start()
        await self.housekeeping.start()

    async def close(self) -> None:
        """Release threads, connections and files."""
        await self.housekeeping.close()
        await self.revocations.close()
        self.hasher.close()

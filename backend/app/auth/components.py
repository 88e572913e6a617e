"""The parts of the account package that live as long as the process."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from app.auth.audit.chain import AuditChain
from app.auth.audit.upkeep import AuditAnchor
from app.auth.breached_passwords import BreachedPasswords
from app.auth.devices.codec import DeviceCookieCodec
from app.auth.guests.components import GuestComponents
from app.auth.guests.upkeep import GuestUpkeep
from app.auth.housekeeping import Housekeeping
from app.auth.keys.store import KeyStore
from app.auth.keys.types import KeySchedule
from app.auth.keys.upkeep import KeyUpkeep
from app.auth.mail_flows.sender import MailSender
from app.auth.mail_flows.types import MAIL_JOB
from app.auth.one_time_tokens.codec import OneTimeTokenCodec
from app.auth.password_policy import PasswordPolicy
from app.auth.passwords import PasswordHasher
from app.auth.personal_tokens.verifier import PersonalTokenVerifier
from app.auth.refresh_tokens import RefreshTokenCodec
from app.auth.revocation import RevocationFeed
from app.auth.secret_texts import SecretTextCodec
from app.auth.tokens import AccessTokenCodec
from app.core.clock import Clock
from app.core.pagination import CursorCodec
from app.core.settings import DEFAULT_ISSUER, Settings
from app.db.engine import Database
from app.jobs.queue import Jobs
from app.mail.mailer import Mailer

SERVICE_SECRET_PREFIX = "sas"  # noqa: S105 - the kind of the secret, not a secret

_MAIL_ATTEMPTS = 36  # a day and some hours; what a link's life counts from is when its mail is sent


@dataclass(frozen=True, slots=True)
class AuthComponents:
    """What services are built from, request by request."""

    settings: Settings
    database: Database
    clock: Clock
    audit_chain: AuditChain
    hasher: PasswordHasher
    policy: PasswordPolicy
    breached_passwords: BreachedPasswords
    access_tokens: AccessTokenCodec
    refresh_tokens: RefreshTokenCodec
    device_cookies: DeviceCookieCodec
    one_time_tokens: OneTimeTokenCodec
    cursors: CursorCodec
    keys: KeyStore
    key_schedule: KeySchedule
    revocations: RevocationFeed
    personal_tokens: PersonalTokenVerifier
    service_secrets: SecretTextCodec
    guests: GuestComponents
    jobs: Jobs
    mailer: Mailer

    @classmethod
    def create(cls, settings: Settings, database: Database, clock: Clock, jobs: Jobs, mailer: Mailer) -> Self:
        """Build the parts; nothing touches the database before `start`."""
        access_tokens = AccessTokenCodec(
            issuer=settings.issuer,
            former_issuer=None if settings.jwt_issuer else DEFAULT_ISSUER,
            audience=settings.jwt_audience,
            lifetime_seconds=settings.access_token_seconds,
            clock=clock,
        )
        longest_life = timedelta(seconds=access_tokens.longest_life_seconds)
        keys = KeyStore(database, settings, access_tokens, clock)
        revocations = RevocationFeed(database, settings, clock, keys, longest_token_life=longest_life)
        Housekeeping(database, clock, keep_revocations=revocations.retention).register(jobs)
        AuditAnchor(database, clock).register(jobs)
        components = cls(
            settings=settings,
            database=database,
            clock=clock,
            audit_chain=AuditChain(settings.secret_key, clock),
            hasher=PasswordHasher(
                rounds=settings.bcrypt_rounds, workers=settings.hash_workers, queue_size=settings.hash_queue_size
            ),
            policy=PasswordPolicy(settings.password_min_length),
            breached_passwords=BreachedPasswords(settings),
            access_tokens=access_tokens,
            refresh_tokens=RefreshTokenCodec(settings.secret_key),
            device_cookies=DeviceCookieCodec(settings.secret_key, clock),
            one_time_tokens=OneTimeTokenCodec(settings.secret_key),
            cursors=CursorCodec(settings.secret_key),
            keys=keys,
            key_schedule=KeySchedule.create(settings, longest_life),
            revocations=revocations,
            personal_tokens=PersonalTokenVerifier(database, settings, clock, revocations),
            service_secrets=SecretTextCodec(SERVICE_SECRET_PREFIX, settings.secret_key),
            guests=GuestComponents.create(settings, database, clock),
            jobs=jobs,
            mailer=mailer,
        )
        components._register_jobs()
        return components

    def _register_jobs(self) -> None:
        self.jobs.register(MAIL_JOB, MailSender(self), max_attempts=_MAIL_ATTEMPTS)
        KeyUpkeep(self).register(self.jobs)
        GuestUpkeep(self.guests, self.database, self.clock).register(self.jobs)

    async def start(self) -> None:
        """Load the keys and the revocations."""
        await self.keys.start()
        await self.revocations.start()
        await self.personal_tokens.start()
        await self.guests.sightings.start()

    async def close(self) -> None:
        """Release threads, connections and files."""
        await self.guests.sightings.close()
        await self.personal_tokens.close()
        await self.revocations.close()
        await self.breached_passwords.close()
        self.hasher.close()

"""Limits on failed logins, counted in the database so that they survive restarts and hold across workers.

An attempt is counted before its password is checked, and taken back when it succeeds: parallel guesses cannot slip
through between a check and its count. The delay belongs to the pair of account and network, so that an attacker
elsewhere cannot lock the owner out. Whoever has many networks meets the account's own limit of a hundred failures (NIST
SP 800-63B section 3.2.2), which those do not meet who have logged in from their device before (OWASP, device cookies).
"""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from app.auth.errors import (
    CodeThrottledError,
    CredentialThrottledError,
    LoginThrottledError,
    MailThrottledError,
    RegistrationThrottledError,
)
from app.auth.guests.errors import GuestsThrottledError
from app.auth.one_time_tokens.types import MAX_CODE_TRIES, TokenPurpose
from app.auth.repository import LoginThrottleRepository
from app.core.addresses import network_of
from app.core.clock import Clock
from app.core.errors import TooManyRequestsError
from app.core.logging import get_logger
from app.core.settings import Settings, Toggle
from app.core.text import normalize_login
from app.db.engine import Session

logger = get_logger("auth.limits")


@dataclass(frozen=True, slots=True)
class ThrottlePolicy:
    """`free` failures in a `window` without delay, then a delay of `first`, doubling up to `longest`."""

    name: str
    free: int
    window: timedelta
    longest: timedelta = timedelta(minutes=15)
    first: timedelta = timedelta(seconds=1)

    def delay(self, failures: int) -> timedelta:
        """How long to wait after this many failures in a row."""
        excess = failures - self.free
        return timedelta() if excess <= 0 else min(self.longest, self.first * 2 ** min(excess - 1, 20))


ACCOUNT_POLICY = ThrottlePolicy("login-account", free=4, window=timedelta(days=1))
# Over all networks. Then one guess in a quarter of an hour is left to all strangers together.
ACCOUNT_TOTAL_POLICY = ThrottlePolicy(
    "login-account-total", free=100, window=timedelta(days=1), first=timedelta(minutes=15)
)
DEVICE_POLICY = ThrottlePolicy("login-device", free=4, window=timedelta(days=1))
# More than can be hashed at once: a class behind one address that logs in together is no attack.
NETWORK_POLICY = ThrottlePolicy("login-network", free=100, window=timedelta(hours=1))
REGISTRATION_POLICY = ThrottlePolicy("registration", free=300, window=timedelta(hours=1))
GUEST_POLICY = ThrottlePolicy("guests", free=100, window=timedelta(hours=1))
# Mails that anyone may order for any address.
MAIL_POLICY = ThrottlePolicy(
    "mail", free=3, window=timedelta(days=1), first=timedelta(minutes=1), longest=timedelta(hours=1)
)
# Over all networks: more than one alone gets in a day, so that a stranger does not keep the owner's mails back.
MAIL_ADDRESS_POLICY = ThrottlePolicy(
    "mail-address", free=35, window=timedelta(days=1), first=timedelta(hours=1), longest=timedelta(hours=1)
)
MAIL_NETWORK_POLICY = ThrottlePolicy("mail-network", free=100, window=timedelta(hours=1))
# Whoever knows a password makes each login one from a new device.
DEVICE_NOTICE_POLICY = ThrottlePolicy("device-notice", free=5, window=timedelta(days=1))
# A hundred guesses at an address's codes a day, however many codes there are (NIST SP 800-63B section 3.2.2).
CODE_ADDRESS_POLICY = ThrottlePolicy(
    "code-address", free=99, window=timedelta(days=1), first=timedelta(days=1), longest=timedelta(days=1)
)
CODE_NETWORK_POLICY = ThrottlePolicy("code-network", free=100, window=timedelta(hours=1))
# As many tries as a code has. A pending registration lives for a day.
COMPLETION_POLICY = ThrottlePolicy(
    "registration-password",
    free=MAX_CODE_TRIES - 1,
    window=timedelta(days=1),
    first=timedelta(days=1),
    longest=timedelta(days=1),
)
# Each one can be revoked, and a revocation costs every worker a read of the recent ones.
CREDENTIAL_POLICY = ThrottlePolicy(
    "new-credentials", free=60, window=timedelta(hours=1), first=timedelta(minutes=1), longest=timedelta(hours=1)
)
LONGEST_WINDOW = max(ACCOUNT_POLICY.window, ACCOUNT_TOTAL_POLICY.window, NETWORK_POLICY.window)


def account_key(login: str, user_id: UUID | None) -> str:
    """What failures of an account are counted under.

    An unknown login counts like a known one: in one spelling or in many, or the count would tell which it is.
    """
    if user_id is not None:
        return str(user_id)
    return hashlib.sha256(normalize_login(login).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A secret tried for an account (see `account_key`) from a network address.

    `known_device` is the device whose cookie proves an earlier login of the same account. `is_stranger` says that
    nothing else is known of the caller, as at a login.
    """

    account: str
    address: str | None
    known_device: UUID | None = None
    is_stranger: bool = False

    def policies(self) -> dict[str, ThrottlePolicy]:
        """What the attempt is counted under. Rows are locked in this order by everyone."""
        if self.known_device is not None:
            return {f"account:{self.account}|device:{self.known_device}": DEVICE_POLICY}
        network = network_of(self.address)
        policies = {f"account:{self.account}|{network}": ACCOUNT_POLICY}
        if self.is_stranger:
            policies[f"account:{self.account}"] = ACCOUNT_TOTAL_POLICY
        return {**policies, f"network:{network}": NETWORK_POLICY}


class LoginLimiter:
    """Counts attempts within the caller's transaction. A refused one is not counted: the transaction is rolled back."""

    def __init__(self, session: Session, settings: Settings, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._throttles = LoginThrottleRepository(session, clock)
        self._is_enabled = settings.rate_limits is Toggle.ON

    async def reserve(self, attempt: Attempt) -> tuple[str, ...]:
        """Count an attempt as failed, before its password is looked at. The caller commits.

        Returns the names of the limits that it meets: unless it succeeds, the next attempts must wait.

        Raises:
            LoginThrottledError: the device, the account from this network or from all, or the network must wait.
        """
        return await self._reserve(attempt.policies(), attempt.address, LoginThrottledError)

    async def reserve_registration(self, address: str | None) -> None:
        """Count a registration, before its password is hashed: each costs as much as a login. The caller commits.

        Raises:
            RegistrationThrottledError: the network must wait.
        """
        key = f"registration:{network_of(address)}"
        await self._reserve({key: REGISTRATION_POLICY}, address, RegistrationThrottledError)

    async def reserve_guest(self, address: str | None) -> None:
        """Count a new guest. The caller commits.

        Raises:
            GuestsThrottledError: the network must wait.
        """
        await self._reserve({f"guests:{network_of(address)}": GUEST_POLICY}, address, GuestsThrottledError)

    async def reserve_mail(self, purpose: TokenPurpose, email: str, address: str | None) -> None:
        """Count a mail that someone ordered for an address, whether or not it has an account. The caller commits.

        Each purpose has its own count: mails of one kind must not keep those of another back.

        Raises:
            MailThrottledError: the address from this network or from all, or the network, must wait.
        """
        of_address, network = f"mail:{purpose}:{account_key(email, None)}", network_of(address)
        policies = {
            f"{of_address}|{network}": MAIL_POLICY,
            of_address: MAIL_ADDRESS_POLICY,
            f"mail-network:{network}": MAIL_NETWORK_POLICY,
        }
        await self._reserve(policies, address, MailThrottledError)

    async def reserve_code(self, email: str, address: str | None) -> tuple[str, ...]:
        """Count a typed code as wrong, before it is looked at, whether or not the address has one. The caller commits.

        Returns the limits that it meets, see `reserve`.

        Raises:
            CodeThrottledError: the address, or the network, must wait.
        """
        return await self._reserve(_code_policies(email, address), address, CodeThrottledError)

    async def release_code(self, email: str, address: str | None) -> None:
        """Take a reserved code back: it was right. The caller commits."""
        if self._is_enabled:
            await self._take_back(_code_policies(email, address))

    async def reserve_completion(self, token_id: UUID, address: str | None) -> tuple[str, ...]:
        """Count a password of a pending registration as wrong, before it is looked at. The caller commits.

        Returns the limits that it meets, see `reserve`.

        Raises:
            CodeThrottledError: it was tried too often.
        """
        return await self._reserve({_completion_key(token_id): COMPLETION_POLICY}, address, CodeThrottledError)

    async def release_completion(self, token_id: UUID) -> None:
        """Take a reserved password back because nobody looked at it. The caller commits."""
        if self._is_enabled:
            await self._take_back([_completion_key(token_id)])

    async def admit_device_notice(self, user_id: UUID) -> bool:
        """Count a notice of a new device to an account; False where there were enough. The login goes on either way."""
        if not self._is_enabled:
            return True
        key = f"device-notice:{user_id}"
        await self._throttles.raise_count(key, DEVICE_NOTICE_POLICY.window)
        [counted] = await self._throttles.counts([key])
        return bool(counted.failures <= DEVICE_NOTICE_POLICY.free)

    async def reserve_credential(self, user_id: UUID, address: str | None) -> None:
        """Count a personal token or a service account's secret that an account makes.

        Raises:
            CredentialThrottledError: the account must wait.
        """
        await self._reserve({f"credentials:{user_id}": CREDENTIAL_POLICY}, address, CredentialThrottledError)

    async def reserve_for(
        self, policies: dict[str, ThrottlePolicy], address: str | None, refusal: type[TooManyRequestsError]
    ) -> None:
        """Count an attempt of another domain under keys of its own, all lock them in this order. The caller commits.

        Raises:
            TooManyRequestsError: `refusal`, with the time to wait.
        """
        await self._reserve(policies, address, refusal)

    async def release_for(self, policies: Iterable[str]) -> None:
        """Take an attempt of `reserve_for` back. The caller commits."""
        if self._is_enabled:
            await self._take_back(policies)

    async def _reserve(
        self, policies: dict[str, ThrottlePolicy], address: str | None, refusal: type[TooManyRequestsError]
    ) -> tuple[str, ...]:
        if not self._is_enabled:
            return ()
        now = self._clock.now()
        for key, policy in policies.items():
            await self._throttles.raise_count(key, policy.window)
        met = []
        for counted in await self._throttles.counts(policies):
            policy = policies[counted.key]
            if counted.blocked_until > now:
                await self._session.rollback()  # commit: a refused attempt is not counted
                logger.warning("throttled", policy=policy.name, address=address)
                raise _throttled(refusal, policy, counted.blocked_until - now)
            if counted.failures > policy.free:
                await self._throttles.block(counted.key, now + policy.delay(counted.failures))
                met.append(policy.name)
        return tuple(met)

    async def clear(self, attempt: Attempt) -> None:
        """Take the reserved attempt back after a success, and forget this network's or device's failures."""
        if not self._is_enabled:
            return
        of_caller, *of_many = attempt.policies()
        await self._throttles.forget(of_caller)
        await self._take_back(of_many)

    async def forgive(self, account: str, address: str | None) -> None:
        """Forget the failures on an account, all of them and those of this network: its owner has read a mail."""
        keys = (f"account:{account}|{network_of(address)}", f"account:{account}")
        for key in keys:
            await self._throttles.forget(key)

    async def release(self, attempt: Attempt) -> None:
        """Take the reserved attempt back because its password was never looked at. The caller commits."""
        if self._is_enabled:
            await self._take_back(attempt.policies())

    async def _take_back(self, keys: Iterable[str]) -> None:
        for key in keys:  # one by one, in the order in which `_reserve` locks them
            await self._throttles.take_back(key)


def _code_policies(email: str, address: str | None) -> dict[str, ThrottlePolicy]:
    return {
        f"code:{account_key(email, None)}": CODE_ADDRESS_POLICY,
        f"code-network:{network_of(address)}": CODE_NETWORK_POLICY,
    }


def _completion_key(token_id: UUID) -> str:
    return f"registration-password:{token_id}"


def _throttled(refusal: type[TooManyRequestsError], policy: ThrottlePolicy, wait: timedelta) -> TooManyRequestsError:
    seconds = max(1, math.ceil(wait.total_seconds()))
    window = int(policy.window.total_seconds())
    # RateLimit fields: draft-ietf-httpapi-ratelimit-headers.
    headers = {
        "Retry-After": str(seconds),
        "RateLimit-Policy": f'"{policy.name}";q={policy.free};w={window}',
        "RateLimit": f'"{policy.name}";r=0;t={seconds}',
    }
    return refusal(f"Try again in {seconds} s.", headers=headers)

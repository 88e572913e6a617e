"""Limits on failed logins, counted in the database so that they survive restarts and hold across workers.

An attempt is counted before its password is checked, and taken back when it succeeds: parallel guesses cannot slip
through between a check and its count. The delay belongs to the pair of account and network, so that an attacker
elsewhere cannot lock the owner out (NIST SP 800-63B section 3.2.2).
"""

import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import case, delete, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from app.auth.errors import LoginThrottledError, RegistrationThrottledError
from app.auth.models import LoginThrottle
from app.core.addresses import network_of
from app.core.clock import Clock
from app.core.errors import TooManyRequestsError
from app.core.text import normalize_login
from app.db.engine import Session

# Not "now": a parallel attempt may have looked at the clock a moment earlier, and would find itself blocked.
_NOT_BLOCKED = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ThrottlePolicy:
    """`free` failures in a `window` without delay, then 1 s doubling up to `longest`."""

    name: str
    free: int
    window: timedelta
    longest: timedelta = timedelta(minutes=15)

    def delay(self, failures: int) -> timedelta:
        """How long to wait after this many failures in a row."""
        excess = failures - self.free
        return timedelta() if excess <= 0 else min(self.longest, timedelta(seconds=2 ** min(excess - 1, 20)))


ACCOUNT_POLICY = ThrottlePolicy("login-account", free=4, window=timedelta(days=1))
# More than can be hashed at once: a class behind one address that logs in together is no attack.
NETWORK_POLICY = ThrottlePolicy("login-network", free=100, window=timedelta(hours=1))
REGISTRATION_POLICY = ThrottlePolicy("registration", free=300, window=timedelta(hours=1))
LONGEST_WINDOW = max(ACCOUNT_POLICY.window, NETWORK_POLICY.window)


def account_key(login: str, user_id: UUID | None) -> str:
    """What failures of an account are counted under.

    An unknown login counts like a known one: in one spelling or in many, or the count would tell which it is.
    """
    if user_id is not None:
        return str(user_id)
    return hashlib.sha256(normalize_login(login).encode()).hexdigest()[:32]


class LoginLimiter:
    """Counts login attempts within the caller's transaction."""

    def __init__(self, session: Session, clock: Clock, *, is_enabled: bool) -> None:
        self._session = session
        self._clock = clock
        self._is_enabled = is_enabled

    async def reserve(self, account: str, address: str | None) -> None:
        """Count an attempt as failed, before its password is looked at. The caller commits.

        Raises:
            LoginThrottledError: the account from this network, or the network, must wait. The caller rolls back.
        """
        keys = _keys(account, address)
        await self._reserve(dict(zip(keys, (ACCOUNT_POLICY, NETWORK_POLICY), strict=True)), LoginThrottledError)

    async def reserve_registration(self, address: str | None) -> None:
        """Count a registration, before its password is hashed: each costs as much as a login. The caller commits.

        Raises:
            RegistrationThrottledError: the network must wait. The caller rolls back.
        """
        key = f"registration:{_network(address)}"
        await self._reserve({key: REGISTRATION_POLICY}, RegistrationThrottledError)

    async def _reserve(self, policies: dict[str, ThrottlePolicy], refusal: type[TooManyRequestsError]) -> None:
        if not self._is_enabled:
            return
        now = self._clock.now()
        for key, policy in policies.items():
            await self._session.execute(self._count(key, policy, now))
        rows = await self._session.execute(
            select(LoginThrottle.key, LoginThrottle.failures, LoginThrottle.blocked_until).where(
                LoginThrottle.key.in_(policies)
            )
        )
        for key, failures, blocked_until in rows.all():
            policy = policies[key]
            if blocked_until > now:
                raise _throttled(refusal, policy, blocked_until - now)
            if failures > policy.free:
                await self._session.execute(
                    update(LoginThrottle)
                    .where(LoginThrottle.key == key)
                    .values(blocked_until=now + policy.delay(failures))
                )

    async def clear(self, account: str, address: str | None) -> None:
        """Take the reserved attempt back after a success, and forget this network's failures on the account."""
        if not self._is_enabled:
            return
        of_account, of_network = _keys(account, address)
        await self._session.execute(delete(LoginThrottle).where(LoginThrottle.key == of_account))
        await self._session.execute(
            update(LoginThrottle)
            .where(LoginThrottle.key == of_network, LoginThrottle.failures > 0)
            .values(failures=LoginThrottle.failures - 1)
        )

    async def release(self, account: str, address: str | None) -> None:
        """Take the reserved attempt back because its password was never looked at. The caller commits."""
        if not self._is_enabled:
            return
        await self._session.execute(
            update(LoginThrottle)
            .where(LoginThrottle.key.in_(_keys(account, address)), LoginThrottle.failures > 0)
            .values(failures=LoginThrottle.failures - 1, blocked_until=_NOT_BLOCKED)
        )

    def _count(self, key: str, policy: ThrottlePolicy, now: datetime) -> Any:
        """`INSERT … ON CONFLICT DO UPDATE SET failures = failures + 1`, which also locks the row."""
        values = {"key": key, "failures": 1, "window_started_at": now, "blocked_until": _NOT_BLOCKED, "updated_at": now}
        is_over = LoginThrottle.window_started_at < now - policy.window
        raised = {
            "failures": case((is_over, 1), else_=LoginThrottle.failures + 1),
            "window_started_at": case((is_over, now), else_=LoginThrottle.window_started_at),
            "updated_at": now,
        }
        dialect = self._session.get_bind().dialect.name
        if dialect == "mysql":
            return mysql.insert(LoginThrottle).values(values).on_duplicate_key_update(raised)
        module = postgresql if dialect == "postgresql" else sqlite
        return module.insert(LoginThrottle).values(values).on_conflict_do_update(index_elements=["key"], set_=raised)


def _keys(account: str, address: str | None) -> tuple[str, str]:
    network = _network(address)
    return f"account:{account}|{network}", f"network:{network}"


def _network(address: str | None) -> str:
    return "unknown" if address is None else network_of(address)


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

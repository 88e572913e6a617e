"""Password hashing: off the event loop, on threads of its own, and never an exception from a strange hash."""

import asyncio
import contextlib
import os
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import bcrypt
from passlib.context import CryptContext

from app.auth.errors import HashQueueFullError
from app.auth.types import MAX_PASSWORD_LENGTH
from app.core.logging import get_logger

ResultT = TypeVar("ResultT")

logger = get_logger("auth.passwords")

_LOWEST_PRIORITY = 19  # setpriority(2)

# Verify-only schemes and the highest cost that is still computed; beyond it a hash is refused unread, so that an
# imported row cannot buy minutes of CPU. All of these take at most about a second.
_FOREIGN_MAX_ROUNDS = {
    "bcrypt": 14,  # log2
    "pbkdf2_sha256": 2_000_000,
    "pbkdf2_sha512": 1_000_000,
    "django_pbkdf2_sha256": 2_000_000,
    "sha512_crypt": 1_000_000,
    "sha256_crypt": 1_000_000,
}
_SCHEME = "bcrypt_sha256"


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """What a verification found. `needs_rehash` is only ever true beside `is_valid`."""

    is_valid: bool
    needs_rehash: bool


_INVALID = PasswordCheck(is_valid=False, needs_rehash=False)


class PasswordHasher:
    """Hashes with bcrypt over HMAC-SHA256 (`bcrypt_sha256`), so that characters count beyond bcrypt's 72 bytes too.

    Passwords are brought to Unicode NFC first (RFC 8265 section 4.2.2, OpaqueString): the same keys pressed on another
    device give the same hash, while characters that merely look related stay different.

    Args:
        rounds: bcrypt's cost, the logarithm to base 2 of its iterations.
        workers: threads; by default as many as this process may use cores.
        queue_size: how many calls may wait for a thread before further ones are refused.
    """

    def __init__(self, *, rounds: int, workers: int | None, queue_size: int) -> None:
        workers = workers or _usable_cores()
        self._context = CryptContext(
            schemes=[_SCHEME, *_FOREIGN_MAX_ROUNDS], deprecated="auto", **{f"{_SCHEME}__rounds": rounds}
        )
        self._max_rounds = _FOREIGN_MAX_ROUNDS | {
            _SCHEME: max(rounds, _FOREIGN_MAX_ROUNDS["bcrypt"]),
            "bcrypt": max(rounds, _FOREIGN_MAX_ROUNDS["bcrypt"]),
        }
        self._dummy_hash = _unmatchable_hash(rounds)
        self._context.handler(_SCHEME).set_backend("bcrypt")  # its self-test, now rather than in the first login
        self._slots = threading.BoundedSemaphore(workers + queue_size)
        self._executor = ThreadPoolExecutor(workers, "password-hash", initializer=_lower_priority)

    async def hash(self, password: str) -> str:
        """The hash to store.

        Raises:
            HashQueueFullError: too many calls are waiting.
            ValueError: longer than 256 characters, or not encodable (lone surrogates); the schemas refuse both before.
        """
        return await self._run(self._hash, _prepare(password))

    async def verify(self, password: str, hashed: str | None) -> PasswordCheck:
        """Whether the password belongs to the hash, and whether the hash should be renewed.

        `None` (no such account, or one without a password) and hashes that cannot be used cost the same time as a real
        one. A password that no account can have is refused at once, whatever the account.

        Raises:
            HashQueueFullError: too many calls are waiting.
        """
        try:
            prepared = _prepare(password)
        except ValueError:
            return _INVALID
        return await self._run(self._verify, prepared, hashed)

    def close(self) -> None:
        """End the threads: running hashes finish, waiting callers are cancelled. Further calls are refused."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _hash(self, password: str) -> str:
        return str(self._context.hash(password))

    def _verify(self, password: str, hashed: str | None) -> PasswordCheck:
        if hashed is not None:
            try:
                self._refuse_costly(hashed)
                if not self._context.verify(password, hashed):
                    return _INVALID
                return PasswordCheck(is_valid=True, needs_rehash=bool(self._context.needs_update(hashed)))
            except Exception as error:  # the library raises many types; none may tell a caller about the hash
                logger.warning("unusable password hash", error=type(error).__name__)
        self._context.verify(password, self._dummy_hash)
        return _INVALID

    def _refuse_costly(self, hashed: str) -> None:
        scheme = self._context.identify(hashed, required=True)
        if self._context.handler(scheme).from_string(hashed).rounds > self._max_rounds[scheme]:
            raise ValueError(scheme)

    async def _run(self, function: Callable[..., ResultT], *arguments: object) -> ResultT:
        if not self._slots.acquire(blocking=False):
            raise HashQueueFullError
        try:
            future = self._executor.submit(function, *arguments)
        except RuntimeError:  # closed
            self._slots.release()
            raise HashQueueFullError from None
        # A cancelled caller cancels the future: one that still waits is done with at once, a running one when it ends.
        future.add_done_callback(self._release)
        return await asyncio.wrap_future(future)

    def _release(self, _future: Future[ResultT]) -> None:
        self._slots.release()


def _prepare(password: str) -> bytes:
    if len(password) > MAX_PASSWORD_LENGTH:
        raise ValueError("too long")
    return unicodedata.normalize("NFC", password).encode()


def _unmatchable_hash(rounds: int) -> str:
    """A well-formed hash with a random salt that no password is known to match, made without hashing."""
    salt = bcrypt.gensalt(rounds).decode().rpartition("$")[2]
    return f"$bcrypt-sha256$v=2,t=2b,r={rounds}${salt}${'.' * 31}"


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _lower_priority() -> None:
    """Let requests go before hashes. Linux alone has priorities for single threads."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)

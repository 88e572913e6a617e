"""Refusing passwords that are known from breaches, by a range API (k-anonymity, as `api.pwnedpasswords.com` has it).

Five hexadecimal digits of the password's SHA-1 leave the process, and nothing else: they fit one password in a million.
"""

import asyncio
import hashlib
import re

import httpx

from app.auth.errors import BreachCheckError, WeakPasswordError
from app.core.logging import get_logger
from app.core.settings import BreachPolicy, Settings

RULE = "breached"
_PREFIX_DIGITS = 5
_PATIENCE_SECONDS = 1.5
_MAX_ANSWER_BYTES = 1_048_576  # a thousand suffixes, padding included, take 50 KB
_LINE = re.compile(r"([0-9A-F]{35}):([0-9]{1,12})", re.IGNORECASE)

logger = get_logger("auth.breached_passwords")


class BreachedPasswords:
    """Asks the source of the settings about new passwords; without one, none is refused.

    It is called outside any transaction: the source may take its time.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.breached_passwords_url
        self._is_strict = settings.breached_passwords is BreachPolicy.FAIL_CLOSED
        self._client: httpx.AsyncClient | None = None

    async def refuse(self, password: str, *, field: str = "password") -> None:
        """Accept a new password, or say that it was breached.

        `field` is the member of the request body that held it.

        Raises:
            WeakPasswordError: its `rule` is `breached`.
            BreachCheckError: the source does not answer, and BREACHED_PASSWORDS is `fail_closed`.
        """
        if self._url is None:
            return
        # SHA-1 is what these lists are made of; it protects nothing here.
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                is_breached = digest[_PREFIX_DIGITS:] in await self._suffixes(digest[:_PREFIX_DIGITS])
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
            logger.warning("breached passwords not checked", error=type(error).__name__, is_refused=self._is_strict)
            if self._is_strict:
                raise BreachCheckError from None
            return
        if is_breached:
            fault = {"loc": ["body", field], "type": RULE, "msg": "is known from a breach of another service"}
            raise WeakPasswordError(f"The password {fault['msg']}.", rule=RULE, errors=[fault])

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _suffixes(self, prefix: str) -> set[str]:
        """The rest of every breached digest that begins so; entries with a count of 0 are padding.

        Raises:
            httpx.HTTPError: no answer, or a refusal.
            ValueError: the answer is no list of suffixes.
        """
        if self._client is None:  # only now: reading the system's certificates takes a moment
            self._client = httpx.AsyncClient(timeout=_PATIENCE_SECONDS)
        async with self._client.stream("GET", f"{self._url}/{prefix}", headers={"Add-Padding": "true"}) as answer:
            if answer.status_code != httpx.codes.OK:
                raise ValueError(f"status {answer.status_code}")
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > _MAX_ANSWER_BYTES:
                    raise ValueError("too long")
        matches = [_LINE.fullmatch(line.strip()) for line in body.decode("ascii").splitlines() if line.strip()]
        if not matches or None in matches:
            raise ValueError("no list of suffixes")
        return {match[1].upper() for match in matches if match is not None and int(match[2])}

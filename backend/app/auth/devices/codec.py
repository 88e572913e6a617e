"""Device cookies: `dv1.<device>.<mark>.<mark>…`, one mark for each account that has logged in on the device.

They follow OWASP's "Slow Down Online Guessing Attacks with Device Cookies". A mark is the hour of the login and an HMAC
over that hour, the device, the account and its present password hash: whoever cannot log in cannot make one, one
account's mark says nothing of another's, and a change of password ends them all. Nothing of it is stored, and nothing
of it logs anyone in.
"""

import hashlib
import hmac
import math
from datetime import timedelta
from uuid import UUID

from pydantic import SecretStr

from app.auth.devices.types import Device, DeviceCookie
from app.auth.models import User
from app.core.base64url import from_base64url, to_base64url
from app.core.clock import Clock
from app.core.ids import new_id
from app.core.keys import derive_key

DEVICE_MEMORY = timedelta(days=400)  # the longest that browsers keep a cookie (RFC 6265bis section 5.5)
MAX_ACCOUNTS = 5

_PREFIX = "dv1"
_HOUR_BYTES = 4
_TAG_BYTES = 16
_MARK_LENGTH = 27  # 20 bytes in base64url
_MAX_LENGTH = len(_PREFIX) + 33 + MAX_ACCOUNTS * (_MARK_LENGTH + 1)


class DeviceCookieCodec:
    """Makes, writes and reads device cookies under a key derived from `SECRET_KEY`."""

    def __init__(self, secret: SecretStr, clock: Clock) -> None:
        self._key = derive_key(secret, "device cookie mark")
        self._clock = clock

    def recognise(self, text: str | None, user: User | None) -> Device:
        """The device behind a cookie, known or not to the account; a new one where there is no readable cookie."""
        cookie = _parse(text) if text else None
        if cookie is None:
            return Device(DeviceCookie(new_id()), is_known=False)
        return Device(
            cookie, is_known=user is not None and any(self._is_of(mark, cookie, user) for mark in cookie.marks)
        )

    def admit(self, device: Device, user: User) -> str:
        """The cookie's new text after a login: the account's mark renewed, those of others as they were."""
        hour = self._hour().to_bytes(_HOUR_BYTES)
        mark = hour + self._tag(hour, device.id, user)
        others = [old for old in device.cookie.marks if not self._is_of(old, device.cookie, user)]
        marks = (mark, *others)[:MAX_ACCOUNTS]
        return ".".join((_PREFIX, device.id.hex, *(to_base64url(mark) for mark in marks)))

    def _is_of(self, mark: bytes, cookie: DeviceCookie, user: User) -> bool:
        hour = mark[:_HOUR_BYTES]
        age = self._hour() - int.from_bytes(hour)
        is_genuine = hmac.compare_digest(mark[_HOUR_BYTES:], self._tag(hour, cookie.device_id, user))
        return is_genuine and age <= DEVICE_MEMORY / timedelta(hours=1)

    def _tag(self, hour: bytes, device_id: UUID, user: User) -> bytes:
        message = b"|".join((hour, device_id.bytes, user.id.bytes, user.hashed_password.encode()))
        return hmac.digest(self._key, message, hashlib.sha256)[:_TAG_BYTES]

    def _hour(self) -> int:
        return math.floor(self._clock.now().timestamp() / 3600)


def _parse(text: str) -> DeviceCookie | None:
    """The parts of a cookie's text, unverified; None for what is none."""
    prefix, _, rest = text.partition(".")
    if prefix != _PREFIX or len(text) > _MAX_LENGTH:
        return None
    device, *marks = rest.split(".")
    try:
        if any(len(mark) != _MARK_LENGTH for mark in marks):
            return None
        return DeviceCookie(UUID(device), tuple(from_base64url(mark) for mark in marks))
    except ValueError:
        return None

"""Text from outside: what every string may hold, and the form in which names are compared."""

import re
import unicodedata
from contextlib import suppress
from typing import Annotated, NamedTuple

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, StringConstraints

# C0 and C1 controls without tab, line feed and carriage return; lone surrogates cannot be encoded as UTF-8.
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_MAILBOX = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]+)>|(?P<bare>[^<>]+)")
_LINE_BREAKS = re.compile("[\t\r\n\u2028\u2029]")

MAX_EMAIL_LENGTH = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets


def require_safe_text(value: str) -> str:
    """Return the text unchanged, or raise ValueError where it holds NUL, control characters or lone surrogates."""
    if _UNSAFE.search(value):
        raise ValueError("must not contain control characters or lone surrogates")
    return value


def require_single_line(value: str) -> str:
    """Return the text unchanged, or raise ValueError where it is not safe or spans lines."""
    if _LINE_BREAKS.search(require_safe_text(value)):
        raise ValueError("must be a single line")
    return value


def clean_text(value: str) -> str:
    """A text from elsewhere made safe to store: unsafe characters are dropped, line breaks stay."""
    return _UNSAFE.sub("", value)


def clean_header(value: str, max_length: int) -> str:
    """A header's text made safe to store: unsafe characters and line breaks dropped, cut to `max_length`."""
    return _LINE_BREAKS.sub(" ", _UNSAFE.sub("", value))[:max_length]


class Mailbox(NamedTuple):
    """Whom a mail is from or for; the domain is in IDNA ASCII."""

    name: str
    local_part: str
    domain: str


SafeStr = Annotated[str, AfterValidator(require_safe_text)]
"""Any text that every database stores unchanged; bound its length with `Field(max_length=...)`."""

SafeLine = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(require_single_line)]
"""One line of text, trimmed and not empty."""


def normalize_email(email: str) -> str:
    """The form in which addresses are compared: NFKC and casefold of the local part, the domain in IDNA ASCII.

    Raises:
        ValueError: the text is not an address (RFC 5321, RFC 6531).
    """
    try:
        parts = validate_email(email, check_deliverability=False)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None
    local = _fold(parts.local_part)
    return f"{local}@{(parts.ascii_domain or parts.domain).lower()}"


def normalize_login(login: str) -> str:
    """The form in which a login is compared, an address or a user name; other text is only folded."""
    if "@" in login:
        with suppress(ValueError):
            return normalize_email(login)
    return normalize_username(login)


def require_email(value: str) -> str:
    """Return the trimmed address as written, or raise ValueError where it is none."""
    value = value.strip()
    if len(value) > MAX_EMAIL_LENGTH or len(normalize_email(value)) > MAX_EMAIL_LENGTH:
        raise ValueError(f"must be at most {MAX_EMAIL_LENGTH} characters")
    return value


def parse_mailbox(text: str) -> Mailbox:
    """The parts of `ada@example.com` or `Ada <ada@example.com>`.

    Raises:
        ValueError: it is neither, or spans lines.
    """
    match = _MAILBOX.fullmatch(require_single_line(text.strip()))
    if match is None:
        raise ValueError("must be an address, or a name and an <address>")
    try:
        parts = validate_email(match["bare"] or match["address"], check_deliverability=False)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None
    return Mailbox((match["name"] or "").strip('" '), parts.local_part, parts.ascii_domain or parts.domain)


def require_mailbox(value: str) -> str:
    """Return `ada@example.com` or `Ada <ada@example.com>` as written, or raise ValueError where it is neither."""
    parse_mailbox(value)
    return value


def normalize_username(username: str) -> str:
    """The form in which user names are compared: NFKC and casefold."""
    return _fold(username)


def _fold(text: str) -> str:
    """NFKC_Casefold (Unicode section 5.18.3): folded twice, because each step can make work for the other."""
    once = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", text).casefold())
    return unicodedata.normalize("NFKC", once.casefold())

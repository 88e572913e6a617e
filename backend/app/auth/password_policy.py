"""Which passwords may be chosen (NIST SP 800-63B section 3.1.1: length and a blocklist, no rules of composition)."""

import gzip
import unicodedata
from enum import StrEnum
from functools import cache
from itertools import pairwise
from pathlib import Path

from app.auth.errors import WeakPasswordError
from app.auth.types import MAX_PASSWORD_LENGTH

_COMMON_PASSWORDS_FILE = Path(__file__).parent / "data" / "common-passwords.txt.gz"
_PRODUCT_NAME = "merit"
_LONGEST_SIMPLE = 32  # beyond it even a repetition is not guessed
_MIN_NAME_LENGTH = 4  # shorter names occur in good passwords by chance
_MAX_DECORATION = 4  # characters around a common word that add next to nothing: "Welcome2024", "!dragon!"
_MAX_PERIOD = 4  # "abcdabcd"
_MIN_DISTINCT_CHARACTERS = 3

# Digits and keyboard rows, each long enough to hold any password that runs along it, and round the end.
_ROWS = ("1234567890", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm")
_SEQUENCES = tuple(direction * (MAX_PASSWORD_LENGTH // len(row) + 2) for row in _ROWS for direction in (row, row[::-1]))


class PasswordRule(StrEnum):
    """The rules that a password can break; the `type` of the entries in `errors`."""

    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    TOO_SIMPLE = "too_simple"
    COMMON = "common"
    CONTAINS_EMAIL = "contains_email"
    CONTAINS_USERNAME = "contains_username"
    CONTAINS_PRODUCT_NAME = "contains_product_name"


_MESSAGES = {
    PasswordRule.TOO_SHORT: "must be at least {min_length} characters",
    PasswordRule.TOO_LONG: "must be at most {max_length} characters",
    PasswordRule.TOO_SIMPLE: "must not be a repetition or a simple sequence",
    PasswordRule.COMMON: "is one of the passwords that are guessed first",
    PasswordRule.CONTAINS_EMAIL: "must not contain your e-mail address",
    PasswordRule.CONTAINS_USERNAME: "must not contain your user name",
    PasswordRule.CONTAINS_PRODUCT_NAME: "must not contain the name of this service",
}


class PasswordPolicy:
    """Judges new passwords; those that exist are never judged again.

    Args:
        min_length: the least number of characters.
        product_name: a word that no password may contain.
    """

    def __init__(self, min_length: int, *, product_name: str = _PRODUCT_NAME) -> None:
        self._min_length = min_length
        self._product_name = _fold(product_name)

    def check(
        self, password: str, *, email: str | None = None, username: str | None = None, field: str = "password"
    ) -> None:
        """Accept the password, or say which rules it breaks.

        `field` is the member of the request body that held it. Length comes first and alone: nothing else is computed
        for a password of the wrong length.

        Raises:
            WeakPasswordError: `rule` is the first broken rule, `errors` lists all of them; neither holds the password.
        """
        rules = self._broken_rules(password, email, username)
        if not rules:
            return
        limits = {"min_length": self._min_length, "max_length": MAX_PASSWORD_LENGTH}
        errors = [
            {"loc": ["body", field], "type": rule.value, "msg": _MESSAGES[rule].format_map(limits)} for rule in rules
        ]
        raise WeakPasswordError(f"The password {errors[0]['msg']}.", rule=rules[0].value, errors=errors)

    def _broken_rules(self, password: str, email: str | None, username: str | None) -> list[PasswordRule]:
        if len(password) < self._min_length:
            return [PasswordRule.TOO_SHORT]
        if len(password) > MAX_PASSWORD_LENGTH:
            return [PasswordRule.TOO_LONG]
        folded = _fold(password)
        broken = {
            PasswordRule.TOO_SIMPLE: len(folded) <= _LONGEST_SIMPLE and _is_simple(folded),
            PasswordRule.COMMON: _is_common(folded),
            PasswordRule.CONTAINS_EMAIL: email is not None and _contains_email(folded, _fold(email)),
            PasswordRule.CONTAINS_USERNAME: username is not None and _contains_name(folded, _fold(username)),
            PasswordRule.CONTAINS_PRODUCT_NAME: self._product_name in folded,
        }
        return [rule for rule, is_broken in broken.items() if is_broken]


def _fold(text: str) -> str:
    """The form in which words are compared, so that neither case nor width hides one."""
    return unicodedata.normalize("NFKC", text).casefold()


def _contains_name(folded: str, name: str) -> bool:
    return len(name) >= _MIN_NAME_LENGTH and name in folded


def _contains_email(folded: str, email: str) -> bool:
    return email in folded or _contains_name(folded, email.rpartition("@")[0])


def _is_simple(folded: str) -> bool:
    steps = {ord(right) - ord(left) for left, right in pairwise(folded)}
    return (
        len(set(folded)) < _MIN_DISTINCT_CHARACTERS
        or steps <= {1}
        or steps <= {-1}
        or any(folded == (folded[:period] * len(folded))[: len(folded)] for period in range(1, _MAX_PERIOD + 1))
        or any(folded in sequence for sequence in _SEQUENCES)
    )


def _is_common(folded: str) -> bool:
    if _is_listed(folded):
        return True
    word = folded.strip("0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ")
    return len(folded) - len(word) <= _MAX_DECORATION and _is_listed(word)


def _is_listed(folded: str) -> bool:
    return f"\n{folded}\n" in _common_passwords()


@cache
def _common_passwords() -> str:
    """The list as one text (see `data/README.md`): searched in microseconds, in a tenth of the memory of a set."""
    with gzip.open(_COMMON_PASSWORDS_FILE, "rt", encoding="utf-8") as file:
        return f"\n{file.read()}"

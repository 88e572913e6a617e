"""Moments that callers name."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

_NUMBER = re.compile(r"\s*[-+]?[0-9_.]+(e[-+]?[0-9]+)?\s*", re.IGNORECASE)


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the year in UTC must be between 1 and 9999") from None


def _no_number(value: object) -> object:
    """Refuse what would be taken for seconds since 1970."""
    is_number = isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value) is not None)
    if is_number:
        raise ValueError("must be written as in 2026-01-31T09:30:00Z")
    return value


UtcMoment = Annotated[AwareDatetime, BeforeValidator(_no_number), AfterValidator(_to_utc)]
"""A time with its offset (RFC 3339), turned into UTC."""

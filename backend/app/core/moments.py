"""Moments that callers name."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the year in UTC must be between 1 and 9999") from None


UtcMoment = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A time with its offset, turned into UTC."""

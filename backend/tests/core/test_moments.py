"""Moments that callers name."""

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from app.core.moments import UtcMoment

MOMENT = TypeAdapter(UtcMoment)


def test_a_moment_becomes_utc() -> None:
    moment = MOMENT.validate_python("2026-01-01T01:30:00+01:00")
    assert (moment, moment.tzinfo) == (datetime(2026, 1, 1, 0, 30, tzinfo=UTC), UTC)


@pytest.mark.parametrize(
    "text",
    [
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00", "2026-01-01T00:00:00", "10000-01-01"),
        *("0", "0.5", " 1767225600 ", "-1", "1e3"),
    ],
)
def test_a_moment_that_utc_cannot_hold_or_without_offset_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        MOMENT.validate_python(text)


@pytest.mark.parametrize("number", [0, 1767225600, 0.5])
def test_a_number_is_no_moment(number: float) -> None:
    with pytest.raises(ValidationError):
        MOMENT.validate_python(number)

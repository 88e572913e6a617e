"""Keys, ids, time and errors."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from pydantic import SecretStr

from app.core.clock import Clock
from app.core.errors import AppError, InvalidInputError, ServiceUnavailableError, TooManyRequestsError
from app.core.ids import new_id, new_request_id
from app.core.keys import derive_key
from app.core.problems import error_responses


def test_each_purpose_has_a_key_of_its_own() -> None:
    """RFC 5869: one use of the secret tells nothing of another."""
    one, other = SecretStr("a" * 32), SecretStr("b" * 32)
    keys = {derive_key(secret, purpose) for secret in (one, other) for purpose in ("cursor", "refresh", "")}
    assert len(keys) == 6
    assert {len(key) for key in keys} == {32}
    assert derive_key(one, "cursor") == derive_key(SecretStr("a" * 32), "cursor")


def test_ids_are_uuid7_that_rise_with_time_and_never_meet() -> None:
    """RFC 9562 section 5.7."""
    ids = [new_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    assert all(type(id_) is UUID and id_.version == 7 for id_ in ids[:100])
    milliseconds = ids[0].int >> 80
    assert abs(milliseconds / 1000 - time.time()) < 5
    assert UUID(new_request_id()).version == 7


def test_the_clock_is_aware_and_runs() -> None:
    clock = Clock()
    assert clock.now().tzinfo is UTC
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert clock.monotonic() <= clock.monotonic()


def all_errors(kind: type[AppError] = AppError) -> list[type[AppError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in all_errors(child))]


def test_codes_are_stable_words_with_a_status() -> None:
    for kind in all_errors():
        assert kind.code.replace("_", "").isalnum(), kind
        assert kind.code == kind.code.lower()
        assert 400 <= kind.status_code <= 599
        assert kind.title[0].isupper()


def test_an_error_carries_what_the_caller_needs() -> None:
    error = ServiceUnavailableError("Busy.", retry_after_seconds=7, hint="x")
    assert (str(error), error.headers, error.extra) == ("Busy.", {"Retry-After": "7"}, {"hint": "x"})
    assert str(TooManyRequestsError()) == TooManyRequestsError.title
    located = InvalidInputError.at("body", "email", type_="missing", message="Field required")
    assert located.extra["errors"] == [{"loc": ["body", "email"], "type": "missing", "msg": "Field required"}]


def test_refusals_are_described_by_status() -> None:
    described = error_responses(InvalidInputError, TooManyRequestsError)
    assert set(described) == {422, 429}
    examples = described[422]["content"]["application/problem+json"]["examples"]
    assert examples["validation_failed"]["value"]["errors"]


@pytest.mark.parametrize("kind", [AppError])
def test_headers_of_a_class_are_defaults(kind: type[AppError]) -> None:
    class Tagged(kind):  # type: ignore[valid-type,misc] # a class made for the test
        default_headers = {"X-Tag": "a"}  # noqa: RUF012 - as in every error

    assert Tagged(headers={"X-Other": "b"}).headers == {"X-Tag": "a", "X-Other": "b"}
    assert Tagged.default_headers == {"X-Tag": "a"}

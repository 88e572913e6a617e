"""JSON values from outside: what is stored unchanged everywhere, what is refused, and what is the same."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import orjson
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Column, MetaData, Table, insert, select

from app.core.json_values import (
    MAX_JSON_BYTES,
    MAX_JSON_DEPTH,
    SafeJson,
    SafeJsonObject,
    is_same_json,
    require_safe_json,
    safe_json,
)
from app.db.types import JsonDict
from app.main import Services

TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(-9.99e15, 9.99e15)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)

EDGES: list[Any] = [
    1, 1.0, True, 0, 0.0, False, None, "", [], {}, {"": [None]},
    2**63 - 1, 1 - 2**63, 2**53 + 1, 9999999999999998.0, 0.1, 1e-5, 1.2e-7, 5e-324, 123456789012345.0,
    "\x01\x1b[31m\u2028\x7f\x9f", "ё\U0001f600", {"b": 1, "a": 2, "aa": {"z": [1, 1.0, True]}},
]  # fmt: skip


def nested(depth: int) -> Any:
    """Lists in lists."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@given(VALUES)
def test_cleaning_again_changes_nothing(value: Any) -> None:
    once = require_safe_json(value)
    assert is_same_json(require_safe_json(once), once)
    assert once == value, "only the sign of a zero may change"


async def test_every_database_gives_back_what_was_stored(app: FastAPI, services: Services) -> None:
    """Also what the JSON types of the databases like to rewrite: 1.0, exponents, the order of members."""
    values = [require_safe_json(value) for value in EDGES]
    table = Table("json_samples", MetaData(), Column("value", JsonDict), prefixes=["TEMPORARY"])
    async with services.database.writer.connect() as connection:
        await connection.run_sync(table.create)
        for value in values:
            await connection.execute(insert(table).values(value={"value": value}))
            stored = (await connection.execute(select(table.c.value))).scalar_one()["value"]
            assert is_same_json(stored, value), (value, stored)
            await connection.execute(table.delete())
        await connection.run_sync(table.drop)


REFUSED: list[tuple[Any, str]] = [
    (math.nan, "NaN"),
    (math.inf, "NaN"),
    ([-math.inf], "NaN"),
    (1e16, "floats"),
    (-1e300, "floats"),
    (2**63, "64 bits"),
    ({"n": -(2**63)}, "64 bits"),
    ("a\x00b", "NUL"),
    ({"a\x00": 1}, "NUL"),
    (["\ud800"], "surrogates"),
    ({"\udfff": 1}, "surrogates"),
    ({1: 2}, "JSON"),
    ((1, 2), "JSON"),
    (b"bytes", "JSON"),
    (nested(MAX_JSON_DEPTH + 1), "deep"),
    ({"a": nested(MAX_JSON_DEPTH)}, "deep"),
    (nested(100_000), "deep"),
    ("x" * (MAX_JSON_BYTES - 1), "bytes"),
    ("é" * (MAX_JSON_BYTES // 2), "bytes"),
    ("\x01" * (MAX_JSON_BYTES // 5), "bytes"),
]


@pytest.mark.parametrize(("value", "reason"), REFUSED, ids=range(len(REFUSED)))
def test_what_one_of_them_would_change_or_refuse(value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        require_safe_json(value)


def test_the_bounds_are_exact() -> None:
    assert require_safe_json(nested(MAX_JSON_DEPTH)) == nested(MAX_JSON_DEPTH)
    assert require_safe_json(5, max_depth=0) == 5
    longest = "x" * (MAX_JSON_BYTES - 2)
    assert require_safe_json(longest) == longest


def test_numbers_count_with_all_their_digits() -> None:
    """`5e-324` is 6 bytes for us and 326 for PostgreSQL: 50 times as much must not come back as was sent."""
    tiny = [5e-324] * 10
    assert len(orjson.dumps(tiny)) < 100
    with pytest.raises(ValueError, match="bytes"):
        require_safe_json(tiny, max_bytes=3000)
    assert require_safe_json(tiny, max_bytes=3400) == tiny


def test_a_negative_zero_is_a_zero() -> None:
    assert math.copysign(1, require_safe_json([-0.0])[0]) == 1


def test_the_result_is_a_copy() -> None:
    value = {"list": [1]}
    copy = require_safe_json(value)
    copy["list"].append(2)
    assert value == {"list": [1]}


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (1, 1, True),
        (1, 1.0, False),
        (1, True, False),
        (0, False, False),
        (0.0, 0, False),
        (None, False, False),
        ("1", 1, False),
        ([1, 2], [2, 1], False),
        ({"a": 1, "b": [{"c": 2, "d": 3}]}, {"b": [{"d": 3, "c": 2}], "a": 1}, True),
        ({"a": 1}, {"a": 1.0}, False),
        ("é", "e\u0301", False),
    ],
)
def test_two_values_are_the_same_if_their_texts_are(one: Any, other: Any, is_same: bool) -> None:
    assert is_same_json(one, other) is is_same_json(other, one) is is_same


def test_the_types_say_no_to_the_schema() -> None:
    """What pydantic does with them: any JSON, an object only, and bounds of one's own."""
    anything: TypeAdapter[Any] = TypeAdapter(SafeJson)
    assert anything.validate_python([1, 1.0, True, None]) == [1, 1.0, True, None]
    with refused():
        anything.validate_python(math.nan)
    with refused():
        TypeAdapter(SafeJsonObject).validate_python([1])
    small: TypeAdapter[Any] = TypeAdapter(Annotated[Any, safe_json(max_bytes=10, max_depth=1)])
    assert small.validate_python([1]) == [1]
    for value in ([[1]], "x" * 9):
        with refused():
            small.validate_python(value)


@contextmanager
def refused() -> Iterator[None]:
    """The block raises what becomes a 422."""
    with pytest.raises(ValidationError):
        yield

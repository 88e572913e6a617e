"""Cursors that only this service can make."""

import base64
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.core.errors import InvalidCursorError
from app.core.ids import new_id
from app.core.pagination import CursorCodec, Page, PageRead

SECRET = SecretStr("p4" * 32)
CODEC = CursorCodec(SECRET)
POSITION = ["2026-01-02T03:04:05.678901+00:00", new_id().hex]
CURSOR = CODEC.encode("created_at", POSITION)
VALUES = st.lists(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(st.characters(codec="utf-8")))
)


@given(st.text(st.characters(codec="utf-8"), max_size=20), VALUES)
def test_a_cursor_leads_back_to_its_position(scope: str, values: list[Any]) -> None:
    cursor = CODEC.encode(scope, values)
    assert set(cursor) <= set(string.ascii_letters + string.digits + "-_")
    if len(cursor) <= 1024:
        assert CODEC.decode(scope, cursor) == values


def test_workers_of_one_service_understand_each_other_and_nobody_else() -> None:
    assert CursorCodec(SECRET).decode("created_at", CURSOR) == POSITION
    with pytest.raises(InvalidCursorError):
        CursorCodec(SecretStr("q5" * 32)).decode("created_at", CURSOR)


@pytest.mark.parametrize("scope", ["-created_at", "email", "", "created_at "])
def test_a_cursor_belongs_to_one_order(scope: str) -> None:
    with pytest.raises(InvalidCursorError):
        CODEC.decode(scope, CURSOR)


def test_no_bit_of_a_cursor_can_be_changed() -> None:
    raw = base64.urlsafe_b64decode(CURSOR + "=" * (-len(CURSOR) % 4))
    for index in range(len(raw)):
        forged = bytearray(raw)
        forged[index] ^= 1
        with pytest.raises(InvalidCursorError):
            CODEC.decode("created_at", base64.urlsafe_b64encode(forged).rstrip(b"=").decode())
    for length in range(len(CURSOR)):
        with pytest.raises(InvalidCursorError):
            CODEC.decode("created_at", CURSOR[:length])


@pytest.mark.parametrize(
    "text", ["", "x", "====", CURSOR + CURSOR, CURSOR + "\n", " " + CURSOR, "é", "\ud800", "\x00", "A" * 1025, "A" * 5]
)
def test_nonsense_is_an_invalid_cursor(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        CODEC.decode("created_at", text)


@given(st.text(st.characters(codec=None)))
def test_no_text_is_more_than_an_invalid_cursor(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        CODEC.decode("created_at", text)


def test_a_page_is_shown_as_it_is() -> None:
    assert PageRead[int].model_validate(Page([1, 2], "x")).model_dump() == {"items": [1, 2], "next_cursor": "x"}
    assert PageRead[int].model_validate(Page([], None)).model_dump() == {"items": [], "next_cursor": None}

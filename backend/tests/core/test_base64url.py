"""Each text stands for one value, and each value has one text: no token can be written in two ways."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.base64url import from_base64url, to_base64url


@given(st.binary(max_size=100))
def test_bytes_come_back_from_their_text(data: bytes) -> None:
    text = to_base64url(data)
    assert text == base64.urlsafe_b64encode(data).decode().rstrip("=")
    assert from_base64url(text) == data


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("AA==", id="padding"),
        pytest.param("A", id="impossible length"),
        pytest.param("AB", id="bits that stand for nothing"),
        pytest.param("+/+/", id="the other alphabet"),
        pytest.param("AA AA", id="space"),
        pytest.param("AAAA\n", id="newline"),
        pytest.param("AA\x00AA", id="NUL"),
        pytest.param("AA.AA", id="dot"),
        pytest.param("\N{HORIZONTAL ELLIPSIS}", id="beyond ASCII"),
        pytest.param("\N{FULLWIDTH LATIN CAPITAL LETTER A}AAA", id="look-alike"),
        pytest.param("\ud800", id="lone surrogate"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_base64url(text)


@given(st.text(max_size=20))
def test_no_text_is_read_in_two_ways(text: str) -> None:
    try:
        data = from_base64url(text)
    except ValueError:
        return
    assert to_base64url(data) == text

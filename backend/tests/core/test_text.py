"""Text from outside: what may be stored, and when two names are the same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.core.text import (
    MAX_EMAIL_LENGTH,
    SafeLine,
    SafeStr,
    clean_header,
    normalize_email,
    normalize_login,
    normalize_username,
    require_email,
    require_safe_text,
    require_single_line,
)

ANY_TEXT = st.text(st.characters(codec=None))
UNSAFE = ["\x00", "\x07", "\x1b[2J", "\x7f", "\x85", "\x9f", "\ud800", "\udfff", "a\x0bb"]
SAFE = ["", "\t\r\n", "é", "e\u0301", "\U0001f600", "\u202e", "\ufeff", "ﷺ", "\U0001d54f", "' OR 1=1 --", "%s{0}$x"]


@pytest.mark.parametrize("text", UNSAFE)
def test_what_databases_and_terminals_stumble_over_is_refused(text: str) -> None:
    for check in (require_safe_text, require_single_line, TypeAdapter(SafeStr).validate_python):
        with pytest.raises(ValueError, match=r"control characters|valid unicode"):
            check(text)


@pytest.mark.parametrize("text", SAFE)
def test_all_other_text_stays_as_it_is(text: str) -> None:
    assert require_safe_text(text) == TypeAdapter(SafeStr).validate_python(text) == text


@given(ANY_TEXT)
def test_safe_text_can_be_encoded(text: str) -> None:
    try:
        assert require_safe_text(text).encode().decode() == text
    except ValueError:
        assert not text.isprintable()


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\tb", "a\u2028b", "a\u2029b", "", "  ", "\n"])
def test_a_line_is_one_line_and_not_empty(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(SafeLine).validate_python(text)


def test_a_line_is_trimmed() -> None:
    assert TypeAdapter(SafeLine).validate_python("  Ada  Lovelace \n") == "Ada  Lovelace"


@given(ANY_TEXT, st.integers(0, 50))
def test_a_cleaned_header_is_one_safe_line(text: str, length: int) -> None:
    cleaned = clean_header(text, length)
    assert len(cleaned) <= length
    assert require_single_line(cleaned) == cleaned


@pytest.mark.parametrize(
    ("written", "normalized"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ADA@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"),
        ("Straße@example.com", "strasse@example.com"),
        ("A\u030angstro\u0308m@example.com", "ångström@example.com"),
    ],
)
def test_the_same_address_written_differently_is_the_same(written: str, normalized: str) -> None:
    """R3: case, composition and the spelling of the domain make no second account."""
    assert normalize_email(written) == normalized == normalize_email(normalized)


@pytest.mark.parametrize(
    "text", ["", "ada", "@", "a@b@c.example", "a@", "@example.com", "a b@example.com", "a@exa mple.com",
             "a\x00@example.com",
             "a@localhost", "a@[127.0.0.1]",
             "a\ud800@example.com", "a@example..com", "\n@example.com"]
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    for check in (normalize_email, require_email):
        with pytest.raises(ValueError, match=r"."):
            check(text)


def test_an_address_is_trimmed_and_bounded() -> None:
    """RFC 5321: 254 characters, also in the form that is stored for comparison."""
    assert require_email("  Ada@example.com ") == "Ada@example.com"
    longest = f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 59}.example"
    assert len(longest) <= MAX_EMAIL_LENGTH
    assert require_email(longest) == longest
    with pytest.raises(ValueError, match=r"254|too long"):
        require_email(f"{'a' * 64}@{'.'.join(['b' * 62] * 4)}.example")


@pytest.mark.parametrize(
    ("login", "normalized"), [("Ada@EXAMPLE.com", "ada@example.com"), ("ADA", "ada"), ("A@@b", "a@@b"), ("", "")]
)
def test_a_login_is_compared_as_what_it_looks_like(login: str, normalized: str) -> None:
    assert normalize_login(login) == normalized


@given(st.emails())
def test_normalising_an_address_again_changes_nothing(email: str) -> None:
    try:
        once = normalize_email(email)
    except ValueError:  # special-use domains and the like
        return
    assert normalize_email(once) == once
    assert normalize_email(once.upper()) == once or not once.isascii()


def check_idempotent(text: str) -> None:
    once = normalize_username(text)
    assert normalize_username(once) == once


@given(st.text(max_size=40))
def test_normalising_a_name_again_changes_nothing(text: str) -> None:
    check_idempotent(text)


@pytest.mark.parametrize("text", ["ǰ", "ΐ", "ﬀ", "İ", "ẞ", "\u0345", "ᾳ", "\u1e9e\u0301", "Ⅷ", "\u017f", "K", "\u03f4"])
def test_normalising_odd_letters_again_changes_nothing(text: str) -> None:
    check_idempotent(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ADA", "ada"),
        ("Straße", "STRASSE"),
        ("ﬁn", "FIN"),
        ("Ⅷ", "viii"),
        ("é", "e\u0301"),
        ("\uff41\uff44\uff41", "Ada"),
    ],
)
def test_names_that_look_the_same_are_the_same(one: str, other: str) -> None:
    assert normalize_username(one) == normalize_username(other)


def test_nothing_but_text_is_text() -> None:
    values: list[Any] = [None, 1, ["x"]]
    for value in values:
        with pytest.raises(ValidationError):
            TypeAdapter(SafeStr).validate_python(value)

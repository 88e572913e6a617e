"""Secrets that people and machines keep: recognised by form, by checksum and by tag, before any query."""

import hashlib
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.auth.secret_texts import SecretText, SecretTextCodec, pattern_of
from app.core.ids import new_id
from app.core.settings import BACKEND_DIR
from tests.support import SECRET_KEY

CODEC = SecretTextCodec("pat", SecretStr(SECRET_KEY))
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def new() -> SecretText:
    return CODEC.new(new_id())


def with_checksum(body: str) -> str:
    """What anyone can do: the checksum of any text, as documented for secret scanners."""
    number, text = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        text = ALPHABET[digit] + text
    return body + text


def test_a_secret_is_what_scanners_look_for() -> None:
    """K1: prefix, id, secret and checksum, all of a fixed length; the checksum can be computed by anyone."""
    for secret in (new() for _ in range(100)):
        assert re.fullmatch(pattern_of("pat"), secret.text)
        assert re.fullmatch(r"pat_[0-9A-Za-z]{22}_[0-9A-Za-z]{60}", secret.text)
        assert secret.text == with_checksum(secret.text[:-6])


@pytest.mark.parametrize("page", ["docs/accounts.md", "../SECURITY.md"])
def test_scanners_find_the_form_where_people_look_for_it(page: str) -> None:
    """K1: the documented expressions are those that hold."""
    text = (BACKEND_DIR / page).read_text(encoding="utf-8")
    assert f"`{pattern_of('pat')}`" in text
    assert f"`{pattern_of('sas')}`" in text


def test_a_secret_is_recognised_with_its_id_and_digest() -> None:
    id_ = new_id()
    secret = CODEC.new(id_)
    assert secret.id == id_
    assert secret.digest == hashlib.sha256(secret.text.encode()).digest()
    assert CODEC.decode(secret.text) == secret
    assert CODEC.is_ours(secret.text)
    assert CODEC.new(id_).text != secret.text  # the random part is new each time
    assert secret.text not in repr(secret)


def test_no_character_can_be_changed() -> None:
    text = new().text
    for place in range(len(text)):
        for other in ("0", "z", "_", "-", " ", "é", "\n"):
            changed = text[:place] + other + text[place + 1 :]
            assert changed == text or CODEC.decode(changed) is None, (place, other)


def test_a_right_checksum_is_not_enough() -> None:
    """Whoever makes up a token with its checksum is refused by the tag, without the database."""
    first, second = new().text, new().text
    _, id_digits, rest = first.split("_")
    made_up = [
        f"pat_{id_digits}_{'A' * 54}",
        f"pat_{id_digits}_{second.split('_')[2][:54]}",
        f"pat_{second.split('_')[1]}_{rest[:54]}",
        f"pat_{'0' * 22}_{rest[:54]}",
        f"pat_{'z' * 22}_{rest[:54]}",  # a number too large for an id
        f"pat_{id_digits}_{'z' * 54}",
    ]
    for body in made_up:
        text = with_checksum(body)
        assert CODEC.has_form(text)
        assert CODEC.decode(text) is None


@pytest.mark.parametrize("change", ["{} ", " {}", "{}\n", "\n{}", "{}\x00", "{}=", "\ufeff{}", "{}x", "Bearer {}"])
def test_nothing_around_it_is_forgiven(change: str) -> None:
    assert CODEC.decode(change.format(new().text)) is None


def test_look_alike_digits_are_none() -> None:
    """`\\d` and `str.isalnum` would let digits of other scripts pass."""
    text = new().text
    for other in ("\uff11", "\u0663", "\uff21", "\uff5a", "\U0001d7ce"):
        assert CODEC.decode(text[:-1] + other) is None
        assert not CODEC.has_form(text[:10] + other + text[11:])


def test_no_kind_is_good_for_another() -> None:
    """Neither under its own prefix nor with the other's put before it, nor under another SECRET_KEY."""
    other = SecretTextCodec("sas", SecretStr(SECRET_KEY))
    text = new().text
    assert other.decode(text) is None
    assert not other.is_ours(text)
    assert other.decode(with_checksum(text[:-6].replace("pat_", "sas_"))) is None
    assert SecretTextCodec("pat", SecretStr(SECRET_KEY[::-1])).decode(text) is None


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert CODEC.decode(text) is None
    assert CODEC.decode(f"pat_{text}") is None


def test_an_oversize_text_is_refused_at_once() -> None:
    assert CODEC.decode("pat_" + "A" * 3_000_000) is None
    assert CODEC.decode("pat_" * 1_000_000) is None

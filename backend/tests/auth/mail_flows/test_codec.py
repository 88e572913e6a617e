"""The texts of one-time tokens: recognised without the database, for one purpose each."""

import itertools
import re
from collections import Counter

import pytest
from pydantic import SecretStr

from app.auth.one_time_tokens.codec import OneTimeTokenCodec
from app.auth.one_time_tokens.types import LIFETIMES, TokenPurpose
from app.auth.secret_texts import SecretTextCodec, pattern_of
from app.core.ids import new_id
from tests.support import SECRET_KEY

CODEC = OneTimeTokenCodec(SecretStr(SECRET_KEY))


@pytest.mark.parametrize("purpose", TokenPurpose)
def test_a_token_is_the_same_each_time_it_is_derived(purpose: TokenPurpose) -> None:
    """A mail that is tried again has the same link, and the database need not hold it."""
    id_ = new_id()
    text = CODEC.token(purpose, id_)
    assert text == CODEC.token(purpose, id_)
    assert CODEC.id_of(text, [purpose]) == id_
    assert CODEC.id_of(text, TokenPurpose) == id_
    assert re.fullmatch(pattern_of("mot"), text)
    assert id_.hex not in text


def test_a_token_is_for_one_purpose() -> None:
    """Purpose confusion: no token passes for one of another purpose, though it names the same row."""
    id_ = new_id()
    texts = {purpose: CODEC.token(purpose, id_) for purpose in TokenPurpose}
    assert len(set(texts.values())) == len(TokenPurpose)
    for mine, other in itertools.permutations(TokenPurpose, 2):
        assert CODEC.id_of(texts[mine], [other]) is None
    assert CODEC.id_of(texts[TokenPurpose.INVITATION], []) is None


def test_a_forgery_is_recognised_without_the_database() -> None:
    """Each character counts; so do the key, the length and the kind."""
    text = CODEC.token(TokenPurpose.RESET_PASSWORD, new_id())
    for position, character in enumerate(text):
        other = "b" if character == "a" else "a"
        assert CODEC.id_of(text[:position] + other + text[position + 1 :], TokenPurpose) is None
    stranger = OneTimeTokenCodec(SecretStr("another-random-key-8Zr1Lx7Vb2Ny5Tc9qWm4"))
    foreign_kind = SecretTextCodec("pat", SecretStr(SECRET_KEY)).new(new_id()).text
    made_up = SecretTextCodec("mot", SecretStr(SECRET_KEY)).new(new_id()).text
    for forgery in ("", "mot_", text[:-1], f"{text} ", f"{text}\n", text.upper(), text * 2, "\0", "mot_é", "mot_" * 999,
                    stranger.token(TokenPurpose.RESET_PASSWORD, new_id()), foreign_kind, made_up):  # fmt: skip
        assert CODEC.id_of(forgery, TokenPurpose) is None


def test_codes_have_six_digits_and_no_favourites() -> None:
    """R8: derived from the row and its purpose, spread evenly, leading zeros kept."""
    codes = [CODEC.code(TokenPurpose.VERIFY_EMAIL, new_id()) for _ in range(5000)]
    assert all(re.fullmatch(r"\d{6}", code) for code in codes)
    first_digits = Counter(code[0] for code in codes)
    assert len(first_digits) == 10
    assert max(first_digits.values()) < 650  # 500 are expected; this is seven standard deviations
    id_ = new_id()
    assert CODEC.is_code(CODEC.code(TokenPurpose.VERIFY_EMAIL, id_), TokenPurpose.VERIFY_EMAIL, id_)
    assert len({CODEC.code(purpose, id_) for purpose in TokenPurpose}) > 1
    assert not CODEC.is_code("", TokenPurpose.VERIFY_EMAIL, id_)
    assert not CODEC.is_code("１２３４５６", TokenPurpose.VERIFY_EMAIL, id_)  # noqa: RUF001


def test_every_purpose_has_a_lifetime() -> None:
    assert LIFETIMES.keys() == set(TokenPurpose)

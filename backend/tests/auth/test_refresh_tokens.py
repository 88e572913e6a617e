"""Refresh tokens: only what the service wrote is read, and what it stores cannot be presented (F1, F4, F7)."""

import base64
import string
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.auth.errors import InvalidGrantError
from app.auth.refresh_tokens import RefreshToken, RefreshTokenCodec

CODEC = RefreshTokenCodec(SecretStr("k7Q2mZx9Lr4Tn8Vb1Wc6Yd3Hf5Jg0Ps-"))
OTHER = RefreshTokenCodec(SecretStr("another-7Q2mZx9Lr4Tn8Vb1Wc6Yd3Hf"))
SESSION_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
TOKEN = CODEC.first(SESSION_ID)
TEXT = CODEC.encode(TOKEN)


def is_refused(text: str) -> bool:
    try:
        CODEC.decode(text)
    except InvalidGrantError as error:
        return error.detail is None and error.__cause__ is None
    return False


def test_a_token_is_read_as_it_was_written() -> None:
    assert TEXT.startswith(f"rt1.{SESSION_ID}.1.")
    assert CODEC.decode(TEXT) == TOKEN
    assert len(TOKEN.secret) == 32


@given(st.uuids(), st.integers(min_value=1, max_value=2**31 - 1), st.binary(min_size=32, max_size=32))
def test_every_token_survives_the_round_trip(session_id: UUID, generation: int, secret: bytes) -> None:
    token = RefreshToken(session_id, generation, secret)
    assert CODEC.decode(CODEC.encode(token)) == token


def test_first_tokens_are_random() -> None:
    assert CODEC.first(SESSION_ID).secret != CODEC.first(SESSION_ID).secret


def test_the_successor_is_the_same_for_everyone_who_comes_with_the_token() -> None:
    first, again = CODEC.successor(TOKEN), CODEC.successor(CODEC.decode(TEXT))
    assert first == again
    assert (first.session_id, first.generation) == (SESSION_ID, 2)
    assert first.secret != TOKEN.secret
    assert CODEC.successor(first).secret != first.secret


def test_successors_depend_on_key_session_generation_and_secret() -> None:
    variants = {
        CODEC.successor(TOKEN).secret,
        OTHER.successor(TOKEN).secret,
        CODEC.successor(RefreshToken(uuid4(), 1, TOKEN.secret)).secret,
        CODEC.successor(RefreshToken(SESSION_ID, 2, TOKEN.secret)).secret,
        CODEC.successor(RefreshToken(SESSION_ID, 1, bytes(32))).secret,
    }
    assert len(variants) == 5


@given(st.integers(min_value=0, max_value=len(TEXT) - 1), st.characters())
def test_every_changed_character_is_refused(position: int, character: str) -> None:
    changed = TEXT[:position] + character + TEXT[position + 1 :]
    assert changed == TEXT or is_refused(changed)


def test_every_change_within_the_alphabet_is_refused() -> None:
    alphabet = string.ascii_letters + string.digits + "-_.=+/ "
    for position, original in enumerate(TEXT):
        for character in alphabet:
            assert character == original or is_refused(TEXT[:position] + character + TEXT[position + 1 :])


@given(st.integers(min_value=0, max_value=len(TEXT)), st.text(min_size=1, max_size=3))
def test_every_insertion_is_refused(position: int, inserted: str) -> None:
    assert is_refused(TEXT[:position] + inserted + TEXT[position:])


@pytest.mark.parametrize("length", range(len(TEXT)))
def test_every_truncation_is_refused(length: int) -> None:
    assert is_refused(TEXT[:length])


@given(st.text(max_size=200))
def test_any_text_is_refused(text: str) -> None:
    assert is_refused(text)


PREFIX, SID, GENERATION, SECRET, TAG = TEXT.split(".")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{PREFIX}.{uuid4()}.{GENERATION}.{SECRET}.{TAG}", id="another session"),
        pytest.param(f"{PREFIX}.{SID}.2.{SECRET}.{TAG}", id="another generation"),
        pytest.param(f"{PREFIX}.{SID}.01.{SECRET}.{TAG}", id="leading zero"),
        pytest.param(f"{PREFIX}.{SID}.+1.{SECRET}.{TAG}", id="plus sign"),
        pytest.param(f"{PREFIX}.{SID}.\N{ARABIC-INDIC DIGIT ONE}.{SECRET}.{TAG}", id="foreign digit"),
        pytest.param(f"{PREFIX}.{SID.upper()}.1.{SECRET}.{TAG}", id="upper-case session"),
        pytest.param(f"{PREFIX}.{SID.replace('-', '')}.1.{SECRET}.{TAG}", id="session without hyphens"),
        pytest.param(f"{PREFIX}.{SID}.1.{SECRET}=.{TAG}", id="padded secret"),
        pytest.param(f"{PREFIX}.{SID}.1.{SECRET}.{TAG}==", id="padded tag"),
        pytest.param(f"{PREFIX}.{SID}.1.{SECRET}.", id="empty tag"),
        pytest.param(f"{PREFIX}.{SID}.1.{SECRET}", id="no tag"),
        pytest.param(f"{TEXT}.{TAG}", id="six parts"),
        pytest.param(f"rt2.{SID}.1.{SECRET}.{TAG}", id="another version"),
        pytest.param(f" {TEXT}", id="leading space"),
        pytest.param(f"{TEXT}\n", id="trailing newline"),
        pytest.param(f"{PREFIX}.{SID}.{'9' * 5000}.{SECRET}.{TAG}", id="enormous generation"),
        pytest.param(
            "rt1.0199c2a4-\N{HORIZONTAL ELLIPSIS}.1.\N{HORIZONTAL ELLIPSIS}", id="the example in the documentation"
        ),
        pytest.param(f"{PREFIX}.{SID}.1.\N{HORIZONTAL ELLIPSIS}.{TAG}", id="secret beyond ASCII"),
        pytest.param(f"{PREFIX}.{SID}.1.{SECRET}.\N{HORIZONTAL ELLIPSIS}", id="tag beyond ASCII"),
        pytest.param("\ud800" * 20, id="lone surrogates"),
        pytest.param("x" * 3_000_000, id="3 MB"),
        pytest.param("", id="empty"),
        pytest.param("eyJhbGciOiJFUzI1NiJ9.e30.c2ln", id="a JWT"),
    ],
)
def test_forged_and_garbled_tokens_are_refused(text: str) -> None:
    assert is_refused(text)


def test_a_token_of_another_key_is_refused() -> None:
    assert is_refused(OTHER.encode(TOKEN))


def test_the_stored_digest_cannot_be_presented() -> None:
    digest = CODEC.digest(TOKEN)
    assert len(digest) == 32
    assert digest not in TEXT.encode()
    for form in (base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), digest.hex(), digest.decode("latin-1")):
        assert is_refused(form)
        assert is_refused(f"rt1.{SESSION_ID}.1.{form}.{TAG}")
    stolen = RefreshToken(SESSION_ID, 1, digest)
    assert CODEC.digest(stolen) != digest


def test_digests_differ_by_session_generation_and_secret() -> None:
    variants = {
        CODEC.digest(token)
        for token in (
            TOKEN,
            CODEC.successor(TOKEN),
            RefreshToken(uuid4(), 1, TOKEN.secret),
            RefreshToken(SESSION_ID, 2, TOKEN.secret),
        )
    }
    assert len(variants) == 4
    assert CODEC.digest(CODEC.decode(TEXT)) == CODEC.digest(TOKEN)


def test_the_secret_does_not_show_in_the_representation() -> None:
    assert repr(TOKEN.secret) not in repr(TOKEN)
    assert "secret" not in repr(TOKEN)

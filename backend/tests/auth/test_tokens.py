"""Access tokens: what is issued, how long it lives, and the keys behind it (T2, T6, T7)."""

import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from pydantic import SecretStr

from app.auth import tokens
from app.auth.tokens import (
    AccessTokenCodec,
    SigningKey,
    UnknownKeyError,
    decrypt_private_key,
    encrypt_private_key,
)
from app.auth.types import AccessClaims
from tests.auth.forgery import (
    HS_KEY,
    KEY,
    NOW,
    OLD_KEY,
    SECRET,
    SESSION_ID,
    START,
    STRANGE_KEY,
    USER_ID,
    ManualClock,
    assert_refused,
    b64,
    es256,
    forge,
    issue,
    make_codec,
    payload,
    private_part,
    unb64,
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def codec(clock: ManualClock) -> AccessTokenCodec:
    return make_codec(clock)


GOOD = forge()
PRIVATE = private_part(KEY)


# --- what is issued


@pytest.mark.parametrize("key", [KEY, HS_KEY], ids=["ES256", "HS256"])
def test_an_issued_token_says_what_it_should(clock: ManualClock, key: SigningKey) -> None:
    codec = make_codec(clock, key, OLD_KEY)
    issued = issue(codec)
    head, body, signature = issued.token.split(".")
    assert json.loads(unb64(head)) == {"alg": key.algorithm, "kid": key.kid, "typ": "at+jwt"}
    said = json.loads(unb64(body))
    assert said == payload(exp=NOW + issued.expires_in, jti=said["jti"])
    assert len(unb64(signature)) == (64 if key is KEY else 32)
    assert codec.verify(issued.token) == issued.claims
    assert issued.claims == AccessClaims(
        iss="merit",
        aud="merit-api",
        sub=USER_ID,
        client_id="web",
        exp=NOW + issued.expires_in,
        iat=NOW,
        jti=said["jti"],
        sid=SESSION_ID,
        ver=3,
        scope=frozenset({"profile:read", "profile:write"}),
        acr="aal1",
        amr=("pwd",),
        auth_time=NOW - 60,
        kid=key.kid,
    )


def test_issued_tokens_differ_and_their_lives_are_spread(codec: AccessTokenCodec) -> None:
    issued = [issue(codec) for _ in range(100)]
    lives = {token.expires_in for token in issued}
    assert all(570 <= life <= 630 for life in lives)
    assert len(lives) > 10
    assert len({token.claims.jti for token in issued}) == 100
    assert codec.longest_life_seconds == 660


def test_a_token_lives_as_long_as_promised_and_the_leeway(codec: AccessTokenCodec, clock: ManualClock) -> None:
    cached, uncached = issue(codec), issue(codec)
    codec.verify(cached.token)
    clock.advance(min(cached.expires_in, uncached.expires_in) + 29)
    codec.verify(cached.token)
    codec.verify(uncached.token)
    clock.advance(62)
    assert_refused(codec, cached.token)
    assert_refused(codec, uncached.token)


def test_nothing_can_be_issued_or_verified_before_there_are_keys(clock: ManualClock) -> None:
    codec = AccessTokenCodec(issuer="merit", audience="merit-api", lifetime_seconds=600, clock=clock)
    with pytest.raises(RuntimeError):
        issue(codec)
    with pytest.raises(UnknownKeyError):
        codec.verify(GOOD)


# --- keys in motion, and the cache


class CountingKey:
    """Stands in the place of a key object and counts the signatures that are checked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        original = type(KEY.public).verify

        def verify(key: Any, message: bytes, signature: bytes) -> bool:
            self.count += 1
            return bool(original(key, message, signature))

        monkeypatch.setattr(type(KEY.public), "verify", verify)


def test_a_signature_is_checked_once(codec: AccessTokenCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = CountingKey(monkeypatch)
    token = issue(codec).token
    assert codec.verify(token) is codec.verify(token)
    assert counter.count == 1
    assert_refused(codec, forge(sign=es256(STRANGE_KEY)))
    assert counter.count == 3  # refusals are not remembered


def test_a_retiring_key_still_verifies_and_a_removed_one_ends_its_tokens(codec: AccessTokenCodec) -> None:
    before = issue(codec).token
    codec.verify(before)
    codec.set_keys(OLD_KEY, [KEY])
    after = issue(codec).token
    codec.verify(before)
    codec.verify(after)
    codec.set_keys(OLD_KEY, [])
    assert_refused(codec, before)
    with pytest.raises(UnknownKeyError):
        codec.verify(before)
    codec.verify(after)


def test_setting_the_same_keys_again_keeps_the_cache(codec: AccessTokenCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    token = issue(codec).token
    codec.verify(token)
    counter = CountingKey(monkeypatch)
    codec.set_keys(SigningKey.from_private_pem(KEY.private_pem()), [OLD_KEY])
    codec.verify(token)
    assert counter.count == 0


def test_the_cache_is_bounded_and_forgets_the_oldest(codec: AccessTokenCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_MAX_CACHED_TOKENS", 3)
    issued = [issue(codec).token for _ in range(5)]
    for token in issued:
        codec.verify(token)
    assert len(codec._verified) == 3
    counter = CountingKey(monkeypatch)
    for token in issued[2:]:
        codec.verify(token)
    assert counter.count == 0
    codec.verify(issued[0])
    assert counter.count == 1


def test_the_cache_drops_what_has_expired(codec: AccessTokenCodec, clock: ManualClock) -> None:
    for _ in range(5):
        codec.verify(issue(codec).token)
    clock.advance(661)
    codec.verify(issue(codec).token)
    assert len(codec._verified) == 1


# --- keys


def test_the_key_id_is_the_thumbprint_of_the_public_key() -> None:
    """The example of RFC 7638 section 3.1 is an RSA key, so the thumbprint is computed here from its definition."""
    numbers = PRIVATE.public_key().public_numbers()
    x, y = b64(numbers.x.to_bytes(32, "big")), b64(numbers.y.to_bytes(32, "big"))
    text = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    assert KEY.kid == b64(hashlib.sha256(text.encode()).digest())
    assert KEY.public_jwk() == {
        "kty": "EC", "crv": "P-256", "x": x, "y": y, "alg": "ES256", "use": "sig", "kid": KEY.kid,
    }  # fmt: skip


def test_keys_survive_the_way_through_pem() -> None:
    again = SigningKey.from_private_pem(KEY.private_pem())
    assert (again.kid, again.algorithm, again.private_pem()) == (KEY.kid, "ES256", KEY.private_pem())
    assert make_codec(ManualClock(), OLD_KEY, again).verify(GOOD).sub == USER_ID


def test_other_kinds_of_keys_are_refused() -> None:
    p384 = ec.generate_private_key(ec.SECP384R1())
    strong = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for private in (p384, strong):
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with pytest.raises(ValueError, match=r"curve"):
            SigningKey.from_private_pem(pem)
    with pytest.raises(ValueError, match=r"."):
        SigningKey.from_private_pem(b"no key")


def test_the_symmetric_key_is_never_published() -> None:
    assert HS_KEY.kid == SigningKey.hs256(SECRET).kid
    assert HS_KEY.kid != SigningKey.hs256(SecretStr("another-secret-of-thirty-two-byte")).kid
    for publish in (HS_KEY.public_jwk, HS_KEY.private_pem):
        with pytest.raises(ValueError, match="no "):
            publish()


def test_private_keys_are_encrypted_at_rest() -> None:
    encrypted = encrypt_private_key(KEY, SECRET)
    assert encrypted != encrypt_private_key(KEY, SECRET)
    assert b"PRIVATE" not in encrypted
    assert decrypt_private_key(encrypted, KEY.kid, SECRET).private_pem() == KEY.private_pem()


@pytest.mark.parametrize("damage", ["secret", "kid", "bit", "short", "empty"])
def test_a_damaged_or_foreign_private_key_is_refused(damage: str) -> None:
    encrypted = encrypt_private_key(KEY, SECRET)
    kid, secret = KEY.kid, SECRET
    match damage:
        case "secret":
            secret = SecretStr("another-secret-of-thirty-two-byte")
        case "kid":
            kid = OLD_KEY.kid
        case "bit":
            encrypted = encrypted[:-1] + bytes([encrypted[-1] ^ 1])
        case "short":
            encrypted = encrypted[:20]
        case _:
            encrypted = b""
    with pytest.raises(ValueError, match="SECRET_KEY"):
        decrypt_private_key(encrypted, kid, secret)


def test_keys_do_not_show_in_representations() -> None:
    assert "prepared" not in repr(HS_KEY)
    assert repr(KEY) == f"SigningKey(kid='{KEY.kid}', algorithm='ES256')"


def test_a_token_of_a_longer_life_than_the_setting_is_refused(codec: AccessTokenCodec) -> None:
    """Where the setting was lowered, revocations are not remembered as long as older tokens would live."""
    assert codec.verify(forge(body=payload(exp=NOW + 630))).exp == NOW + 630
    assert_refused(codec, forge(body=payload(exp=NOW + 631)))


def test_a_token_does_not_outlive_its_session(codec: AccessTokenCodec) -> None:
    ends_at = START + timedelta(seconds=45)
    issued = codec.issue(
        user_id=USER_ID,
        session_id=SESSION_ID,
        client_id="web",
        auth_version=3,
        scope=["profile:read"],
        amr=["pwd"],
        acr="aal1",
        auth_time=START,
        not_after=ends_at,
    )
    assert (issued.expires_in, issued.claims.exp) == (45, int(ends_at.timestamp()))

"""The attacker's list: every forged, foreign or garbled access token is refused alike (T1, T2)."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from app.auth.errors import InvalidTokenError
from app.auth.refresh_tokens import RefreshTokenCodec
from app.auth.tokens import (
    AccessTokenCodec,
    UnknownKeyError,
)
from tests.auth.forgery import (
    DROP,
    HS_KEY,
    HS_RAW,
    KEY,
    NOW,
    OLD_KEY,
    SECRET,
    SESSION_ID,
    SIGN,
    STRANGE_KEY,
    USER_ID,
    ManualClock,
    Signer,
    assert_refused,
    b64,
    es256,
    forge,
    header,
    hs256,
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


def test_the_forger_of_these_tests_can_make_a_good_token(codec: AccessTokenCodec) -> None:
    assert codec.verify(forge()).sub == USER_ID


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "application/at+JWT"])
def test_the_type_is_compared_without_case(codec: AccessTokenCodec, typ: str) -> None:
    assert codec.verify(forge(header(typ=typ))).sid == SESSION_ID


# --- T1: headers

PRIVATE = private_part(KEY)
PUBLIC_PEM = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
PUBLIC_DER = PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
UNSIGNED: Signer = lambda _message: b""  # noqa: E731


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("sign", [UNSIGNED, SIGN], ids=["unsigned", "signed"])
def test_the_algorithm_none_is_refused(codec: AccessTokenCodec, alg: str, sign: Signer) -> None:
    assert_refused(codec, forge(header(alg=alg), sign=sign))


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize(
    "secret",
    [PUBLIC_PEM, PUBLIC_PEM.rstrip(), PUBLIC_DER, b"", KEY.kid.encode()],
    ids=["pem", "stripped pem", "der", "empty", "kid"],
)
def test_a_public_key_is_no_hmac_secret(codec: AccessTokenCodec, alg: str, secret: bytes) -> None:
    assert_refused(codec, forge(header(alg=alg), sign=hs256(secret)))


@pytest.mark.parametrize(
    ("head", "sign"),
    [
        pytest.param(header(alg="HS256"), hs256(HS_RAW), id="the HMAC key under the kid of the EC key"),
        pytest.param(header(alg="ES256", kid=HS_KEY.kid), SIGN, id="the EC key under the kid of the HMAC key"),
        pytest.param(header(alg="ES256", kid=HS_KEY.kid), hs256(HS_RAW), id="HMAC named ES256"),
        pytest.param(header(alg="HS256", kid=HS_KEY.kid), hs256(SECRET.get_secret_value().encode()), id="raw secret"),
        pytest.param(header(alg="HS256", kid=HS_KEY.kid), hs256(PUBLIC_PEM), id="public key as that HMAC key"),
        pytest.param(header(alg="ES384"), SIGN, id="ES384"),
        pytest.param(header(alg="es256"), SIGN, id="lower case"),
        pytest.param(header(alg="RS256"), SIGN, id="RS256"),
        pytest.param(header(alg=["ES256"]), SIGN, id="list of algorithms"),
        pytest.param(header(alg=DROP), SIGN, id="no alg"),
        pytest.param(header(alg=None), SIGN, id="null alg"),
        pytest.param(header(kid=OLD_KEY.kid), SIGN, id="another known kid"),
        pytest.param(header(), es256(OLD_KEY), id="signed by another known key"),
        pytest.param(header(), es256(STRANGE_KEY), id="signed by a strange key"),
        pytest.param(header(kid=DROP), SIGN, id="no kid"),
        pytest.param(header(kid=None), SIGN, id="null kid"),
        pytest.param(header(kid={"a": 1}), SIGN, id="kid is an object"),
        pytest.param(header(kid=[]), SIGN, id="kid is a list"),
        pytest.param(header(kid=7), SIGN, id="kid is a number"),
        pytest.param(header(jku="https://evil.example/jwks.json"), SIGN, id="jku"),
        pytest.param(header(x5u="https://evil.example/cert.pem"), SIGN, id="x5u"),
        pytest.param(header(x5c=["MII="]), SIGN, id="x5c"),
        pytest.param(header(jwk=STRANGE_KEY.public_jwk()), es256(STRANGE_KEY), id="own key in jwk"),
        pytest.param(header(jwk=KEY.public_jwk()), SIGN, id="our key in jwk"),
        pytest.param(header(crit=["exp"]), SIGN, id="crit"),
        pytest.param(header(crit=[]), SIGN, id="empty crit"),
        pytest.param(header(b64=False), SIGN, id="b64"),
        pytest.param(header(zip="DEF"), SIGN, id="zip"),
        pytest.param(header(typ="JWT"), SIGN, id="JWT"),
        pytest.param(header(typ="id+jwt"), SIGN, id="id token"),
        pytest.param(header(typ="rt+jwt"), SIGN, id="another type"),
        pytest.param(header(typ=" at+jwt"), SIGN, id="space in type"),
        pytest.param(header(typ=DROP), SIGN, id="no type"),
        pytest.param(header(typ=None), SIGN, id="null type"),
        pytest.param(header(typ=["at+jwt"]), SIGN, id="list of types"),
    ],
)
def test_forged_headers_are_refused(codec: AccessTokenCodec, head: dict[str, Any], sign: Signer) -> None:
    assert_refused(codec, forge(head, sign=sign))


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"1", b'"x"', b"null", b"\xff\xfe", b"[" * 5000, b'{"a":NaN}'])
def test_headers_that_are_no_object_are_refused(codec: AccessTokenCodec, raw: bytes) -> None:
    assert_refused(codec, forge(raw))


@pytest.mark.parametrize(
    "kid",
    [STRANGE_KEY.kid, "", "../../../dev/null", "' OR 1=1 --", "k" * 4000],
    ids=["strange", "empty", "path", "sql", "long"],
)
def test_an_unknown_key_is_told_apart_for_our_code_only(codec: AccessTokenCodec, kid: str) -> None:
    token = forge(header(kid=kid), sign=es256(STRANGE_KEY))
    with pytest.raises(UnknownKeyError):
        codec.verify(token)
    assert_refused(codec, token)


def test_an_unknown_key_in_a_token_of_the_wrong_type_causes_no_reload(codec: AccessTokenCodec) -> None:
    with pytest.raises(InvalidTokenError) as caught:
        codec.verify(forge(header(kid="unknown", typ="JWT")))
    assert type(caught.value) is InvalidTokenError


# --- T1: claims


RIGHT_TYPES: dict[str, type] = {"jti": str, "client_id": str, "scope": str, "acr": str, "amr": list, "ver": int}
WRONG_VALUES = [DROP, None, True, 1.5, {}, [1], [], "1", "", -1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name}={'missing' if value is DROP else repr(value)}")
        for name in payload()
        for value in WRONG_VALUES
        if type(value) is not RIGHT_TYPES.get(name) or value == [1]
    ],
)
def test_a_claim_that_is_missing_or_of_another_type_is_refused(
    codec: AccessTokenCodec, name: str, value: object
) -> None:
    assert_refused(codec, forge(body=payload(**{name: value})))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"exp": NOW - 30}, id="expired"),
        pytest.param({"exp": 0}, id="expired in 1970"),
        pytest.param({"exp": float(NOW + 600)}, id="exp is a float"),
        pytest.param({"exp": str(NOW + 600)}, id="exp is a string"),
        pytest.param({"exp": 10**30}, id="enormous exp"),
        pytest.param({"auth_time": 10**18}, id="auth_time beyond every calendar"),
        pytest.param({"nbf": NOW + 31}, id="not yet valid"),
        pytest.param({"iat": NOW + 31}, id="issued in the future"),
        pytest.param({"iss": "merit2"}, id="another issuer"),
        pytest.param({"iss": "MERIT"}, id="issuer in capitals"),
        pytest.param({"iss": ["merit"]}, id="issuers"),
        pytest.param({"aud": "other-api"}, id="another audience"),
        pytest.param({"aud": "merit-api2"}, id="longer audience"),
        pytest.param({"aud": ["other-api", "third"]}, id="audiences without us"),
        pytest.param({"aud": ["merit-api", 7]}, id="audiences of mixed types"),
        pytest.param({"aud": {"merit-api": 1}}, id="audience is an object"),
        pytest.param({"sub": "jonas"}, id="subject is no id"),
        pytest.param({"sid": "7"}, id="session is no id"),
        pytest.param({"amr": "pwd"}, id="amr is a string"),
        pytest.param({"scope": ["profile:read"]}, id="scope is a list"),
    ],
)
def test_wrong_claims_are_refused(codec: AccessTokenCodec, changes: dict[str, Any]) -> None:
    assert_refused(codec, forge(body=payload(**changes)))


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"7", b"\xff", b"[" * 5000, b'{"exp":NaN}', b"{}"])
def test_payloads_that_are_no_claims_are_refused(codec: AccessTokenCodec, raw: bytes) -> None:
    assert_refused(codec, forge(body=raw))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - 29},
        {"nbf": NOW + 30},
        {"iat": NOW + 30},
        {"aud": ["other-api", "merit-api"]},
        {"scope": ""},
        {"amr": []},
        {"further": {"claim": 1}},
    ],
    ids=repr,
)
def test_claims_within_the_rules_are_accepted(codec: AccessTokenCodec, changes: dict[str, Any]) -> None:
    assert codec.verify(forge(body=payload(**changes))).aud == "merit-api"


# --- T1: form

GOOD = forge()
HEAD, BODY, SIGNATURE = GOOD.split(".")


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("..", id="empty segments"),
        pytest.param(f"{HEAD}.{BODY}", id="2 segments"),
        pytest.param(f"{HEAD}.{BODY}.", id="no signature"),
        pytest.param(f"{GOOD}.{SIGNATURE}", id="4 segments"),
        pytest.param(f"{HEAD}..{BODY}.{SIGNATURE}.", id="5 segments (JWE)"),
        pytest.param(f"{GOOD}=", id="padding"),
        pytest.param(f" {GOOD}", id="leading space"),
        pytest.param(f"{GOOD}\n", id="trailing newline"),
        pytest.param(GOOD.replace("_", "/").replace("-", "+") + "+", id="another alphabet"),
        pytest.param(f"{HEAD}.{BODY}.{b64(bytes(64))}", id="zero signature"),
        pytest.param(f"{HEAD}.{BODY}.{SIGNATURE[:-4]}", id="signature cut short"),
        pytest.param(f"{HEAD}.{BODY}.A", id="impossible length of base64"),
        pytest.param(f"A.{BODY}.{SIGNATURE}", id="impossible length of the header"),
        pytest.param(f"{HEAD}.{b64(json.dumps(payload(ver=4)).encode())}.{SIGNATURE}", id="changed claims"),
        pytest.param(f"{HEAD}.{BODY}.{b64(PRIVATE.sign(b'x', ec.ECDSA(hashes.SHA256())))}", id="DER signature"),
        pytest.param(GOOD + "é", id="not ASCII"),
        pytest.param(GOOD[:9] + "\ud800" + GOOD[10:], id="lone surrogate"),
        pytest.param("\x00" * 20, id="NUL"),
        pytest.param("x" * 3_000_000, id="3 MB"),
        pytest.param("é" * 3_000_000, id="3 MB of non-ASCII"),
        pytest.param(forge(body=payload(jti="x" * 7000)), id="well signed but above 8 KiB"),
        pytest.param(RefreshTokenCodec(SECRET).encode(RefreshTokenCodec(SECRET).first(SESSION_ID)), id="refresh token"),
    ],
)
def test_malformed_tokens_are_refused(codec: AccessTokenCodec, token: str) -> None:
    assert_refused(codec, token)


def test_every_other_way_to_write_the_signature_is_refused(codec: AccessTokenCodec) -> None:
    """The last character carries spare bits: 16 spellings decode to the same bytes, one is right."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    same = [c for c in alphabet if unb64(SIGNATURE[:-1] + c) == unb64(SIGNATURE) and c != SIGNATURE[-1]]
    assert len(same) == 15
    for character in same:
        assert_refused(codec, GOOD[:-1] + character)


CODEC = make_codec(ManualClock())


@given(st.integers(min_value=0, max_value=len(GOOD) - 1), st.characters())
def test_every_changed_character_is_refused(position: int, character: str) -> None:
    changed = GOOD[:position] + character + GOOD[position + 1 :]
    if changed != GOOD:
        assert_refused(CODEC, changed)


@given(st.text())
def test_any_text_is_refused(text: str) -> None:
    assert_refused(CODEC, text)


@given(st.dictionaries(st.sampled_from(list(payload())), st.none() | st.floats() | st.booleans(), min_size=1))
def test_no_signed_payload_raises_anything_else(changes: dict[str, Any]) -> None:
    assert_refused(CODEC, forge(body=payload(**changes)))

"""Which passwords are refused, why, and without ever repeating them (P1, P3, P5, R6)."""

import contextlib
import time
import tracemalloc

import pytest

from app.auth.errors import WeakPasswordError
from app.auth.password_policy import PasswordPolicy, PasswordRule, _common_passwords

POLICY = PasswordPolicy(8)
GOOD = "vexed-otter-juggles-9-plums"
EMAIL = "Jonas.Quill@mail.example"
USERNAME = "QuillJonas"


def refusal(password: str, policy: PasswordPolicy = POLICY, **known: str) -> WeakPasswordError:
    with pytest.raises(WeakPasswordError) as caught:
        policy.check(password, **known)
    return caught.value


def rules(error: WeakPasswordError) -> list[str]:
    return [entry["type"] for entry in error.extra["errors"]]


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "Tr0ub4dor&3",
        "пароль-для-выдры",
        "鍵盤の上の猫が寝ている",
        "zy9#Kd02",
        "x9" * 3 + "kq",
        f"{'vexed-otter-' * 21}9pl!",
        "marianne849302847561",
    ],
)
def test_good_passwords_are_accepted(password: str) -> None:
    POLICY.check(password, email=EMAIL, username=USERNAME)
    POLICY.check(password)


@pytest.mark.parametrize("min_length", [8, 15])
def test_the_minimum_is_a_setting(min_length: int) -> None:
    policy = PasswordPolicy(min_length)
    text = "k4#wZ9!pQ2x@vB7m"
    policy.check(text[:min_length])
    error = refusal(text[: min_length - 1], policy)
    assert rules(error) == [PasswordRule.TOO_SHORT]
    assert str(min_length) in str(error)


def test_characters_are_counted_not_bytes() -> None:
    assert rules(refusal("ключ-7!")) == [PasswordRule.TOO_SHORT]
    POLICY.check("ключ-7!я")


def test_256_characters_are_accepted_and_257_refused() -> None:
    text = (GOOD * 10)[:257]
    POLICY.check(text[:256])
    assert rules(refusal(text)) == [PasswordRule.TOO_LONG]


def test_ten_megabytes_are_refused_without_being_read() -> None:
    enormous = "aé" * 5_000_000
    start = time.perf_counter()
    enormous.casefold()
    reading = time.perf_counter() - start
    start = time.perf_counter()
    assert rules(refusal(enormous, email=EMAIL)) == [PasswordRule.TOO_LONG]
    assert time.perf_counter() - start < reading


@pytest.mark.parametrize(
    "password",
    [
        "password1",
        "PassWord1",
        "Qwerty123",
        "trustno1",
        "1q2w3e4r5t",
        "Welcome2024",
        "!!dragon!!",
        "\N{FULLWIDTH LATIN SMALL LETTER P}assword1",
    ],
)
def test_common_passwords_are_refused(password: str) -> None:
    assert PasswordRule.COMMON in rules(refusal(password))


@pytest.mark.parametrize(
    "password",
    [
        "aaaaaaaaaaaa",
        "aaaaaaAb",
        "abababababab",
        "abcdabcdab",
        "abcdefghijkl",
        "LKJIHGFEDCBA",
        "абвгдежзийк",
        "12345678901234567890",
        "0987654321098765",
        "qwertyuiopasdf",
        "poiuytrewq",
        "qwertzuiop",
        "\N{GRINNING FACE}" * 12,
    ],
)
def test_repetitions_and_sequences_are_refused(password: str) -> None:
    assert PasswordRule.TOO_SIMPLE in rules(refusal(password))


@pytest.mark.parametrize(
    "password",
    ["jonas.quill-77", "xxJONAS.QUILLxx", "Jonas.Quill@mail.example", "my jonas.quill@mail.example"],
)
def test_the_address_is_refused(password: str) -> None:
    assert PasswordRule.CONTAINS_EMAIL in rules(refusal(password, email=EMAIL))
    POLICY.check(password)


@pytest.mark.parametrize("password", ["quilljonas", "the-QUILLJONAS-key"])
def test_the_user_name_is_refused(password: str) -> None:
    assert PasswordRule.CONTAINS_USERNAME in rules(refusal(password, username=USERNAME))
    POLICY.check(password)


def test_short_names_may_occur_by_chance() -> None:
    POLICY.check("the-bob-and-boat", email="bob@mail.example", username="bob")
    assert rules(refusal("Bob@mail.example1", email="bob@mail.example")) == [PasswordRule.CONTAINS_EMAIL]


def test_the_product_name_is_refused() -> None:
    assert rules(refusal("my-MERIT-account")) == [PasswordRule.CONTAINS_PRODUCT_NAME]
    other = PasswordPolicy(8, product_name="Acme")
    other.check("my-MERIT-account")
    assert rules(refusal("my-acme-account", other)) == [PasswordRule.CONTAINS_PRODUCT_NAME]


def test_all_broken_rules_are_named_in_the_form_of_the_validator() -> None:
    error = refusal("merit-quilljonas", email="other@mail.example", username=USERNAME)
    assert error.extra["rule"] == PasswordRule.CONTAINS_USERNAME
    assert type(error.extra["rule"]) is str
    assert error.extra["errors"] == [
        {"loc": ["body", "password"], "type": "contains_username", "msg": "must not contain your user name"},
        {
            "loc": ["body", "password"],
            "type": "contains_product_name",
            "msg": "must not contain the name of this service",
        },
    ]
    assert error.detail == "The password must not contain your user name."


def test_the_field_can_be_named() -> None:
    with pytest.raises(WeakPasswordError) as caught:
        POLICY.check("short", field="new_password")
    assert caught.value.extra["errors"][0]["loc"] == ["body", "new_password"]


@pytest.mark.parametrize("password", ["password1", "a" * 300, "qw7!", "jonas.quill-77", "my-merit-password-1"])
def test_the_refusal_never_repeats_the_password(password: str) -> None:
    error = refusal(password, email=EMAIL)
    assert password not in f"{error} {error!r} {error.detail} {error.extra} {error.headers}"


@pytest.mark.parametrize("password", ["abc\x00defg-hij", "abc\ud800defg-hij", "\n\n\nvexed-otter", "\ufdfa" * 256])
def test_strange_text_never_breaks_the_check(password: str) -> None:
    with contextlib.suppress(WeakPasswordError):
        POLICY.check(password, email="\ud800@mail.example", username="\x00name")


def test_the_list_is_small_and_quick() -> None:
    _common_passwords.cache_clear()
    tracemalloc.start()
    try:
        start = time.perf_counter()
        assert _common_passwords().count("\n") == 30_001
        assert time.perf_counter() - start < 1
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()

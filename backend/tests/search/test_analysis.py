"""How texts become words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.ids import new_id
from app.core.text import require_safe_text
from app.search.analysis import MAX_DOCUMENT_TERMS, analyse, beginnings, term_of, tokens, unpack
from app.search.models import MAX_POSITIONS, MAX_TERM_LENGTH
from app.search.query_language import MAX_EXCLUDED, MAX_PREFIXES, MAX_QUERY_LENGTH, MAX_WORDS, parse
from app.search.types import MAX_BODY_LENGTH, Document, Language, Target

ENGLISH = Language.ENGLISH


def words(text: str, **options: Any) -> list[str]:
    return [token.term for token in tokens(text, ENGLISH, **options)]


def document(body: str, **members: Any) -> Document:
    return Document(Target("text", new_id()), body, **members)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Running, runs; RAN", ["run", "run", "ran"]),
        ("getUserName", ["getusernam", "get", "user", "name"]),
        ("user_name __init__ ____", ["usernam", "user", "name", "init"]),
        ("HTTPServer2 iPhone", ["httpserver2", "http", "server2", "iphon", "i", "phone"]),
        ("sha256 3.14", ["sha256", "3", "14"]),
        ("\uff21\uff22\uff23 ﬁne Straße café", ["abc", "fine", "strass", "cafe"]),
        ("cafe\u0301 हिन्दी", ["cafe", "हिन्दी"]),
        ("東京都Python", ["東京", "京都", "都", "python"]),
        ("ｶﾞ", ["ガ"]),
        ("ภาษา", ["ภา", "าษ", "ษา", "า"]),
        ("İstanbul", ["i̇stanbul"]),
        ("\ufdfa", ["صلىاللهعليهوسلم"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("getUserName", ["getusernam"]), ("東京都", ["東京", "京都"]), ("東", ["東"]), ("__", [])],
)
def test_a_query_asks_for_whole_names_and_pairs(text: str, expected: list[str]) -> None:
    assert words(text, is_query=True) == expected


def test_parts_of_a_name_stand_where_they_are() -> None:
    found = {token.term: (token.position, token.start, token.end) for token in tokens("a getUserName b", ENGLISH)}
    assert found == {
        "a": (0, 0, 1), "getusernam": (1, 2, 13), "get": (1, 2, 5), "user": (2, 5, 9), "name": (3, 9, 13),
        "b": (4, 14, 15),
    }  # fmt: skip


def test_only_words_of_letters_and_of_usual_length_have_stems() -> None:
    assert term_of("runnings2", ENGLISH) == "runnings2"
    assert term_of("r" * 40 + "ings", ENGLISH) == "r" * 40 + "ings"


def test_marks_of_other_scripts_stay() -> None:
    assert term_of("й", ENGLISH) == "й"


@given(st.text(max_size=300))
def test_any_text_has_words_that_can_be_stored(text: str) -> None:
    for token in tokens(text, ENGLISH):
        assert len(token.term) <= MAX_TERM_LENGTH
        assert token.term == token.term.strip()
        assert 0 <= token.start < token.end <= len(text)
        assert token.term == require_safe_text(token.term)


@given(st.text(alphabet="ab中文 \"-*_.A'é", max_size=80))
def test_any_text_is_a_query_within_bounds(text: str) -> None:
    query = parse(text * 10, ENGLISH)
    assert len(query.words) <= MAX_WORDS
    assert len(query.prefixes) <= MAX_PREFIXES
    assert len(query.excluded) + sum(map(len, query.excluded_phrases)) <= MAX_EXCLUDED
    assert {word for phrase in query.phrases for word, _ in phrase} <= set(query.words)
    assert query.is_empty == (not query.words and not query.prefixes)


def test_a_query_has_an_end() -> None:
    query = parse(" ".join(f"word{number}" for number in range(100)), ENGLISH)
    assert query.words == tuple(f"word{number}" for number in range(MAX_WORDS))
    assert "late" not in parse("x" * MAX_QUERY_LENGTH + " late", ENGLISH).words
    assert parse("aa* bb* cc*", ENGLISH).prefixes == ("aa", "bb")
    assert len(parse(" ".join(f"-a{n}" for n in range(20)) + ' -"b c"', ENGLISH).excluded) == MAX_EXCLUDED


def test_a_phrase_keeps_its_distances() -> None:
    query = parse('"call getUserName now"', ENGLISH)
    assert query.phrases == ((("call", 0), ("getusernam", 1), ("now", 4)),)
    assert query.is_strict
    assert not parse("ada@example.com", ENGLISH).is_strict


def test_two_dashes_are_an_option_and_one_excludes() -> None:
    assert parse("--verbose", ENGLISH).words == ("verbos",)
    assert parse("a -b", ENGLISH).excluded == ("b",)
    assert parse("a - b", ENGLISH).excluded == ()
    assert parse("a-b", ENGLISH).excluded == ()


def test_frequencies_places_and_lengths() -> None:
    analysis = analyse(document("one two one", title="One more"))
    assert analysis.length == 5
    one = analysis.terms["one"]
    assert (one.frequency, unpack(one.positions)) == (4, (0, 10, 12)), "a word of the title counts twice"


def test_what_a_document_may_hold_is_bounded() -> None:
    many = analyse(document(" ".join(f"word{number}" for number in range(3_000))))
    assert len(many.terms) == many.length == MAX_DOCUMENT_TERMS
    often = analyse(document("very " * 60_000)).terms["veri"]
    assert (often.frequency, len(unpack(often.positions))) == (MAX_BODY_LENGTH // 5, MAX_POSITIONS)
    assert analyse(document("aB" * 60_000)).length <= 2**16
    long = analyse(document("x" * 5_000)).terms
    assert list(long) == ["x" * MAX_TERM_LENGTH]


def test_frequencies_fit_their_column() -> None:
    """A run of Han characters has a pair a character."""
    assert analyse(document("中" * MAX_BODY_LENGTH)).terms["中中"].frequency == 2**15 - 1


def test_a_beginning_stands_for_shorter_stems_too() -> None:
    assert beginnings("Authenticat", ENGLISH) == ("authenticat", ["authent"])
    assert beginnings("cat", ENGLISH) == ("cat", [])

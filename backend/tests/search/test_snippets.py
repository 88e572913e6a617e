"""The stretch of a text that shows why it was found."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.search import analysis
from app.search.analysis import analyse, term_of, tokens, unpack
from app.search.snippets import SNIPPET_LENGTH, highlight, snippet
from app.search.types import Document, Language, Segment, Target

ENGLISH = Language.ENGLISH
EVERYWHERE = range(100_000)


def marked(segments: list[Segment]) -> str:
    """The segments as one text, matches in brackets."""
    return "".join(f"[{segment.text}]" if segment.is_match else segment.text for segment in segments)


@pytest.mark.parametrize(
    ("text", "terms", "expected"),
    [
        ("The fox and the foxes", {"fox"}, "The [fox] and the [foxes]"),
        ("nothing", {"fox"}, "nothing"),
        ("", {"fox"}, ""),
        ("getUserName()", {"getusernam", "user"}, "[getUserName]()"),
        ("getUserName()", {"user"}, "get[User]Name()"),
        ("東京都に", {"東京", "京都"}, "[東京都]に"),
        ("foxfox fox,fox", {"fox"}, "foxfox [fox],[fox]"),
        ("<b>fox</b>", {"fox"}, "<b>[fox]</b>"),
        ("a\n\n  fox\ttail", {"fox"}, "a [fox] tail"),
    ],
)
def test_short_texts_are_shown_whole(text: str, terms: set[str], expected: str) -> None:
    assert marked(snippet(text, terms, ENGLISH, EVERYWHERE)) == expected
    assert marked(highlight(text, terms, ENGLISH)) == expected


def test_long_texts_are_cut_at_words_around_the_matches() -> None:
    text = "lorem ipsum " * 50 + "the lazy fox sleeps " + "dolor sit " * 50
    shown = marked(snippet(text, {"fox", "sleep"}, ENGLISH, EVERYWHERE))
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert "lazy [fox] [sleeps] dolor" in shown
    assert set(shown[1:-1].split()) <= {"lorem", "ipsum", "the", "lazy", "[fox]", "[sleeps]", "dolor", "sit"}


def test_the_stretch_with_the_most_different_words_is_shown() -> None:
    filler = "filler " * 60
    text = f"apple apple apple {filler} apple pear {filler} pear"
    assert marked(snippet(text, {"appl", "pear"}, ENGLISH, EVERYWHERE)).count("[") == 2
    assert "[apple] [pear]" in marked(snippet(text, {"appl", "pear"}, ENGLISH, EVERYWHERE))


def test_a_match_longer_than_a_snippet_is_cut() -> None:
    word = "x" * 1_000
    (segment, cut) = snippet(word, {"x" * 64}, ENGLISH, EVERYWHERE)
    assert (segment, cut.text) == (Segment("x" * SNIPPET_LENGTH, is_match=True), "…")


def test_scripts_without_spaces_are_cut_anywhere() -> None:
    segments = snippet("中" * 500 + "東京" + "中" * 500, {"東京"}, ENGLISH, EVERYWHERE)
    assert [segment.text for segment in segments if segment.is_match] == ["東京"]


def test_of_very_many_matches_the_first_ones_are_looked_at() -> None:
    assert marked(snippet("fox " * 10_000 + "hen", {"fox", "hen"}, ENGLISH, EVERYWHERE)).startswith("[fox] [fox]")


@given(st.text(max_size=600), st.sets(st.sampled_from(["a", "b", "中中", "0", "é"]), max_size=4))
def test_a_snippet_is_a_piece_of_the_text(text: str, terms: set[str]) -> None:
    segments = snippet(text, terms, ENGLISH, EVERYWHERE)
    shown = "".join(segment.text for segment in segments if segment.text != "…")
    assert len(shown) <= SNIPPET_LENGTH
    assert all(segment.text for segment in segments)
    assert "".join(shown.replace("…", "").split()) in "".join(text.replace("…", "").split())
    assert "".join(segment.text for segment in highlight(text, terms, ENGLISH)).split() == text.split()


@pytest.mark.parametrize("word", ["dying", "Skies", "YES", "É", "ÉTÉ", "Ünlü", "ugly", "ﬁne", "x_y", "getName", "東京"])
def test_a_word_is_found_where_the_index_has_it(word: str) -> None:
    for language in Language:
        text = f"getUserName {word} after"
        term = next(tokens(word, language)).term
        places = unpack(analyse(Document(Target("text", UUID(int=1)), text, language=language)).terms[term].positions)
        assert marked(snippet(text, {term}, language, places)) == f"getUserName [{word}] after"


def test_of_a_long_text_only_the_words_at_these_places_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []

    def note(word: str, language: Language) -> str:
        looked_up.append(word)
        return term_of(word, language)

    monkeypatch.setattr(analysis, "term_of", note)
    text = " ".join(f"fox{letter}ing" for letter in "abcdefghij" * 700) + " fox camelCase"
    assert "[fox] camel[Case]" in marked(snippet(text, {"fox", "case"}, ENGLISH, {7_000, 7_002}))
    assert looked_up == ["fox", "Case"]

"""Titles made from the first words."""

import pytest

from app.chat.titles import MAX_HEURISTIC_TITLE_LENGTH, title_from


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hello", "Hello"),
        ("  What is recursion?  And why?", "What is recursion?"),
        ("# A heading\nand text", "A heading"),
        ("- one\n- two", "one"),
        ("```python\nprint(1)\n```\nWhat does this print?", "What does this print?"),
        ("```python\nprint(1)", None),
        ("   \n\t ", None),
        ("", None),
        ("a\tb\u00a0c", "a b c"),
        ("version 1.5 is out", "version 1.5 is out"),
        ("x" * 100, "x" * (MAX_HEURISTIC_TITLE_LENGTH - 1) + "…"),
        ("word " * 20, "word " * 10 + "word…"),
    ],
)
def test_the_first_sentence_without_code_and_markup(text: str, title: str | None) -> None:
    assert title_from(text) == title


def test_it_is_short_however_long_the_text_is() -> None:
    for text in ("a " * 100_000, "`" * 100_000, "#" * 100_000, "\n" * 100_000, "```" * 50_000):
        title = title_from(text)
        assert title is None or len(title) <= MAX_HEURISTIC_TITLE_LENGTH

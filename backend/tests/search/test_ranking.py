"""The order of what is found: that of a straightforward reference, on every database."""

import random
from itertools import pairwise
from typing import Any

import pytest

from app.auth.guests.types import Owner
from app.core.errors import InvalidCursorError
from app.search import repository, retrieval
from app.search.types import Document
from tests.search.reference import bm25
from tests.search.stage import Library

WORDS = [f"w{letter}{number}" for letter in "aou" for number in range(12)]
MILLIONTHS = 5  # what rounding may add up to


def corpus(count: int = 60) -> list[list[str]]:
    """Texts of 1 to 60 words, the first of which are the most common."""
    chance = random.Random(4)  # noqa: S311 - not for secrets
    weights = [1 / (rank + 1) for rank in range(len(WORDS))]
    return [chance.choices(WORDS, weights, k=chance.randint(1, 60)) for _ in range(count)]


@pytest.mark.parametrize("words", [["wa0"], ["wa3"], ["wo11"], ["wa0", "wa1"], ["wa2", "wa5", "wo1"], ["wu2", "wa0"]])
async def test_the_order_is_that_of_the_reference(library: Library, owner: Owner, words: list[str]) -> None:
    texts = corpus()
    await library.put(await library.guest(), "wa0 wa1 noise")
    targets = await library.put(owner, *(" ".join(text) for text in texts))
    scores = bm25(words, texts)
    having = [number for number, text in enumerate(texts) if set(words) <= set(text)]
    expected = sorted(having, key=lambda number: (-round(scores[number], 4), -number))
    found = await library.query(owner, " ".join(words), limit=100)
    assert not found.is_any
    assert len(expected) > 2, "the example says something"
    numbers = [targets.index(hit.target) for hit in found.items]
    assert set(numbers) == set(expected)
    for hit, number in zip(found.items, numbers, strict=True):
        assert hit.score == pytest.approx(scores[number], abs=MILLIONTHS * 1e-6)
    for earlier, later in pairwise(numbers):
        assert scores[earlier] > scores[later] - MILLIONTHS * 1e-6
    assert numbers[:3] == expected[:3]


async def test_some_of_the_words_rank_by_the_reference_too(library: Library, owner: Owner) -> None:
    texts = corpus()
    targets = await library.put(owner, *(" ".join(text) for text in texts))
    words = ["wa4", "wu11", "wo9", "wu7", "wo7", "unheard"]
    scores = bm25(words, texts)
    found = await library.query(owner, " ".join(words), limit=100)
    assert found.is_any
    numbers = [targets.index(hit.target) for hit in found.items]
    assert set(numbers) == {number for number, score in enumerate(scores) if score}
    for earlier, later in pairwise(numbers):
        assert scores[earlier] > scores[later] - MILLIONTHS * 1e-6


async def test_words_of_the_title_count_double(library: Library, owner: Owner) -> None:
    (title,) = await library.put(owner, "other things", title="lisp")
    (body,) = await library.put(owner, "lisp and other things")
    assert await library.find(owner, "lisp") == [title.id, body.id]
    assert await library.find(owner, '"lisp other"') == [], "title and body are not one sentence"


async def test_of_equals_the_newest_comes_first(library: Library, owner: Owner) -> None:
    targets = await library.put(owner, *["same words"] * 5)
    assert await library.find(owner, "same") == [target.id for target in reversed(targets)]


async def pages(library: Library, owner: Owner, text: str, limit: int) -> list[Any]:
    """Everything, page by page."""
    found, position = [], None
    while True:
        page = await library.query(owner, text, limit=limit, after=position)
        assert len(page.items) <= limit
        found += [(hit.target.id, hit.score) for hit in page.items]
        position = page.next_position
        if position is None:
            return found


@pytest.mark.parametrize(
    "text",
    [
        "wa0",
        "wa0 wa1",
        "wa0 wo9 wu7 unheard",
        '"wa0 wa1"',
        "wa*",
        "wa* wo*",
        "wa0 -wa1",
        '-"wa0 wa0" wa1',
        'wa* -"wa0 wa1"',
    ],
)
async def test_pages_are_the_whole_in_pieces(library: Library, owner: Owner, text: str) -> None:
    await library.put(owner, *(" ".join(one) for one in corpus()))
    whole = [(hit.target.id, hit.score) for hit in (await library.query(owner, text, limit=100)).items]
    assert len(whole) > 6
    assert await pages(library, owner, text, 3) == whole


async def test_pages_fit_together_while_documents_come(library: Library, owner: Owner) -> None:
    texts = [" ".join(one) for one in corpus()]
    targets = await library.put(owner, *texts)
    first = await library.query(owner, "wa0", limit=10)
    await library.put(owner, *["wa0 filler " + "more " * number for number in range(30)])
    rest = await library.query(owner, "wa0", limit=100, after=first.next_position)
    old = [hit.target for hit in (*first.items, *rest.items) if hit.target in targets]
    assert len(old) == len(set(old)) == sum("wa0" in text.split() for text in texts)


@pytest.mark.parametrize("position", [[], [1, 2, 0], [1, 2, 0, 0.3, 0.01], [1, 2, 0, 0.3, 0.01, 1.0, 1.0]])
async def test_a_position_of_another_search_is_refused(library: Library, owner: Owner, position: list[float]) -> None:
    await library.put(owner, "word")
    with pytest.raises(InvalidCursorError):
        await library.query(owner, "word", after=position)


async def test_of_very_common_words_the_newest_documents_are_ranked(
    library: Library, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval, "MAX_CANDIDATES", 5)
    targets = await library.put(owner, *["common"] * 10, *["common seldom"] * 3, *["filler"] * 10)
    assert set(await library.find(owner, "common")) == {target.id for target in targets[8:13]}
    await library.put(owner, *["common"] * 20)
    assert set(await library.find(owner, "seldom common")) == {target.id for target in targets[10:13]}
    assert len(await library.find(owner, "common filler unheard")) == 2, "one of each"


async def test_statistics_are_those_of_the_newest_documents(
    library: Library, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await library.put(owner, *["old word"] * 10)
    texts = [["word", "x"], ["word"], ["y"], ["z", "z"]]
    await library.put(owner, *(" ".join(text) for text in texts))
    monkeypatch.setattr(repository, "COUNTED_DOCUMENTS", 4)
    found = await library.query(owner, "word", limit=2)
    assert [hit.score for hit in found.items] == pytest.approx(sorted(bm25(["word"], texts))[:1:-1], abs=1e-5)


async def test_an_empty_index_is_no_division_by_zero(library: Library, owner: Owner) -> None:
    assert (await library.query(owner, "word")).items == ()
    await library.put_documents(owner, [Document((await library.put(owner, "word"))[0], "...")])
    assert list((await library.query(owner, "word")).items) == []

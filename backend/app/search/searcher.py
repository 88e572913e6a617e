"""One search in one collection."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sqlalchemy import Row

from app.core.errors import InvalidCursorError
from app.search.analysis import beginnings, body_begin, unpack
from app.search.query_language import Phrase, Query
from app.search.ranking import SCORE_UNIT, Weights, weigh
from app.search.repository import SearchRepository
from app.search.retrieval import Position, Search, Terms, phrase_words
from app.search.snippets import highlight, snippet
from app.search.types import Hit, Hits, Language, Target


@dataclass(frozen=True, slots=True)
class _Begin:
    """Where a page begins, and by what weights the first one was ranked: they move with every new document."""

    weights: Weights
    is_any: bool
    position: Position | None

    @classmethod
    def read(cls, values: Sequence[Any], words: int) -> "_Begin":
        try:
            score, document_id, is_any, base, slope, *weights = values
        except ValueError:
            raise InvalidCursorError from None
        if len(weights) != words:
            raise InvalidCursorError
        return cls(Weights(tuple(weights), base, slope), bool(is_any), (int(score), int(document_id)))

    def after(self, row: Row[Any]) -> list[float]:
        weights = self.weights
        return [row.score, row.document_id, int(self.is_any), weights.base, weights.slope, *weights.words]


class Searcher:
    """Finds what a query asks for in one collection."""

    def __init__(self, repository: SearchRepository, collection_id: int, query: Query, language: Language) -> None:
        self._repository = repository
        self._collection_id = collection_id
        self._query = query
        self._language = language

    async def page(self, limit: int, after: Sequence[Any] | None) -> Hits:
        """See `SearchIndex.query`."""
        wanted = await self._wanted()
        if not any(wanted):
            return Hits(items=(), next_position=None, is_any=False)
        begin = await self._first(wanted) if after is None else _Begin.read(after, len(wanted))
        search = self._search(wanted, begin.weights)
        rows: Sequence[Row[Any]] = []
        if not begin.is_any and all(wanted):
            rows = await self._repository.having_all(search, begin.position, limit + 1)
            rows = _with_phrases(search, rows, limit + 1)
        if not rows and after is None and self._may_have_any(len(wanted)):
            begin = replace(begin, is_any=True)
        if begin.is_any:
            rows = await self._repository.having_any(search, begin.position, limit + 1)
        items = await self._hits(rows[:limit], {term for terms in wanted for term in terms})
        return Hits(items, begin.after(rows[limit - 1]) if len(rows) > limit else None, begin.is_any)

    async def _wanted(self) -> list[Terms]:
        """What a document must have, each as the words that it may be; none where a prefix stands for none."""
        wanted: list[Terms] = [(word,) for word in self._query.words]
        for prefix in self._query.prefixes:
            beginning, stems = beginnings(prefix, self._language)
            wanted.append((*stems, *await self._repository.expand(self._collection_id, beginning)))
        return wanted

    async def _first(self, wanted: Sequence[Terms]) -> _Begin:
        statistics = await self._repository.statistics(self._collection_id)
        frequencies = await self._repository.frequencies(self._collection_id, wanted, statistics.since)
        return _Begin(weigh(statistics, frequencies), is_any=False, position=None)

    def _search(self, wanted: Sequence[Terms], weights: Weights) -> Search:
        """The rarest word first: its documents are the candidates."""
        known = (pair for pair in zip(wanted, weights.words, strict=True) if pair[0])
        pairs = sorted(known, key=lambda pair: -pair[1])
        return Search(
            collection_id=self._collection_id,
            wanted=tuple(terms for terms, _ in pairs),
            weights=replace(weights, words=tuple(weight for _, weight in pairs)),
            excluded=self._query.excluded,
            phrases=self._query.phrases,
            excluded_phrases=self._query.excluded_phrases,
        )

    def _may_have_any(self, count: int) -> bool:
        return count > 1 and not self._query.is_strict and not self._query.excluded_phrases

    async def _hits(self, rows: Sequence[Row[Any]], terms: set[str]) -> list[Hit]:
        ids = [row.document_id for row in rows]
        documents = await self._repository.documents(self._collection_id, ids)
        positions = await self._repository.positions(self._collection_id, ids, terms)
        return await asyncio.to_thread(_shown, rows, documents, positions, terms)


def _shown(
    rows: Sequence[Row[Any]],
    documents: Mapping[int, Row[Any]],
    positions: Mapping[int, Sequence[bytes]],
    terms: Collection[str],
) -> list[Hit]:
    """The hits of a page. It may take a second where texts are long, and so has a thread of its own."""
    return [
        Hit(
            target=Target(document.target_type, document.target_id),
            group_id=document.group_id,
            score=row.score / SCORE_UNIT,
            title=highlight(document.title, terms, document.language),
            snippet=snippet(document.body, terms, document.language, _places(document, positions.get(document.id, ()))),
            updated_at=document.updated_at,
        )
        for row in rows
        if (document := documents.get(row.document_id)) is not None
    ]


def _places(document: Row[Any], positions: Sequence[bytes]) -> frozenset[int]:
    """Positions of a document as those in its body."""
    begin = body_begin(document.title, document.language)
    return frozenset(place - begin for packed in positions for place in unpack(packed))


def _with_phrases(search: Search, rows: Sequence[Row[Any]], limit: int) -> Sequence[Row[Any]]:
    """The first rows with every phrase and without the excluded ones."""
    words = phrase_words(search)
    if not words:
        return rows
    columns = {word: number for number, word in enumerate(words, start=2)}
    fitting = (
        row
        for row in rows
        if all(_has(phrase, row, columns) for phrase in search.phrases)
        and not any(_has(phrase, row, columns) for phrase in search.excluded_phrases)
    )
    return list(islice(fitting, limit))


def _has(phrase: Phrase, row: Row[Any], columns: dict[str, int]) -> bool:
    """Whether the words stand in their order somewhere."""
    starts: set[int] | None = None
    for word, distance in phrase:
        places = row[columns[word]]
        if places is None:
            return False
        here = {place - distance for place in unpack(places)}
        starts = here if starts is None else starts & here
        if not starts:
            return False
    return True

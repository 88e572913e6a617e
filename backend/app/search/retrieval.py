"""The selects that find and rank, a part of the repository: the database scores, so that only a page leaves it.

Each walks along the postings of one word, the newest documents first, at most `MAX_CANDIDATES` of them, and looks the
other words up by the key: however common words are, and however much an owner has, the work is bounded.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    FromClause,
    Select,
    and_,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)

from app.search.models import SearchPosting
from app.search.query_language import Phrase
from app.search.ranking import Weights

MAX_CANDIDATES = 2_500
"""Documents that one search ranks: the newest of those with its rarest word."""

_LAST = "\U0010ffff"  # no word goes on with it
_POSTINGS = SearchPosting.__table__

Terms = tuple[str, ...]
"""What counts as one word of a query: the word, or all that a prefix stands for."""

Position = tuple[int, int]
"""The score and the id of the last document of a page."""


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for in one collection. `weights` are those of `wanted`, the rarest of which comes first."""

    collection_id: int
    wanted: tuple[Terms, ...]
    weights: Weights
    excluded: tuple[str, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    excluded_phrases: tuple[Phrase, ...] = ()


def phrase_words(search: Search) -> list[str]:
    """The words of all phrases, each once, in the order of their columns."""
    return list(dict.fromkeys(word for one in (*search.phrases, *search.excluded_phrases) for word, _ in one))


def having_all(search: Search) -> Select[Any]:
    """`document_id` and `score` of those with every wanted word, and the places of `phrase_words` in each."""
    words, collection_id = phrase_words(search), search.collection_id
    first = _documents_with(collection_id, search.wanted[0], MAX_CANDIDATES, with_places=bool(words))
    source: Any = first
    lists, with_word = [first], {search.wanted[0][0]: first} if len(search.wanted[0]) == 1 else {}
    for terms in search.wanted[1:]:
        if len(terms) == 1:
            lists.append(_POSTINGS.alias())
            with_word[terms[0]] = lists[-1]
            source = source.join(lists[-1], _is_posting(lists[-1], collection_id, terms[0], first.c.document_id))
        else:
            lists.append(_documents_with(collection_id, terms, MAX_CANDIDATES))
            source = source.join(lists[-1], lists[-1].c.document_id == first.c.document_id)
    for word in words:
        if word not in with_word:
            one = with_word[word] = _POSTINGS.alias()
            source = source.outerjoin(one, _is_posting(one, collection_id, word, first.c.document_id))
    score = sum((_score(search, n, one.c.frequency, first.c.length) for n, one in enumerate(lists)), literal(0))
    places = [with_word[word].c.positions.label(f"p{number}") for number, word in enumerate(words)]
    columns = (first.c.document_id, score.label("score"), *places)
    return select(*columns).select_from(source).where(*_exclusions(search, first.c.document_id))


def having_any(search: Search) -> Select[Any]:
    """`document_id` and `score` of those with some of the wanted words; of each word the newest documents count."""
    each = MAX_CANDIDATES // len(search.wanted)
    lists = [_documents_with(search.collection_id, terms, each) for terms in search.wanted]
    parts = union_all(
        *(
            select(one.c.document_id, _score(search, number, one.c.frequency, one.c.length).label("score"))
            for number, one in enumerate(lists)
        )
    ).subquery()
    total = cast(func.sum(parts.c.score), BigInteger)
    found = select(parts.c.document_id, total.label("score")).where(*_exclusions(search, parts.c.document_id))
    return found.group_by(parts.c.document_id)


def words_by_steps(collection_id: int, beginning: str, limit: int) -> Select[Any]:
    """The first words that begin so: from each the next one is looked up."""

    def next_word(*where: ColumnElement[bool]) -> Any:
        word = SearchPosting.term
        is_within = (SearchPosting.collection_id == collection_id, word < beginning + _LAST)
        return select(word).where(*is_within, *where).order_by(word).limit(1).scalar_subquery()

    first = select(next_word(SearchPosting.term >= beginning).label("term"), literal(1).label("number"))
    found = first.cte("found", recursive=True)
    following = select(next_word(SearchPosting.term > found.c.term), found.c.number + 1)
    found = found.union_all(following.where(found.c.term.is_not(None), found.c.number < limit))
    return select(found.c.term).where(found.c.term.is_not(None))


def words_by_groups(collection_id: int, beginning: str, limit: int) -> Select[Any]:
    """The same for MariaDB and MySQL, which skip from group to group of a key, and in steps would not."""
    key = (_POSTINGS.c.collection_id, _POSTINGS.c.term)
    is_within = (key[0] == collection_id, key[1] >= beginning, key[1] < beginning + _LAST)
    return select(*key).where(*is_within).group_by(*key).order_by(*key).limit(limit)


def in_order(found: Select[Any], after: Position | None) -> Select[Any]:
    """The best first, of equals the newest; those behind a position."""
    ranked = found.subquery("ranked")
    score, document_id = ranked.c.score, ranked.c.document_id
    statement = select(*ranked.c).order_by(score.desc(), document_id.desc())
    if after is None:
        return statement
    return statement.where(or_(score < after[0], and_(score == after[0], document_id < after[1])))


def _documents_with(collection_id: int, terms: Terms, limit: int, *, with_places: bool = False) -> FromClause:
    """`document_id`, `frequency` and `length` of the newest documents with a word, or with one of several."""
    if len(terms) == 1:
        return _newest(collection_id, terms[0], limit, with_places=with_places).subquery()
    each = limit // len(terms)
    parts = union_all(*(select(_newest(collection_id, term, each).subquery()) for term in terms)).subquery()
    columns = (
        parts.c.document_id,
        cast(func.sum(parts.c.frequency), BigInteger).label("frequency"),
        func.max(parts.c.length).label("length"),
    )
    return select(*columns).group_by(parts.c.document_id).subquery()


def _newest(collection_id: int, term: str, limit: int, *, with_places: bool = False) -> Select[Any]:
    """A walk along the end of one stretch of the key."""
    postings = _POSTINGS.c
    columns = (postings.document_id, postings.frequency, postings.length)
    return (
        select(*columns, *([postings.positions] if with_places else []))
        .where(postings.collection_id == collection_id, postings.term == term)
        .order_by(postings.document_id.desc())
        .limit(limit)
    )


def _is_posting(one: FromClause, collection_id: int, term: str, document_id: ColumnElement[int]) -> ColumnElement[bool]:
    return and_(one.c.collection_id == collection_id, one.c.term == term, one.c.document_id == document_id)


def _exclusions(search: Search, document_id: ColumnElement[int]) -> list[ColumnElement[bool]]:
    conditions = []
    for word in search.excluded:
        one = _POSTINGS.alias()
        conditions.append(~exists().where(_is_posting(one, search.collection_id, word, document_id)))
    return conditions


def _score(
    search: Search, number: int, frequency: ColumnElement[int], length: ColumnElement[int]
) -> ColumnElement[int]:
    """A word's share of the score (`app.search.ranking`), in whole units."""
    weight, base, slope = (
        _number(value) for value in (search.weights.words[number], search.weights.base, search.weights.slope)
    )
    return cast(weight * frequency / (frequency + base + slope * length), BigInteger)


def _number(value: float) -> ColumnElement[float]:
    return literal(value, Double())

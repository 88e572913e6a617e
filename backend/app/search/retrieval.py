"""The selects that find and rank, a part of the repository: the database scores, so that only a page leaves it.

Each walks along the postings of one word, the newest documents first, at most `MAX_CANDIDATES` of them, and looks the
other words up by the key: however common words are, and however much an owner has, the work is bounded.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Double,
    FromClause,
    Select,
    and_,
    bindparam,
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
_COLLECTION_ID = bindparam("collection_id", type_=_POSTINGS.c.collection_id.type)
_REMEMBERED_SHAPES = 32
"""Statements of searches with as many words, phrases and so on: to put one together takes longer than to run it."""

_REMEMBERED_WORDS = 8
"""Of more words a statement takes megabytes, and whoever searches chooses its shape: it is made anew each time."""

Terms = tuple[str, ...]
"""What counts as one word of a query: the word, or all that a prefix stands for."""

Values = dict[str, Any]
"""The parameters of a statement."""

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


def having_all(search: Search, after: Position | None) -> tuple[Select[Any], Values]:
    """`document_id` and `score` of those with every wanted word, and the places of `phrase_words` in each.

    The best come first, of equals the newest; with `after` those behind it. With the statement come its parameters.
    """
    shape, values = _shape_of(search)
    find = _having_all if is_small(search) else _having_all.__wrapped__
    return find(shape, MAX_CANDIDATES, is_first=after is None), values | _behind(after)


def having_any(search: Search, after: Position | None) -> tuple[Select[Any], Values]:
    """The same of those with some of the wanted words, without places; of each word the newest documents count."""
    shape, values = _shape_of(search)
    find = _having_any if is_small(search) else _having_any.__wrapped__
    return find(shape, MAX_CANDIDATES, is_first=after is None), values | _behind(after)


def is_small(search: Search) -> bool:
    """Whether the statements of a search are worth their memory."""
    words = sum(map(len, search.wanted)) + len(search.excluded) + len(phrase_words(search))
    return words <= _REMEMBERED_WORDS


def _shape_of(search: Search) -> tuple[Search, Values]:
    """The search with a name in place of each word and of each number, and what these names stand for."""
    words = [word for terms in search.wanted for word in terms]
    words += [*search.excluded, *phrase_words(search)]
    names = {word: f"word{number}" for number, word in enumerate(dict.fromkeys(words))}

    def renamed(phrases: tuple[Phrase, ...]) -> tuple[Phrase, ...]:
        return tuple(tuple((names[word], distance) for word, distance in phrase) for phrase in phrases)

    shape = Search(
        collection_id=0,
        wanted=tuple(tuple(names[word] for word in terms) for terms in search.wanted),
        weights=replace(search.weights, words=(0.0,) * len(search.weights.words), base=0.0, slope=0.0),
        excluded=tuple(names[word] for word in search.excluded),
        phrases=renamed(search.phrases),
        excluded_phrases=renamed(search.excluded_phrases),
    )
    values: Values = {name: word for word, name in names.items()}
    values |= {f"weight{number}": weight for number, weight in enumerate(search.weights.words)}
    values |= {"collection_id": search.collection_id, "base": search.weights.base, "slope": search.weights.slope}
    return shape, values


def _behind(after: Position | None) -> Values:
    return {} if after is None else {"after_score": after[0], "after_id": after[1]}


@lru_cache(_REMEMBERED_SHAPES)
def _having_all(shape: Search, candidates: int, *, is_first: bool) -> Select[Any]:
    words = phrase_words(shape)
    first = _documents_with(shape.wanted[0], candidates, with_places=bool(words))
    source: Any = first
    lists, with_word = [first], {shape.wanted[0][0]: first} if len(shape.wanted[0]) == 1 else {}
    for terms in shape.wanted[1:]:
        if len(terms) == 1:
            lists.append(_POSTINGS.alias())
            with_word[terms[0]] = lists[-1]
            source = source.join(lists[-1], _is_posting(lists[-1], terms[0], first.c.document_id))
        else:
            lists.append(_documents_with(terms, candidates))
            source = source.join(lists[-1], lists[-1].c.document_id == first.c.document_id)
    for word in words:
        if word not in with_word:
            one = with_word[word] = _POSTINGS.alias()
            source = source.outerjoin(one, _is_posting(one, word, first.c.document_id))
    score = sum((_score(n, one.c.frequency, first.c.length) for n, one in enumerate(lists)), literal(0))
    places = [with_word[word].c.positions.label(f"p{number}") for number, word in enumerate(words)]
    columns = (first.c.document_id, score.label("score"), *places)
    found = select(*columns).select_from(source).where(*_exclusions(shape, first.c.document_id))
    return _in_order(found, is_first=is_first)


@lru_cache(_REMEMBERED_SHAPES)
def _having_any(shape: Search, candidates: int, *, is_first: bool) -> Select[Any]:
    each = candidates // len(shape.wanted)
    lists = [_documents_with(terms, each) for terms in shape.wanted]
    parts = union_all(
        *(
            select(one.c.document_id, _score(number, one.c.frequency, one.c.length).label("score"))
            for number, one in enumerate(lists)
        )
    ).subquery()
    total = cast(func.sum(parts.c.score), BigInteger)
    found = select(parts.c.document_id, total.label("score")).where(*_exclusions(shape, parts.c.document_id))
    return _in_order(found.group_by(parts.c.document_id), is_first=is_first)


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


def _in_order(found: Select[Any], *, is_first: bool) -> Select[Any]:
    ranked = found.subquery("ranked")
    score, document_id = ranked.c.score, ranked.c.document_id
    statement = select(*ranked.c).order_by(score.desc(), document_id.desc())
    if is_first:
        return statement
    after_score, after_id = (bindparam(name, type_=BigInteger()) for name in ("after_score", "after_id"))
    return statement.where(or_(score < after_score, and_(score == after_score, document_id < after_id)))


def _documents_with(terms: Terms, limit: int, *, with_places: bool = False) -> FromClause:
    """`document_id`, `frequency` and `length` of the newest documents with a word, or with one of several."""
    if len(terms) == 1:
        return _newest(terms[0], limit, with_places=with_places).subquery()
    each = limit // len(terms)
    parts = union_all(*(select(_newest(term, each).subquery()) for term in terms)).subquery()
    columns = (
        parts.c.document_id,
        cast(func.sum(parts.c.frequency), BigInteger).label("frequency"),
        func.max(parts.c.length).label("length"),
    )
    return select(*columns).group_by(parts.c.document_id).subquery()


def _newest(term: str, limit: int, *, with_places: bool = False) -> Select[Any]:
    """A walk along the end of one stretch of the key."""
    postings = _POSTINGS.c
    columns = (postings.document_id, postings.frequency, postings.length)
    return (
        select(*columns, *([postings.positions] if with_places else []))
        .where(postings.collection_id == _COLLECTION_ID, postings.term == _word(term))
        .order_by(postings.document_id.desc())
        .limit(limit)
    )


def _is_posting(one: FromClause, term: str, document_id: ColumnElement[int]) -> ColumnElement[bool]:
    return and_(one.c.collection_id == _COLLECTION_ID, one.c.term == _word(term), one.c.document_id == document_id)


def _word(name: str) -> BindParameter[str]:
    return bindparam(name, type_=_POSTINGS.c.term.type)


def _exclusions(shape: Search, document_id: ColumnElement[int]) -> list[ColumnElement[bool]]:
    conditions = []
    for word in shape.excluded:
        one = _POSTINGS.alias()
        conditions.append(~exists().where(_is_posting(one, word, document_id)))
    return conditions


def _score(number: int, frequency: ColumnElement[int], length: ColumnElement[int]) -> ColumnElement[int]:
    """A word's share of the score (`app.search.ranking`), in whole units."""
    weight, base, slope = (_number(name) for name in (f"weight{number}", "base", "slope"))
    return cast(weight * frequency / (frequency + base + slope * length), BigInteger)


def _number(name: str) -> BindParameter[float]:
    return bindparam(name, type_=Double())

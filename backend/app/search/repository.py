"""The SQL of the index. Every read begins with a collection, which belongs to one owner."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Row,
    Select,
    String,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from app.db.engine import Session
from app.db.upsert import insert_or_keep, insert_or_replace
from app.search import retrieval
from app.search.analysis import Analysis
from app.search.models import SearchCollection, SearchDocument, SearchPosting
from app.search.ranking import Statistics
from app.search.retrieval import Position, Search, Terms
from app.search.types import MAX_BODY_LENGTH, MAX_TITLE_LENGTH, Document, EmbeddingState, Owner, Target

COUNTED_DOCUMENTS = 5_000
"""The newest documents, from which it is learnt how rare words are and how long texts."""

MAX_EXPANSIONS = 16
"""Words that one prefix stands for."""

_POSTINGS_AT_ONCE = 5_000
_COLLECTIONS: Any = SearchCollection.__table__
_DOCUMENTS: Any = SearchDocument.__table__
_POSTINGS: Any = SearchPosting.__table__
_POSTING_COLUMNS = ("collection_id", "term", "document_id", "frequency", "length", "positions")
_DOCUMENT_KEY = ("collection_id", "target_id", "target_type")
_REPLACED = ("group_id", "title", "body", "language", "length", "updated_at", "embedding_state")


def _collection_of(owner: Any) -> Select[Any]:
    is_owned = owner == bindparam("owner_id", type_=owner.type)
    return select(SearchCollection.id).where(is_owned, SearchCollection.domain == bindparam("domain", type_=String()))


def _statistics() -> Select[Any]:
    newest = (
        select(SearchDocument.id, SearchDocument.length)
        .where(SearchDocument.collection_id == bindparam("collection_id", type_=BigInteger()))
        .order_by(SearchDocument.id.desc())
        .limit(bindparam("newest", type_=Integer()))
        .subquery()
    )
    figures: tuple[Any, ...] = (func.count(), func.sum(newest.c.length), func.min(newest.c.id))
    return select(*figures).select_from(newest)


@cache
def _frequencies(words: int) -> Select[Any]:
    is_counted = (
        SearchPosting.collection_id == bindparam("collection_id", type_=BigInteger()),
        SearchPosting.document_id >= bindparam("since", type_=BigInteger()),
    )
    lists = (SearchPosting.term.in_(bindparam(f"terms{number}", expanding=True)) for number in range(words))
    return select(*(select(func.count()).where(*is_counted, is_one).scalar_subquery() for is_one in lists))


# What every search asks is put together once: that takes longer than to run it.
_COLLECTION_OF_USER = _collection_of(SearchCollection.user_id)
_COLLECTION_OF_GUEST = _collection_of(SearchCollection.guest_id)
_STATISTICS = _statistics()
_SOME_DOCUMENTS = select(*_DOCUMENTS.c).where(
    _DOCUMENTS.c.id.in_(bindparam("ids", expanding=True)),
    _DOCUMENTS.c.collection_id == bindparam("collection_id", type_=BigInteger()),
)
_PLACES: Any = select(SearchPosting.document_id, SearchPosting.positions).where(
    SearchPosting.collection_id == bindparam("collection_id", type_=BigInteger()),
    SearchPosting.term.in_(bindparam("terms", expanding=True)),
    SearchPosting.document_id.in_(bindparam("ids", expanding=True)),
)


class SearchRepository:
    """The index within the caller's session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._dialect = session.dialect_name

    async def collection_of(self, owner: Owner, domain: str) -> int | None:
        """The id of what an owner has in a domain; None where that is nothing yet."""
        statement = _COLLECTION_OF_GUEST if owner.user_id is None else _COLLECTION_OF_USER
        rows = await self._session.rows(statement, {"owner_id": owner.user_id or owner.guest_id, "domain": domain})
        return rows[0].id if rows else None

    async def make_collection(self, owner: Owner, domain: str) -> int:
        """The same, made where there is none. Two who make it at once get the same one."""
        found = await self.collection_of(owner, domain)
        if found is not None:
            return found
        values = {"user_id": owner.user_id, "guest_id": owner.guest_id, "domain": domain}
        await self._session.change(insert_or_keep(self._session, SearchCollection), values)
        made = await self.collection_of(owner, domain)
        if made is None:  # pragma: no cover # it is there, or the insert has raised
            raise LookupError("the collection that was just made")
        return made

    async def hold_collection(self, owner: Owner, domain: str) -> int | None:
        """The same as `collection_of`, which nobody adds to before the transaction ends."""
        statement = select(SearchCollection.id).where(_of(owner), SearchCollection.domain == domain)
        rows = await self._session.rows(statement.with_for_update())
        return rows[0].id if rows else None

    async def put(self, collection_id: int, documents: Sequence[tuple[Document, Analysis]], now: datetime) -> None:
        """Store documents of different targets with their words, in place of what stood for these.

        Four statements and one more for each five thousand words.
        """
        rows = [
            {
                "collection_id": collection_id,
                "target_type": document.target.type,
                "target_id": document.target.id,
                "group_id": document.group_id,
                "title": document.title[:MAX_TITLE_LENGTH],
                "body": document.body[:MAX_BODY_LENGTH],
                "language": document.language,
                "length": analysis.length,
                "updated_at": now,
                "embedding_state": EmbeddingState.PENDING,
            }
            for document, analysis in documents
        ]
        statement = insert_or_replace(self._session, SearchDocument, _DOCUMENT_KEY, _REPLACED)
        await self._session.change(statement, rows)
        ids = await self._ids(collection_id, [document.target for document, _ in documents])
        await self._session.change(delete(_POSTINGS).where(_POSTINGS.c.document_id.in_(ids.values())))
        postings = [
            (term, ids[document.target], found.frequency, analysis.length, found.positions)
            for document, analysis in documents
            for term, found in analysis.terms.items()
        ]
        postings.sort()  # neighbours in the key are then written together
        for begin in range(0, len(postings), _POSTINGS_AT_ONCE):
            some = postings[begin : begin + _POSTINGS_AT_ONCE]
            values = [dict(zip(_POSTING_COLUMNS, (collection_id, *posting), strict=True)) for posting in some]
            await self._session.change(insert(_POSTINGS), values)

    async def delete_targets(self, collection_id: int, targets: Collection[Target]) -> int:
        """Remove what stands for these targets; the number of documents."""
        return await self._delete(_is_one_of(collection_id, targets))

    async def delete_groups(self, group_ids: Collection[UUID]) -> int:
        """Remove all that goes with these groups, whoever owns it; the number of documents."""
        return await self._delete(SearchDocument.group_id.in_(group_ids))

    async def move(self, old_id: int, new_id: int) -> None:
        """Make the documents of one collection those of another one, and remove the former."""
        for table in (_DOCUMENTS, _POSTINGS):
            statement = update(table).where(table.c.collection_id == old_id).values(collection_id=new_id)
            await self._session.change(statement)
        await self._session.change(delete(SearchCollection.__table__).where(SearchCollection.id == old_id))

    async def statistics(self, collection_id: int) -> Statistics:
        """How many documents a collection has and how long they are, of its newest `COUNTED_DOCUMENTS`."""
        values = {"collection_id": collection_id, "newest": COUNTED_DOCUMENTS}
        [row] = await self._session.rows(_STATISTICS, values)
        count, total, since = tuple(row)
        return Statistics(count, int(total or 0) / max(count, 1), since or 0)

    async def frequencies(self, collection_id: int, wanted: Sequence[Terms], since: int) -> list[int]:
        """In how many documents each is that `statistics` counts; at most as many as it counts."""
        values = {f"terms{number}": list(terms) for number, terms in enumerate(wanted)}
        statement = _frequencies(len(wanted))
        [row] = await self._session.rows(statement, {**values, "collection_id": collection_id, "since": since})
        return list(row)

    async def expand(self, collection_id: int, beginning: str) -> list[str]:
        """The first words of a collection that begin so, each looked up, however many documents it is in."""
        find = retrieval.words_by_groups if self._dialect == "mysql" else retrieval.words_by_steps
        return [row.term for row in await self._session.rows(find(collection_id, beginning, MAX_EXPANSIONS))]

    async def having_all(self, search: Search, after: Position | None, limit: int) -> Sequence[Row[Any]]:
        """The documents that have every wanted word, by `score` and newest first.

        With phrases each row has the places of `phrase_words(search)` too, null where a document has none. It is the
        caller who checks them, so that all candidates are there.
        """
        statement, values = retrieval.having_all(search, after)
        has_phrases = bool(retrieval.phrase_words(search))
        statement = statement if has_phrases else statement.limit(limit)
        return await self._session.rows(statement, values, keep=retrieval.is_small(search))

    async def having_any(self, search: Search, after: Position | None, limit: int) -> Sequence[Row[Any]]:
        """The documents that have some of the wanted words, by `score` and newest first."""
        statement, values = retrieval.having_any(search, after)
        return await self._session.rows(statement.limit(limit), values, keep=retrieval.is_small(search))

    async def documents(self, collection_id: int, ids: Collection[int]) -> Mapping[int, Row[Any]]:
        """Some documents of a collection by their ids."""
        values = {"collection_id": collection_id, "ids": list(ids)}
        return {row.id: row for row in await self._session.rows(_SOME_DOCUMENTS, values)}

    async def positions(
        self, collection_id: int, ids: Collection[int], terms: Collection[str]
    ) -> Mapping[int, Sequence[bytes]]:
        """Where some documents have any of some words (`Occurrences.positions`), by the documents' ids."""
        values = {"collection_id": collection_id, "terms": list(terms), "ids": list(ids)}
        found: dict[int, list[bytes]] = {}
        for row in await self._session.rows(_PLACES, values):
            found.setdefault(row.document_id, []).append(row.positions)
        return found

    async def _ids(self, collection_id: int, targets: Collection[Target]) -> dict[Target, int]:
        columns = (_DOCUMENTS.c.id, _DOCUMENTS.c.target_type, _DOCUMENTS.c.target_id)
        statement = select(*columns).where(_is_one_of(collection_id, targets))
        return {Target(row.target_type, row.target_id): row.id for row in await self._session.rows(statement)}

    async def _delete(self, where: ColumnElement[bool]) -> int:
        """Delete documents; what belongs to them goes with them."""
        return await self._session.change(delete(_DOCUMENTS).where(where))


def _of(owner: Owner) -> ColumnElement[bool]:
    if owner.user_id is not None:
        return SearchCollection.user_id == owner.user_id
    return SearchCollection.guest_id == owner.guest_id


def _is_one_of(collection_id: int, targets: Iterable[Target]) -> ColumnElement[bool]:
    by_type: dict[str, list[UUID]] = {}
    for target in targets:
        by_type.setdefault(target.type, []).append(target.id)
    return and_(
        SearchDocument.collection_id == collection_id,
        or_(
            *(
                and_(SearchDocument.target_type == type_, SearchDocument.target_id.in_(ids))
                for type_, ids in by_type.items()
            )
        ),
    )

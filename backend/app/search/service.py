"""`SearchIndex`: what domains call."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from app.core.clock import Clock
from app.db.engine import Session
from app.search.analysis import analyse
from app.search.query_language import parse
from app.search.repository import SearchRepository
from app.search.searcher import Searcher
from app.search.types import Document, Hits, Language, Owner, Target

_DOCUMENTS_AT_ONCE = 100
_NOTHING = Hits(items=(), next_position=None, is_any=False)


class SearchIndex:
    """The texts of one domain.

    What it writes is part of the caller's transaction. Whoever owns a text finds it, and nobody else; it goes with its
    owner. Deleting what a document stands for is up to the domain, which says so by `delete` or `delete_groups`.
    """

    def __init__(self, domain: str, clock: Clock) -> None:
        self._domain = domain
        self._clock = clock

    async def put(self, session: Session, owner: Owner, document: Document) -> None:
        """Let a document be found, in place of the one that stood for the same target."""
        await self.put_many(session, owner, [document])

    async def put_many(self, session: Session, owner: Owner, documents: Iterable[Document]) -> None:
        """Let documents be found; of several for one target the last one."""
        by_target = {document.target: document for document in documents}
        if not by_target:
            return
        repository = SearchRepository(session)
        collection_id = await repository.make_collection(owner, self._domain)
        targets = sorted(by_target, key=lambda target: (target.id, target.type))  # in one order, against deadlocks
        for begin in range(0, len(targets), _DOCUMENTS_AT_ONCE):
            some = [by_target[target] for target in targets[begin : begin + _DOCUMENTS_AT_ONCE]]
            # A thread of its own: a long text takes a tenth of a second.
            analyses = await asyncio.to_thread(lambda documents: [analyse(one) for one in documents], some)
            await repository.put(collection_id, list(zip(some, analyses, strict=True)), self._clock.now())

    async def delete(self, session: Session, owner: Owner, targets: Collection[Target]) -> int:
        """Let what stood for these targets be found no longer; the number of documents."""
        repository = SearchRepository(session)
        collection_id = await repository.collection_of(owner, self._domain)
        return await repository.delete_targets(collection_id, targets) if collection_id and targets else 0

    async def delete_groups(self, session: Session, group_ids: Collection[UUID]) -> int:
        """Let nothing be found any longer that goes with these groups, whoever owns it; the number of documents."""
        return await SearchRepository(session).delete_groups(group_ids) if group_ids else 0

    async def change_owner(self, session: Session, old: Owner, new: Owner) -> None:
        """Hand over what a guest or an account has in this domain."""
        repository = SearchRepository(session)
        old_id = await repository.hold_collection(old, self._domain)
        if old_id is not None:
            await repository.move(old_id, await repository.make_collection(new, self._domain))

    async def query(
        self,
        session: Session,
        owner: Owner,
        text: str,
        *,
        limit: int,
        after: Sequence[Any] | None = None,
        language: Language = Language.ENGLISH,
    ) -> Hits:
        """The best of what an owner has for a text (`app.search.query_language`), one page of it.

        Where nothing has all of the words, and none is in quotes, those with some of them are the answer. `after` is
        the `next_position` of the page before; it holds the weights of the first page, so that pages fit together
        though documents come and go.

        Raises:
            InvalidCursorError: `after` is no position of a search for this text.
        """
        query = parse(text, language)
        repository = SearchRepository(session)
        collection_id = None if query.is_empty else await repository.collection_of(owner, self._domain)
        if collection_id is None:
            return _NOTHING
        return await Searcher(repository, collection_id, query, language).page(limit, after)

"""Searching one's own messages."""

import hashlib

from app.auth.guests.types import Owner
from app.chat.components import ChatComponents
from app.chat.indexing import SEARCH_DOMAIN
from app.chat.search.repository import FoundMessageRepository
from app.chat.search.types import SearchMatch, SearchPage, SearchResult
from app.db.engine import Session
from app.search.service import SearchIndex


class MessageSearch:
    """Finds messages of whoever calls."""

    def __init__(self, session: Session, parts: ChatComponents) -> None:
        self._session = session
        self._cursors = parts.cursors
        self._index = SearchIndex(SEARCH_DOMAIN, parts.clock)
        self._messages = FoundMessageRepository(session, parts.clock)

    async def search(self, owner: Owner, text: str, *, limit: int, cursor: str | None) -> SearchPage:
        """One page of the best messages for a text.

        A page may have fewer than `limit` though more follow, where messages have expired that are still indexed.

        Raises:
            InvalidCursorError: the cursor is of a search for another text.
        """
        scope = f"search {SEARCH_DOMAIN} {hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
        after = None if cursor is None else self._cursors.decode(scope, cursor)
        hits = await self._index.query(self._session, owner, text, limit=limit, after=after)
        messages = await self._messages.of(owner, [hit.target.id for hit in hits.items])
        paths = await self._messages.paths(messages.keys())
        items = [
            SearchResult(
                conversation_id=message.conversation_id,
                conversation_title=message.conversation_title,
                message_id=hit.target.id,
                path=paths[hit.target.id],
                role=message.role,
                snippet=hit.snippet,
                score=hit.score,
                created_at=message.created_at,
            )
            for hit in hits.items
            if (message := messages.get(hit.target.id)) is not None
        ]
        next_cursor = None if hits.next_position is None else self._cursors.encode(scope, hits.next_position)
        return SearchPage(items, next_cursor, SearchMatch.ANY if hits.is_any else SearchMatch.ALL)

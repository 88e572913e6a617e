"""`/search`: one's own messages by their words."""

from typing import Annotated

from fastapi import Query

from app.chat.dependencies import ChatReader
from app.chat.search.dependencies import MessageSearchDep, SearchText
from app.chat.search.schemas import SearchPageRead
from app.chat.search.types import SearchDomain, SearchPage
from app.db.http import DEFAULT_LIMIT, Cursor, Limit
from app.db.session import reads_replica
from app.routing import api_router

router = api_router("/search", tags=["conversations"])


@router.get("", response_model=SearchPageRead, summary="Search your messages")
@reads_replica
async def search_messages(
    owner: ChatReader,
    messages: MessageSearchDep,
    q: SearchText,
    _domain: Annotated[SearchDomain, Query(alias="domain")] = SearchDomain.CHAT,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> SearchPage:
    """What you and the models have said, the best first (BM25), with the words that you searched for marked.

    Words are found in all their forms. Where no message has all of them, those with some are shown, and `match` says
    so; not where something is in quotes. Temporary conversations are not searched.
    """
    return await messages.search(owner, q, limit=limit, cursor=cursor)

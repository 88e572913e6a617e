"""What the endpoint of searches takes in its signature."""

from typing import Annotated

from fastapi import Depends, Query
from starlette.requests import Request

from app.chat.search.service import MessageSearch
from app.core.text import SafeStr
from app.db.session import SessionDep
from app.search.query_language import MAX_QUERY_LENGTH


async def get_message_search(request: Request, session: SessionDep) -> MessageSearch:
    """The service of this request."""
    return MessageSearch(session, request.app.state.merit.chat)


MessageSearchDep = Annotated[MessageSearch, Depends(get_message_search)]
SearchText = Annotated[
    SafeStr,
    Query(
        min_length=1,
        max_length=MAX_QUERY_LENGTH,
        description='Words in any order, `"words in this order"`, `-without`, `begin*`.',
        examples=['recursion "base case" -lisp'],
    ),
]

"""What the endpoints of replies take in their signatures."""

from typing import Annotated

from fastapi import Depends, Header, Query
from starlette.requests import Request

from app.chat.dependencies import ChatReader, ChatWriter
from app.chat.responses.desk import ReplyDesk
from app.db.session import SessionDep

MAX_SEQ = 2**31 - 1


async def get_reading_desk(request: Request, owner: ChatReader, session: SessionDep) -> ReplyDesk:
    """The desk of this request."""
    return ReplyDesk(request, session, owner)


async def get_writing_desk(request: Request, owner: ChatWriter, session: SessionDep) -> ReplyDesk:
    """The desk of this request, which changes something."""
    return ReplyDesk(request, session, owner)


async def get_position(
    starting_after: Annotated[
        int | None, Query(ge=0, le=MAX_SEQ, description="The `id` of the last event that the client has.")
    ] = None,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=MAX_SEQ, description="The same, as browsers send it; the parameter counts more.")
    ] = None,
) -> int:
    """Behind which event a stream goes on."""
    return starting_after if starting_after is not None else last_event_id or 0


ReadingDesk = Annotated[ReplyDesk, Depends(get_reading_desk)]
WritingDesk = Annotated[ReplyDesk, Depends(get_writing_desk)]
Position = Annotated[int, Depends(get_position)]

"""What the endpoints of preferences take in their signatures."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Path, Query
from starlette.requests import Request

from app.auth.bearer import require
from app.auth.types import Principal
from app.core.pagination import MAX_PAGE_SIZE
from app.db.session import SessionDep
from app.preferences.schemas import DeviceId, PreferenceKey
from app.preferences.service import PreferenceService
from app.preferences.types import MAX_SEQ, PREFERENCES_READ, PREFERENCES_WRITE


async def in_turn(
    request: Request, principal: Annotated[Principal, require(PREFERENCES_WRITE)]
) -> AsyncIterator[Principal]:
    """The caller, once its earlier changes are committed.

    They are made one after the other anyway. Waiting for that in the database, a hundred changes of one person would
    take every connection. Endpoints name it before the service, so that the session begins within the turn.
    """
    async with request.app.state.merit.preference_turns.take(principal.user_id):
        yield principal


async def get_preference_service(request: Request, session: SessionDep) -> PreferenceService:
    """The service of this request."""
    return PreferenceService(session, request.app.state.merit.auth)


PreferencesReader = Annotated[Principal, require(PREFERENCES_READ)]
PreferencesWriter = Annotated[Principal, Depends(in_turn, scope="function")]
PreferenceServiceDep = Annotated[PreferenceService, Depends(get_preference_service)]
OnDevice = Annotated[
    DeviceId | None,
    Query(
        alias="device_id",
        description="Only on this device; a UUID that the client has made and keeps. Without it: on every device.",
    ),
]
Key = Annotated[PreferenceKey, Path()]
ChangeNumber = Annotated[int, Path(ge=1, le=MAX_SEQ)]
Since = Annotated[
    int, Query(ge=0, le=MAX_SEQ, description="The `seq` of what you have; 0 for nothing, as before the first change.")
]
FeedLimit = Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE, description="How many changes at most.")]

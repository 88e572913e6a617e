"""What the endpoints of the signing keys take in their signatures."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from app.auth.bearer import require
from app.auth.keys.service import KeyService
from app.auth.permissions import KEYS_READ, KEYS_WRITE
from app.auth.types import Principal
from app.db.session import SessionDep

KeysReader = Annotated[Principal, require(KEYS_READ)]
InteractiveKeysWriter = Annotated[Principal, require(KEYS_WRITE, interactive=True)]


async def get_key_service(request: Request, session: SessionDep) -> KeyService:
    """The service of this request."""
    return KeyService(session, request.app.state.merit.auth)


KeyServiceDep = Annotated[KeyService, Depends(get_key_service)]

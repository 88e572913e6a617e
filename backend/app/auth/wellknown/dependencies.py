"""What the endpoints under `/.well-known/` take in their signatures."""

import hashlib
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from app.auth.wellknown.service import WellKnownService

Publish = Callable[..., Response]


async def get_wellknown_service(request: Request) -> WellKnownService:
    """The documents of this process."""
    return WellKnownService(request.app.state.merit.auth)


async def get_publisher(request: Request) -> Publish:
    """Makes the answer that caches may keep, or 304 where the caller has the content already (RFC 9110 section 13)."""

    def publish(content: bytes, *, media_type: str, max_age_seconds: int) -> Response:
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {"ETag": etag, "Cache-Control": f"public, max-age={max_age_seconds}"}
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if known & {etag, "*"}:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    return publish


WellKnownServiceDep = Annotated[WellKnownService, Depends(get_wellknown_service)]
PublisherDep = Annotated[Publish, Depends(get_publisher)]

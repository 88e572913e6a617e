"""`/.well-known/`: what other programs look for at any service (RFC 8615)."""

import orjson
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.auth.mail_flows.page_rendering import CHANGE_PASSWORD
from app.auth.wellknown.dependencies import PublisherDep, WellKnownServiceDep
from app.auth.wellknown.schemas import KeySetRead
from app.routing import root_router

KEY_SET_MEDIA_TYPE = "application/jwk-set+json"  # RFC 7517 section 8.5.2
_DAY_SECONDS = 86_400
_ANY_READ = ["GET", "HEAD"]


class KeySetResponse(JSONResponse):
    """A JWK set."""

    media_type = KEY_SET_MEDIA_TYPE


router = root_router("/.well-known", tags=["discovery"])


@router.head("/jwks.json", include_in_schema=False)
@router.get(
    "/jwks.json",
    response_class=KeySetResponse,
    response_model=KeySetRead,
    summary="Public keys",
)
async def get_key_set(documents: WellKnownServiceDep, publish: PublisherDep) -> Response:
    """The keys that access tokens are verified with. Keep them for `max-age`: a new one is here long before its use."""
    content = orjson.dumps(await documents.key_set())
    return publish(content, media_type=KEY_SET_MEDIA_TYPE, max_age_seconds=documents.key_set_max_age)


@router.api_route("/oauth-authorization-server", methods=_ANY_READ, include_in_schema=False)
async def get_metadata(documents: WellKnownServiceDep, publish: PublisherDep) -> Response:
    """The authorization server's metadata (RFC 8414)."""
    content = orjson.dumps(documents.metadata())
    return publish(content, media_type="application/json", max_age_seconds=documents.key_set_max_age)


@router.api_route("/security.txt", methods=_ANY_READ, include_in_schema=False)
async def get_security_text(documents: WellKnownServiceDep, publish: PublisherDep) -> Response:
    """Where to report a security problem (RFC 9116)."""
    content = documents.security_text().encode()
    return publish(content, media_type="text/plain; charset=utf-8", max_age_seconds=_DAY_SECONDS)


@router.api_route("/change-password", methods=_ANY_READ, include_in_schema=False)
async def change_password_page() -> RedirectResponse:
    """The page where a person sets another password (W3C, A Well-Known URL for Changing Passwords)."""
    return RedirectResponse(CHANGE_PASSWORD.path, status_code=302)

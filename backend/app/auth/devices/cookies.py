"""The two cookies of browsers: which device this is, and a refresh token that no script can read.

Both are `__Host-` cookies (RFC 6265bis section 4.1.3.2): sent over TLS only, set by this very host only, for all of it.
`SameSite=Strict` keeps them out of requests from other sites; the check of `Origin` keeps out other origins of the
same site, and what browsers do not cover.
"""

from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Response
from pydantic import SecretStr
from starlette.requests import Request

from app.auth.devices.codec import DEVICE_MEMORY
from app.auth.devices.errors import OriginRefusedError, RefreshTokenTwiceError
from app.auth.types import TokenPair
from app.core.errors import InvalidInputError
from app.core.settings import Settings

DEVICE_COOKIE = "__Host-merit_device"
REFRESH_COOKIE = "__Host-merit_refresh"
_DEFAULT_PORTS = {"http": 80, "https": 443}

REFRESH_COOKIE_PARAMETER: dict[str, Any] = {
    "parameters": [
        {
            "name": REFRESH_COOKIE,
            "in": "cookie",
            "required": False,
            "description": "The refresh token, where it was asked for with `use_cookie`. Needs an allowed `Origin`.",
            "schema": {"type": "string"},
        }
    ]
}
"""What the OpenAPI document says of operations that take the refresh token from the cookie."""


class TokenTransport:
    """How tokens come with one request and go with its answer: in the body, or the refresh token in a cookie."""

    def __init__(self, request: Request, response: Response) -> None:
        self._request = request
        self._response = response
        self._settings: Settings = request.app.state.merit.settings
        self._in_cookie = False

    @property
    def device_cookie(self) -> str | None:
        """The text of the device cookie, genuine or not."""
        return self._request.cookies.get(DEVICE_COOKIE)

    def choose(self, *, use_cookie: bool) -> None:
        """Answer by the cookie, if that is asked for.

        Raises:
            OriginRefusedError: it is, from a page that may not use it.
        """
        if use_cookie:
            self.require_origin()
            self._in_cookie = True

    def refresh_token(self, in_body: SecretStr | None, *, use_cookie: bool) -> str:
        """The one refresh token that came. One that came in the cookie goes back there: no script gets to see it.

        Raises:
            RefreshTokenTwiceError: one came in the body and one in the cookie.
            OriginRefusedError: the cookie is used by a page that may not.
            InvalidInputError: none came.
        """
        in_cookie = self._request.cookies.get(REFRESH_COOKIE) or None
        text = self._one_of(in_body, in_cookie)
        if text is None:
            raise InvalidInputError.at("body", "refresh_token", type_="missing", message="Field required")
        self.choose(use_cookie=use_cookie or in_cookie is not None)
        return text

    def logout_token(self, in_body: SecretStr | None, *, has_access_token: bool) -> str | None:
        """The refresh token that says which session ends, if one does; the browser forgets the one in the cookie.

        A valid access token has said it already: then the cookie, which comes of itself, changes nothing.

        Raises:
            RefreshTokenTwiceError, OriginRefusedError: see `refresh_token`.
        """
        in_cookie = self._request.cookies.get(REFRESH_COOKIE) or None
        text = self._one_of(in_body, in_cookie)
        if in_cookie is None:
            return text
        if not has_access_token:
            self.require_origin()
        self.keep(REFRESH_COOKIE, "", timedelta())
        return None if has_access_token else text

    def refuse_cookie(self) -> None:
        """Refuse a refresh token in the cookie, where one came in the body.

        Raises:
            RefreshTokenTwiceError: there is one.
        """
        if self._request.cookies.get(REFRESH_COOKIE):
            raise RefreshTokenTwiceError("Log out once to be rid of the cookie.")

    def answer(self, tokens: TokenPair) -> dict[str, object]:
        """The body of the answer; sets the cookies that go with it."""
        if tokens.device_cookie is not None:
            self.keep(DEVICE_COOKIE, tokens.device_cookie, DEVICE_MEMORY)
        if self._in_cookie:
            self.keep(REFRESH_COOKIE, tokens.refresh_token, timedelta(days=self._settings.refresh_idle_days))
        return {
            "access_token": tokens.access_token,
            "refresh_token": None if self._in_cookie else tokens.refresh_token,
            "token_type": "bearer",
            "expires_in": tokens.expires_in,
            "scope": tokens.scope,
        }

    def _one_of(self, in_body: SecretStr | None, in_cookie: str | None) -> str | None:
        if in_body is None:
            return in_cookie
        self.refuse_cookie()
        return in_body.get_secret_value()

    def require_origin(self) -> None:
        """Refuse what no page of ours has sent. Browsers name the origin with every POST; `null` is nobody's.

        Raises:
            OriginRefusedError: it is another's, or not named.
        """
        origins = self._request.headers.getlist("origin")
        allowed = {_origin(self._settings.base_url), *self._settings.cors_origins}
        if len(origins) != 1 or origins[0] not in allowed:
            raise OriginRefusedError("Only pages of PUBLIC_URL and CORS_ORIGINS may.")

    def keep(self, name: str, value: str, lifetime: timedelta) -> None:
        """Have the browser keep a cookie that only this host gets and no script sees; without a life it goes."""
        self._response.set_cookie(
            name,
            value,
            max_age=int(lifetime.total_seconds()),
            path="/",
            secure=True,
            httponly=True,
            samesite="strict",
        )


def _origin(url: str) -> str:
    """The origin of an address as browsers write it (RFC 6454 section 6.2)."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    is_default = parts.port is None or parts.port == _DEFAULT_PORTS[parts.scheme]
    return f"{parts.scheme}://{host}" if is_default else f"{parts.scheme}://{host}:{parts.port}"


async def get_token_transport(request: Request, response: Response) -> TokenTransport:
    """The transport of this request."""
    return TokenTransport(request, response)


TokenTransportDep = Annotated[TokenTransport, Depends(get_token_transport)]

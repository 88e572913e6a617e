"""A resource server: another program that accepts Merit's access tokens, checked in two ways.

`GET /local` verifies the token by Merit's public keys. It costs no request, but a token that was revoked is good here
until it expires, ten minutes at most. `GET /introspected` asks Merit each time: a revoked token is refused at once, and
while Merit is away nobody gets in. Personal access tokens, which hold no signature, can only be introspected.

    MERIT_ISSUER=https://id.example.com CLIENT_ID=… CLIENT_SECRET=… python resource_server.py

`MERIT_ISSUER` is Merit's `PUBLIC_URL`; client id and secret are those of a service account with `tokens:introspect`.
Needs fastapi, httpx, python-jose[cryptography] and uvicorn.
"""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from jose import JWTError, jwt

ISSUER = os.environ["MERIT_ISSUER"]
CREDENTIALS = (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
AUDIENCE = os.environ.get("MERIT_AUDIENCE", "merit-api")
PORT = int(os.environ.get("PORT", "8100"))
SCOPE = "profile:read"
# Old keys and an unknown `kid` are worth another look, but forged tokens must not turn into load on Merit.
LOOK_AGAIN_SECONDS = float(os.environ.get("LOOK_AGAIN_SECONDS", "10"))
# How long the last keys serve on while Merit does not answer.
OUTAGE_SECONDS = 600
LEEWAY_SECONDS = 30
REQUIRED = {f"require_{name}": True for name in ("aud", "iat", "exp", "nbf", "iss", "sub", "jti")}


class KeySet:
    """Merit's public keys (RFC 7517), kept for as long as `Cache-Control: max-age` says."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url
        self._keys: dict[str, dict[str, str]] = {}
        self._looked_at = self._good_until = float("-inf")
        self._looking = asyncio.Lock()

    async def get(self, kid: str) -> dict[str, str] | None:
        """The key of this name, if there is one."""
        async with self._looking:
            now = time.monotonic()
            if (now >= self._good_until or kid not in self._keys) and now - self._looked_at >= LOOK_AGAIN_SECONDS:
                await self._look(now)
            return self._keys.get(kid) if now < self._good_until + OUTAGE_SECONDS else None

    async def _look(self, now: float) -> None:
        self._looked_at = now
        try:
            answer = (await self._http.get(self._url)).raise_for_status()
        except httpx.HTTPError:
            return
        max_age = re.search(r"max-age=(\d+)", answer.headers.get("cache-control", ""))
        self._good_until = now + (int(max_age[1]) if max_age else 0)
        self._keys = {key["kid"]: key for key in answer.json()["keys"]}


@asynccontextmanager
async def lifespan(application: FastAPI) -> AsyncIterator[None]:
    """Find Merit's endpoints (RFC 8414), and make sure that it is the issuer we mean."""
    async with httpx.AsyncClient(timeout=5) as http:
        answer = await http.get(f"{ISSUER}/.well-known/oauth-authorization-server")
        metadata = answer.raise_for_status().json()
        if metadata["issuer"] != ISSUER:
            raise RuntimeError(f"{ISSUER} says that it is {metadata['issuer']}")
        application.state.http = http
        application.state.metadata = metadata
        application.state.keys = KeySet(http, metadata["jwks_uri"])
        yield


app = FastAPI(lifespan=lifespan)


def bearer_token(request: Request) -> str:
    """The token of the Authorization header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return token


async def check_locally(request: Request, token: Annotated[str, Depends(bearer_token)]) -> dict[str, Any]:
    """The claims of a token that Merit signed for us (RFC 9068 section 4): header first, then key, then claims."""
    try:
        header = jwt.get_unverified_header(token)
        if str(header.get("typ")).lower() not in {"at+jwt", "application/at+jwt"} or header.get("alg") != "ES256":
            raise JWTError("no access token")
        key = await request.app.state.keys.get(str(header.get("kid")))
        if key is None or "crit" in header:
            raise JWTError("unknown key")
        options = {**REQUIRED, "leeway": LEEWAY_SECONDS}
        claims = jwt.decode(token, key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER, options=options)
    except JWTError:
        raise invalid_token() from None
    return permitted(claims)


async def check_by_introspection(request: Request, token: Annotated[str, Depends(bearer_token)]) -> dict[str, Any]:
    """What Merit says of a token at this moment (RFC 7662)."""
    endpoint = request.app.state.metadata["introspection_endpoint"]
    try:
        answer = await request.app.state.http.post(endpoint, data={"token": token}, auth=CREDENTIALS)
        answer.raise_for_status()
    except httpx.HTTPError:
        raise HTTPException(503, headers={"Retry-After": "1"}) from None
    claims = answer.json()
    if not claims["active"] or claims["aud"] != AUDIENCE or claims["iss"] != ISSUER:
        raise invalid_token()
    return permitted(claims)


def permitted(claims: dict[str, Any]) -> dict[str, Any]:
    """The claims, if they carry the scope that this server asks for."""
    if SCOPE not in claims["scope"].split():
        challenge = f'Bearer error="insufficient_scope", scope="{SCOPE}"'
        raise HTTPException(403, headers={"WWW-Authenticate": challenge})
    return claims


def invalid_token() -> HTTPException:
    """One answer for whatever is wrong with a token."""
    return HTTPException(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


@app.get("/local")
async def local(claims: Annotated[dict[str, Any], Depends(check_locally)]) -> dict[str, str]:
    """Who calls, verified here."""
    return {"sub": claims["sub"]}


@app.get("/introspected")
async def introspected(claims: Annotated[dict[str, Any], Depends(check_by_introspection)]) -> dict[str, str]:
    """Who calls, as Merit says."""
    return {"sub": claims["sub"]}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")

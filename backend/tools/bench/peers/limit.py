"""The practical limit: Starlette and asyncpg, a token verified by hand, one row read by hand.

The signature is ES256, as in our own tokens, and is checked on every request with a key object made once. There is no
validation, no logging, no limit and no revocation; what could be left out is left out.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from jose import JWTError, jwk, jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_KEY = jwk.construct(os.environ["BENCH_PUBLIC_KEY"], "ES256")
_SQL = (
    "SELECT id, email, username, is_active, is_superuser, created_at, updated_at FROM users WHERE id = $1 AND is_active"
)


async def me(request: Request) -> Response:
    """The caller's row as JSON, or 401."""
    try:
        claims = jwt.decode(request.headers["authorization"].removeprefix("Bearer "), _KEY, algorithms=["ES256"])
        user_id = int(claims["sub"])
    except (KeyError, ValueError, JWTError):
        return Response(status_code=401)
    row = await request.app.state.pool.fetchrow(_SQL, user_id)
    if row is None:
        return Response(status_code=401)
    times = {name: row[name].isoformat() for name in ("created_at", "updated_at")}
    return JSONResponse({**row, **times})


async def live(_: Request) -> Response:
    """200 once the server answers."""
    return Response()


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["BENCH_DATABASE_URL"], min_size=10, max_size=10) as pool:
        app.state.pool = pool
        yield


app = Starlette(routes=[Route("/api/v1/users/me", me), Route("/health/live", live)], lifespan=_lifespan)

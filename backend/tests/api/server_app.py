"""Small applications for a real server process: `python -m tests.api.server_app <factory>`."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

from fastapi import Body, FastAPI
from fastapi.responses import Response, StreamingResponse

from app import routing
from app.api import health
from app.api.middleware import RequestMiddleware
from app.api.problem import install_error_handlers
from app.api.server import serve
from app.core.errors import ConfigurationError
from app.core.settings import Settings

LARGE_BYTES = 8_000_000
"""More than sockets hold."""


class Healthy:
    """A database and a schema in good order."""

    async def check(self, seconds: float) -> None:
        await asyncio.sleep(0)

    async def is_current(self, seconds: float) -> bool:
        return True

    def warnings(self) -> list[str]:
        return []


def create_app(settings: Settings) -> FastAPI:
    app = FastAPI()
    app.add_middleware(RequestMiddleware, settings=settings)
    install_error_handlers(app)
    routing.serve(app, health.router)
    healthy = Healthy()
    app.state.merit = SimpleNamespace(database=healthy, checkup=health.Checkup(healthy, healthy))

    @app.get("/pid")
    async def pid() -> int:
        return os.getpid()

    @app.get("/boom")
    async def boom() -> None:
        raise LookupError

    @app.get("/sleep/{seconds}")
    async def sleep(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "rested"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(5):
                yield b"part "
                await asyncio.sleep(0.1)

        return StreamingResponse(parts())

    @app.get("/large")
    async def large() -> Response:
        return Response(bytes(LARGE_BYTES))

    @app.post("/size")
    async def size(text: str = Body()) -> int:
        return len(text)

    return app


def create_app_with_refused_setting(_settings: Settings) -> FastAPI:
    raise ConfigurationError("DATABASE_URL", "names no database")


def create_app_refused_at_start(_settings: Settings) -> FastAPI:
    return _failing_at_start(ConfigurationError("DATABASE_URL", "needs migrations"))


def create_app_that_fails(_settings: Settings) -> FastAPI:
    return _failing_at_start(LookupError("no such luck"))


def _failing_at_start(error: Exception) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if not app.state.__dict__.get("is_ready"):
            raise error
        yield

    return FastAPI(lifespan=lifespan)


if __name__ == "__main__":
    serve(Settings.load(_env_file=None), f"tests.api.server_app:{sys.argv[1]}")

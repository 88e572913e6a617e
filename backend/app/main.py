"""The application: `create_app(settings)`, or `uvicorn app.main:app`."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from app import (
    __version__,
    models,  # noqa: F401 - completes Base.metadata, which error mapping reads
)
from app.api import health
from app.api.docs import install_docs
from app.api.middleware import RequestMiddleware
from app.api.openapi import install_openapi, operation_id
from app.api.problem import install_error_handlers
from app.api.v1 import install_v1
from app.auth.components import AuthComponents
from app.core.clock import Clock
from app.core.errors import ConfigurationError
from app.core.logging import configure_logging, get_logger
from app.core.settings import Settings
from app.db.engine import Database
from app.db.failpoints import Failpoints
from app.db.migrations import Migrations
from app.db.recent_writers import RecentWriters

logger = get_logger("app.main")


@dataclass(frozen=True, slots=True)
class Services:
    """What lives as long as the process; `app.state.merit`."""

    settings: Settings
    clock: Clock
    database: Database
    migrations: Migrations
    recent_writers: RecentWriters
    auth: AuthComponents

    @classmethod
    def create(cls, settings: Settings, clock: Clock) -> "Services":
        """Build everything; the database is not touched before `start`.

        Raises:
            ConfigurationError: the data directory cannot be used.
        """
        try:
            return cls._build(settings, clock)
        except OSError as error:
            raise ConfigurationError("DATA_DIR", f"cannot be used: {error.strerror}") from None

    @classmethod
    def _build(cls, settings: Settings, clock: Clock) -> "Services":
        database = Database(settings, Failpoints(settings.failpoints))
        return cls(
            settings=settings,
            clock=clock,
            database=database,
            migrations=Migrations(database),
            recent_writers=RecentWriters(
                settings.data_dir / "run" / f"{database.fingerprint}.writers",
                clock,
                lag_seconds=settings.db_replica_lag_seconds,
            ),
            auth=AuthComponents.create(settings, database, clock),
        )

    async def start(self) -> None:
        """Load what is kept in memory.

        Raises:
            ConfigurationError: the schema is not the newest one.
        """
        if not await self.migrations.is_current(self.settings.db_connect_timeout):
            raise ConfigurationError("DATABASE_URL", "is not at the newest revision; run: python -m app.cli db upgrade")
        await self.auth.start()

    async def close(self) -> None:
        """Release connections, threads and files."""
        await self.auth.close()
        self.recent_writers.close()
        await self.database.close()


def create_app(settings: Settings | None = None, clock: Clock | None = None) -> FastAPI:
    """The application. Without `settings` they are read from the environment.

    Raises:
        ConfigurationError: a setting is missing, malformed or unsafe.
    """
    settings = settings or Settings.load()
    configure_logging(settings)

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        services = Services.create(settings, clock or Clock())
        application.state.merit = services
        try:
            await services.start()
            for warning in services.database.warnings():
                logger.warning("database", warning=warning)
            yield
        finally:
            await services.close()

    application = FastAPI(
        title="Merit",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        generate_unique_id_function=operation_id,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    _furnish(application, settings)
    return application


def _furnish(application: FastAPI, settings: Settings) -> None:
    """Routes, pages, error handlers and middleware."""
    install_error_handlers(application)
    install_v1(application)
    application.include_router(health.router)
    install_openapi(application)
    install_docs(application, settings)
    application.add_middleware(RequestMiddleware, settings=settings)
    if settings.cors_origins:  # outermost, so that a browser may read refusals too
        application.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", "X-Request-ID"],
            expose_headers=["ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate", "X-Request-ID"],
        )


def __getattr__(name: str) -> FastAPI:
    """Make `app` when a server asks for it, so that importing this module needs no settings."""
    if name != "app":
        raise AttributeError(name)
    try:
        application = create_app()
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    globals()["app"] = application
    return application

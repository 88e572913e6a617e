"""The application: `create_app(settings)`, or `uvicorn app.main:app`."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from app import (
    __version__,
    models,  # noqa: F401 - completes Base.metadata, which error mapping reads
)
from app.api import health, v1
from app.api.docs import install_docs
from app.api.health import Checkup
from app.api.middleware import RequestMiddleware
from app.api.openapi import install_openapi
from app.api.problem import install_error_handlers
from app.auth.components import AuthComponents
from app.auth.mail_flows import pages as account_pages
from app.auth.permissions import freeze_permissions
from app.auth.wellknown import router as wellknown
from app.chat.components import ChatComponents
from app.chat.gateway import router as gateway
from app.chat.gateway.components import GatewayComponents
from app.chat.responses.components import ReplyComponents
from app.chat.transfer.jobs import ImportJob
from app.core.clock import Clock
from app.core.errors import ConfigurationError
from app.core.logging import configure_logging, get_logger
from app.core.observations import Observations
from app.core.settings import Settings
from app.core.turns import Turns
from app.db.engine import Database
from app.db.failpoints import Failpoints
from app.db.migrations import Migrations
from app.db.recent_writers import RecentWriters
from app.jobs.queue import Jobs
from app.llm.fallback import Models
from app.mail.mailer import Mailer
from app.metrics import pages as metric_pages
from app.metrics.recorder import Metrics
from app.metrics.upkeep import MetricUpkeep
from app.preferences.registry import freeze_preferences
from app.routing import serve

logger = get_logger("app.main")


@dataclass(frozen=True, slots=True)
class Services:
    """What lives as long as the process; `app.state.merit`."""

    settings: Settings
    clock: Clock
    database: Database
    migrations: Migrations
    checkup: Checkup
    recent_writers: RecentWriters
    observations: Observations
    metrics: Metrics
    jobs: Jobs
    mailer: Mailer
    auth: AuthComponents
    models: Models
    chat: ChatComponents
    replies: ReplyComponents
    gateway: GatewayComponents
    preference_turns: Turns
    idempotency_turns: Turns
    import_turns: Turns

    @classmethod
    def create(cls, settings: Settings, clock: Clock, observations: Observations | None = None) -> "Services":
        """Build everything; the database is not touched before `start`.

        Raises:
            ConfigurationError: the data directory cannot be used.
        """
        try:
            return cls._build(settings, clock, observations or Observations())
        except OSError as error:
            raise ConfigurationError("DATA_DIR", f"cannot be used: {error.strerror}") from None

    @classmethod
    def _build(cls, settings: Settings, clock: Clock, observations: Observations) -> "Services":
        database = Database(settings, Failpoints(settings.failpoints))
        migrations = Migrations(database)
        metrics = Metrics(database, clock, flush_seconds=settings.metrics_flush_seconds)
        observations.subscribe(metrics.observe)
        jobs = Jobs.create(settings, database, clock, observations)
        MetricUpkeep(database, clock).register(jobs)
        mailer = Mailer.create(settings, clock)
        auth = AuthComponents.create(settings, database, clock, jobs, mailer)
        language_models = Models.create(settings, clock, observations)
        chat = ChatComponents.create(auth, default_model=language_models.default_model)
        ImportJob(chat).register()
        replies = ReplyComponents.create(chat, language_models, auth.guests.claims)
        return cls(
            settings=settings,
            clock=clock,
            database=database,
            migrations=migrations,
            checkup=Checkup(database, migrations),
            recent_writers=RecentWriters(
                settings.data_dir / "run" / f"{database.fingerprint}.writers",
                clock,
                lag_seconds=settings.db_replica_lag_seconds,
            ),
            observations=observations,
            metrics=metrics,
            jobs=jobs,
            mailer=mailer,
            auth=auth,
            models=language_models,
            chat=chat,
            replies=replies,
            gateway=GatewayComponents.create(replies),
            preference_turns=Turns(),
            idempotency_turns=Turns(),
            import_turns=Turns(),
        )

    async def start(self) -> None:
        """Load what is kept in memory.

        Raises:
            ConfigurationError: the schema is not the newest one.
        """
        if not await self.migrations.is_current(self.settings.db_connect_timeout):
            raise ConfigurationError("DATABASE_URL", "is not at the newest revision; run: python -m app.cli db upgrade")
        await self.auth.start()
        await self.metrics.start()
        await self.chat.start()
        await self.replies.start()

    async def close(self) -> None:
        """Release connections, threads and files."""
        await self.replies.close()
        await self.chat.close()
        await self.jobs.close()
        await self.metrics.close()
        await self.auth.close()
        await self.models.close()
        self.recent_writers.close()
        await self.database.close()


def create_app(settings: Settings | None = None, clock: Clock | None = None) -> FastAPI:
    """The application. Without `settings` they are read from the environment.

    Raises:
        ConfigurationError: a setting is missing, malformed or unsafe.
    """
    settings = settings or Settings.load()
    configure_logging(settings)
    observations = Observations()

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        services = Services.create(settings, clock or Clock(), observations)
        application.state.merit = services
        try:
            await services.start()
            await services.jobs.start()
            for warning in services.database.warnings():
                logger.warning("database", warning=warning)
            for warning in services.mailer.warnings():
                logger.warning("mail", warning=warning)
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
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    _furnish(application, settings, observations)
    return application


def _furnish(application: FastAPI, settings: Settings, observations: Observations) -> None:
    """Routes, pages, error handlers and middleware."""
    install_error_handlers(application)
    serve(
        application,
        *v1.ROUTERS,
        gateway.router,
        wellknown.router,
        health.router,
        account_pages.router,
        metric_pages.router,
    )
    freeze_permissions()  # whatever is declared later would be neither documented nor granted as it says
    freeze_preferences()
    install_openapi(application)
    install_docs(application, settings)
    application.add_middleware(RequestMiddleware, settings=settings, observations=observations)


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

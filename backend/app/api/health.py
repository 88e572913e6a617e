"""Whether the process lives, and whether it can serve; for supervisors, load balancers and operators."""

import asyncio
import time
from typing import Literal, Protocol

from fastapi import Request, Response
from pydantic import BaseModel

from app.api.drain import Drain
from app.core.errors import ServiceUnavailableError
from app.core.logging import get_logger
from app.routing import root_router

CHECK_SECONDS = 1.0
FRESH_SECONDS = 0.25

CheckResult = Literal["ok", "failed"]

log = get_logger(__name__)
router = root_router("/health", tags=["health"])


class DatabaseHealth(Protocol):
    """What readiness asks of `app.state.merit.database`."""

    async def check(self, seconds: float) -> None:
        """Ask the database for a sign of life; raises where none comes within `seconds`."""

    def warnings(self) -> list[str]:
        """What an operator should know of this database."""


class MigrationsHealth(Protocol):
    """What readiness asks of `app.state.merit.migrations`."""

    async def is_current(self, seconds: float) -> bool:
        """Whether the schema's revision is the newest; raises where it cannot be read within `seconds`."""


class Checkup:
    """Looks at the database and its schema, one look at a time, and at most one in `FRESH_SECONDS`.

    Nobody needs a token to ask, so that what is found is shared by all who ask meanwhile.
    """

    def __init__(self, database: DatabaseHealth, migrations: MigrationsHealth) -> None:
        self._database = database
        self._migrations = migrations
        self._turn = asyncio.Lock()
        self._ended_at: float | None = None
        self._found: tuple[CheckResult, CheckResult] = ("failed", "failed")

    async def look(self) -> tuple[CheckResult, CheckResult]:
        """How the database and its schema are."""
        async with self._turn:
            if self._ended_at is None or time.monotonic() - self._ended_at >= FRESH_SECONDS:
                is_there = await _check_database(self._database)
                self._found = is_there, await _check_schema(self._migrations) if is_there == "ok" else "failed"
                self._ended_at = time.monotonic()
            return self._found


class HealthServices(Protocol):
    """The part of `app.state.merit` that readiness needs."""

    @property
    def database(self) -> DatabaseHealth:
        """The connections to the database."""

    @property
    def checkup(self) -> Checkup:
        """The looks at both."""


class Liveness(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class ReadinessChecks(BaseModel):
    """Each condition for serving."""

    database: CheckResult
    schema_revision: CheckResult
    draining: bool


class Readiness(BaseModel):
    """Whether requests should be sent here."""

    status: Literal["ready", "unavailable"]
    checks: ReadinessChecks
    warnings: list[str]


@router.get("/live", summary="Does the process live?")
async def live() -> Liveness:
    """Always 200 while the process can answer at all. Never asks the database: a restart would not heal that one."""
    return Liveness(status="ok")


@router.get(
    "/ready",
    summary="Can it serve?",
    responses={ServiceUnavailableError.status_code: {"model": Readiness, "description": "Send no requests here."}},
)
async def ready(request: Request, response: Response) -> Readiness:
    """200 when the database answers within a second, its schema is the newest and the server is not about to stop.

    Those who ask within a quarter of a second are told the same of the database.
    """
    services: HealthServices = request.app.state.merit
    drain: Drain | None = request.scope.get("state", {}).get("drain")
    database, schema_revision = await services.checkup.look()
    is_draining = drain is not None and drain.is_draining
    checks = ReadinessChecks(database=database, schema_revision=schema_revision, draining=is_draining)
    is_ready = checks.database == checks.schema_revision == "ok" and not checks.draining
    if not is_ready:
        response.status_code = ServiceUnavailableError.status_code
        response.headers["Retry-After"] = "1"
    response.headers["Cache-Control"] = "no-store"
    return Readiness(
        status="ready" if is_ready else "unavailable", checks=checks, warnings=services.database.warnings()
    )


async def _check_database(database: DatabaseHealth) -> CheckResult:
    try:
        await database.check(CHECK_SECONDS)
    except Exception as error:  # whatever it is, the database cannot be used
        log.warning("database_check_failed", error=type(error).__name__)
        return "failed"
    return "ok"


async def _check_schema(migrations: MigrationsHealth) -> CheckResult:
    try:
        return "ok" if await migrations.is_current(CHECK_SECONDS) else "failed"
    except Exception as error:  # whatever it is, the schema is not known to be the newest
        log.warning("schema_check_failed", error=type(error).__name__)
        return "failed"

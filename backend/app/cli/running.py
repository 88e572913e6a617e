"""What every command stands on: settings, the service's parts without a server, and refusals in one line.

Commands import what they need when they run: the command line itself starts in an instant.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.core.clock import Clock
from app.core.errors import AppError, ConfigurationError
from app.core.settings import Settings

if TYPE_CHECKING:
    from app.core.pagination import Page
    from app.db.engine import Session
    from app.main import Services

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@contextmanager
def refusals() -> Iterator[None]:
    """Show a refusal as one line on standard error."""
    try:
        yield
    except ConfigurationError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None
    except typer.Exit:
        raise
    except Exception as error:
        refusal = _refusal_of(error)
        if refusal is None:
            raise
        typer.echo(f"{refusal.title}. {refusal.detail or ''}".strip(), err=True)
        raise typer.Exit(1) from None


def _refusal_of(error: Exception) -> AppError | None:
    """What an operator is told of an error, or None where it is a fault of ours."""
    from app.db.errors import to_app_error  # noqa: PLC0415

    return error if isinstance(error, AppError) else to_app_error(error)


def migrate_outside_production(settings: Settings) -> None:
    """Bring the database to the newest revision, but in production, where that is a step of its own."""
    from app.db import migrations  # noqa: PLC0415

    if not settings.is_production and not asyncio.run(migrations.is_current(settings)):
        migrations.upgrade(settings)


def with_services(settings: Settings, use: Callable[["Services"], Awaitable[ResultT]]) -> ResultT:
    """Run a step of a deployment with the service's parts, without a server."""
    from app.core.logging import configure_logging  # noqa: PLC0415

    migrate_outside_production(settings)
    configure_logging(settings, to_stderr=True)
    return asyncio.run(_use(settings, use, starts=True))


def operate(use: Callable[["Services"], Awaitable[ResultT]], *, starts: bool = True) -> ResultT:
    """Run an operator's command beside running servers. The log keeps to warnings: the command itself says the rest.

    Without `starts` the parts are only built: for looking at what may not even start.
    """
    from app.core.logging import configure_logging  # noqa: PLC0415

    settings = Settings.load()
    is_talkative = settings.log_level == "INFO"
    configure_logging(settings.model_copy(update={"log_level": "WARNING"} if is_talkative else {}), to_stderr=True)
    return asyncio.run(_use(settings, use, starts=starts))


async def _use(settings: Settings, use: Callable[["Services"], Awaitable[ResultT]], *, starts: bool) -> ResultT:
    from app.main import Services  # noqa: PLC0415

    services = Services.create(settings, Clock())
    try:
        if starts:
            await services.start()
        return await use(services)
    finally:
        await services.close()


@asynccontextmanager
async def transaction(services: "Services") -> AsyncIterator["Session"]:
    """A session that is committed at the end of the block, and rolled back when anything raises."""
    async with services.database.session() as session:
        yield session
        await session.commit()  # commit: no request's dependency does it


async def collect(
    read: Callable[[int, str | None], Awaitable["Page[ItemT]"]], limit: int | None = None
) -> tuple[list[ItemT], bool]:
    """The first items of a list that comes in pages, or all of them, and whether there are more."""
    from app.core.pagination import MAX_PAGE_SIZE  # noqa: PLC0415

    items: list[ItemT] = []
    cursor = None
    while limit is None or len(items) < limit:
        page = await read(MAX_PAGE_SIZE if limit is None else min(MAX_PAGE_SIZE, limit - len(items)), cursor)
        items, cursor = items + page.items, page.next_cursor
        if cursor is None:
            return items, False
    return items, True


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is destroyed, on standard error; without `yes` a command that nobody answers ends here.

    Raises:
        Abort: the answer was no, or none.
    """
    if not yes:
        typer.confirm(question, abort=True, err=True)

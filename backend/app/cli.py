"""The operator's command line: `python -m app.cli`."""

import asyncio
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import orjson
import typer

from app.core.clock import Clock
from app.core.errors import AppError, ConfigurationError
from app.core.settings import Settings

if TYPE_CHECKING:
    from app.main import Services

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)
database = typer.Typer(no_args_is_help=True, help="The database's schema.")
app.add_typer(database, name="db")
ResultT = TypeVar("ResultT")


@contextmanager
def _refusals() -> Iterator[None]:
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
    from app.db.errors import to_app_error  # noqa: PLC0415 - see `serve`

    return error if isinstance(error, AppError) else to_app_error(error)


@app.command()
def serve() -> None:
    """Serve the API on HOST:PORT. Outside production the database is brought to the newest revision first."""
    from app.api import server  # noqa: PLC0415 - each command imports only what it needs: it starts in an instant

    with _refusals():
        settings = Settings.load()
        _migrate_outside_production(settings)
        server.serve(settings)


@app.command("create-admin")
def create_admin(
    email: Annotated[str | None, typer.Option(help="Else FIRST_SUPERUSER_EMAIL, else a prompt.")] = None,
    *,
    force: Annotated[bool, typer.Option(help="Make a further administrator, or promote an account.")] = False,
) -> None:
    """Create an administrator. The password comes from FIRST_SUPERUSER_PASSWORD, a prompt or standard input."""
    with _refusals():
        settings = Settings.load()
        email = email or settings.first_superuser_email or typer.prompt("E-mail address", err=True)
        password = _password(settings)
        outcome = _with_services(settings, lambda services: _create_admin(services, email, password, force))
        typer.echo(f"Administrator {email}: {outcome}.")


@app.command("ensure-admin")
def ensure_admin() -> None:
    """Create the administrator of FIRST_SUPERUSER_EMAIL and FIRST_SUPERUSER_PASSWORD, unless there is one."""
    from app.auth import bootstrap  # noqa: PLC0415

    with _refusals():
        settings = Settings.load()
        if _with_services(settings, lambda services: bootstrap.has_admin(services.database, services.auth)):
            typer.echo("An administrator is there.")
            return
        for name in ("first_superuser_email", "first_superuser_password"):
            if getattr(settings, name) is None:
                raise ConfigurationError(name.upper(), "is not set")
        create_admin(email=None, force=False)


@app.command("export-openapi")
def export_openapi() -> None:
    """Print the API's OpenAPI document."""
    from app.main import create_app  # noqa: PLC0415

    with _refusals():
        document = create_app(Settings.load(secret_key=secrets.token_urlsafe(48))).openapi()
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


@database.command()
def upgrade(revision: Annotated[str, typer.Argument()] = "head") -> None:
    """Bring the database to the newest revision, or to another one."""
    from app.db import migrations  # noqa: PLC0415

    with _refusals():
        migrations.upgrade(Settings.load(), revision)


@database.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="A revision, or -1 for one step.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm it in production.")] = False,
) -> None:
    """Take the database back to an older revision, which may drop data."""
    from app.db import migrations  # noqa: PLC0415

    with _refusals():
        migrations.downgrade(Settings.load(), revision, is_confirmed=yes)


@database.command()
def current() -> None:
    """Print the revision that the database is at."""
    from app.db import migrations  # noqa: PLC0415

    with _refusals():
        typer.echo(migrations.current_revision(Settings.load()) or "empty")


@database.command()
def check() -> None:
    """Exit with 1 unless the database is at the newest revision."""
    from app.db import migrations  # noqa: PLC0415

    with _refusals():
        found, head = migrations.current_revision(Settings.load()), migrations.head_revision()
        typer.echo(f"{found or 'empty'} (newest: {head})")
        raise typer.Exit(0 if found == head else 1)


def _migrate_outside_production(settings: Settings) -> None:
    from app.db import migrations  # noqa: PLC0415

    if not settings.is_production:
        migrations.upgrade(settings)


def _password(settings: Settings) -> str:
    if settings.first_superuser_password is not None:
        return settings.first_superuser_password.get_secret_value()
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\n")


async def _create_admin(services: "Services", email: str, password: str, force: bool) -> str:
    from app.auth import bootstrap  # noqa: PLC0415

    outcome = await bootstrap.create_admin(
        services.database, services.auth, email=email, password=password, is_forced=force
    )
    return outcome.value


def _with_services(settings: Settings, use: Callable[["Services"], Awaitable[ResultT]]) -> ResultT:
    """Run something with the service's parts, without a server."""
    from app.core.logging import configure_logging  # noqa: PLC0415
    from app.main import Services  # noqa: PLC0415

    _migrate_outside_production(settings)
    configure_logging(settings, to_stderr=True)

    async def run() -> ResultT:
        services = Services.create(settings, Clock())
        try:
            await services.start()
            return await use(services)
        finally:
            await services.close()

    return asyncio.run(run())


if __name__ == "__main__":
    app()

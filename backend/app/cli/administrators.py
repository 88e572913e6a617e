"""The first administrator."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import AsJson, say
from app.cli.running import refusals, with_services
from app.core.errors import ConfigurationError
from app.core.settings import Settings

if TYPE_CHECKING:
    from app.auth.bootstrap import AdminOutcome
    from app.main import Services

commands = typer.Typer()


@commands.command("create-admin")
def create_admin(
    email: Annotated[str | None, typer.Option(help="Else FIRST_SUPERUSER_EMAIL, else a prompt.")] = None,
    *,
    force: Annotated[bool, typer.Option(help="Make a further administrator, or promote an account.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create an administrator. The password comes from FIRST_SUPERUSER_PASSWORD, a prompt or standard input."""
    with refusals():
        settings = Settings.load()
        email = email or settings.first_superuser_email or typer.prompt("E-mail address", err=True)
        password = _password(settings)
        outcome = with_services(settings, lambda services: _create_admin(services, email, password, force))
        say(f"Administrator {email}: {outcome}.", {"email": email, "outcome": outcome}, as_json=as_json)


@commands.command("ensure-admin")
def ensure_admin(*, as_json: AsJson = False) -> None:
    """Create the administrator of FIRST_SUPERUSER_EMAIL and FIRST_SUPERUSER_PASSWORD, unless there is one."""
    from app.auth import bootstrap  # noqa: PLC0415

    with refusals():
        settings = Settings.load()
        if with_services(settings, lambda services: bootstrap.has_admin(services.database, services.auth)):
            record = {"email": None, "outcome": bootstrap.AdminOutcome.ALREADY_THERE}
            say("An administrator is there.", record, as_json=as_json)
            return
        for name in ("first_superuser_email", "first_superuser_password"):
            if getattr(settings, name) is None:
                raise ConfigurationError(name.upper(), "is not set")
        create_admin(email=None, force=False, as_json=as_json)


def _password(settings: Settings) -> str:
    if settings.first_superuser_password is not None:
        return settings.first_superuser_password.get_secret_value()
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\n")


async def _create_admin(services: "Services", email: str, password: str, force: bool) -> "AdminOutcome":
    from app.auth import bootstrap  # noqa: PLC0415

    return await bootstrap.create_admin(
        services.database, services.auth, email=email, password=password, is_forced=force
    )

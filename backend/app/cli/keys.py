"""The signing keys."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.output import AsJson, show_records
from app.cli.running import Yes, confirm, operate, refusals, transaction

if TYPE_CHECKING:
    from app.main import Services

commands = typer.Typer(no_args_is_help=True, help="The signing keys of access tokens.")


@commands.command("list")
def list_keys(*, as_json: AsJson = False) -> None:
    """List the keys that sign or still verify, the oldest first."""
    with refusals():
        show_records(operate(_list), as_json=as_json)


@commands.command()
def rotate(
    *,
    compromised: Annotated[
        bool, typer.Option("--compromised", help="Somebody else may have the keys: end them all at once.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Publish a new key, which takes over by itself; nothing fails meanwhile."""
    with refusals():
        if compromised:
            confirm("End all keys, and with them every access token?", yes=yes)
        show_records(operate(lambda services: _rotate(services, is_compromised=compromised)), as_json=as_json)


async def _list(services: "Services") -> list[dict[str, Any]]:
    from app.auth.keys.service import KeyService  # noqa: PLC0415

    async with services.database.read_session() as session:
        return [asdict(key) for key in await KeyService(session, services.auth).list_()]


async def _rotate(services: "Services", *, is_compromised: bool) -> list[dict[str, Any]]:
    from app.auth.keys.service import KeyService  # noqa: PLC0415
    from app.auth.types import COMMAND_LINE  # noqa: PLC0415

    async with transaction(services) as session:
        keys = await KeyService(session, services.auth).rotate(None, COMMAND_LINE, is_compromised=is_compromised)
    return [asdict(key) for key in keys]

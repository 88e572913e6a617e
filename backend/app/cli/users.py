"""Everyone's accounts."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.auth.types import COMMAND_LINE, OPERATOR, Role
from app.cli.output import AsJson, say, show_record, show_records
from app.cli.running import Yes, collect, confirm, operate, refusals, transaction
from app.core.text import require_single_line

if TYPE_CHECKING:
    from app.auth.user_admin import UserFilter
    from app.main import Services

commands = typer.Typer(no_args_is_help=True, help="Accounts.")
UserName = Annotated[
    str, typer.Argument(metavar="USER", parser=require_single_line, help="An e-mail address, a user name or an id.")
]
Limit = Annotated[int, typer.Option(min=1, help="Show at most so many.")]

_COLUMNS = ("email", "username", "role", "is_superuser", "is_active", "created_at", "last_login_at", "id")
_SESSION_COLUMNS = ("id", "device", "device_name", "address", "created_at", "refreshed_at")


@commands.command("list")
def list_users(
    *,
    search: Annotated[
        str | None,
        typer.Option(parser=require_single_line, metavar="TEXT", help="Start of address, user or full name."),
    ] = None,
    role: Annotated[Role | None, typer.Option(help="A built-in role.")] = None,
    active: Annotated[bool | None, typer.Option("--active/--disabled", help="In this state only.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List accounts, the newest first."""
    from app.auth.user_admin import UserFilter  # noqa: PLC0415

    with refusals():
        filter_ = UserFilter(search=search, role=role, is_active=active)
        records, has_more = operate(lambda services: _list(services, filter_, limit))
        show_records(records, as_json=as_json, columns=_COLUMNS, has_more=has_more)


@commands.command()
def show(user: UserName, *, as_json: AsJson = False) -> None:
    """Show an account, its roles and what they permit."""
    with refusals():
        show_record(operate(lambda services: _show(services, user)), as_json=as_json)


@commands.command()
def disable(user: UserName, *, yes: Yes = False, as_json: AsJson = False) -> None:
    """Refuse all logins, and end all sessions and tokens of an account at once."""
    with refusals():
        confirm(f"Disable {user}, and end all its sessions and tokens?", yes=yes)
        record = operate(lambda services: _set_active(services, user, is_active=False))
        say(f"{record['email']} is disabled.", record, as_json=as_json)


@commands.command()
def enable(user: UserName, *, as_json: AsJson = False) -> None:
    """Let an account log in again; its old sessions stay ended."""
    with refusals():
        record = operate(lambda services: _set_active(services, user, is_active=True))
        say(f"{record['email']} is enabled.", record, as_json=as_json)


@commands.command("reset-link")
def reset_link(
    user: UserName,
    *,
    mail: Annotated[bool, typer.Option("--mail", help="Send it to the account's address instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print a link by which someone can set a new password, once. Whoever has it can."""
    with refusals():
        if mail:
            email = operate(lambda services: _send_reset(services, user))
            say(f"A link is on its way to {email}.", {"email": email}, as_json=as_json)
            return
        record = operate(lambda services: _make_reset_link(services, user))
        say(record["link"], record, as_json=as_json)
        typer.echo(f"It works once, until {record['expires_at']:%Y-%m-%d %H:%M} UTC, for {record['email']}.", err=True)


@commands.command()
def sessions(
    user: UserName,
    *,
    end: Annotated[bool, typer.Option("--end", help="End them all.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """List where someone is logged in, or log them out everywhere."""
    with refusals():
        if end:
            confirm(f"End all sessions of {user}?", yes=yes)
            record = operate(lambda services: _end_sessions(services, user))
            say(f"{record['ended']} sessions of {record['email']} ended.", record, as_json=as_json)
            return
        records = operate(lambda services: _sessions(services, user))
        show_records(records, as_json=as_json, columns=_SESSION_COLUMNS)


async def _list(services: "Services", filter_: "UserFilter", limit: int) -> tuple[list[dict[str, Any]], bool]:
    from app.auth.types import UserSort  # noqa: PLC0415
    from app.auth.user_admin import UserAdminService  # noqa: PLC0415

    async with services.database.read_session() as session:
        users = UserAdminService(session, services.auth)
        found, has_more = await collect(
            lambda size, cursor: users.list_(filter_, sort=UserSort.CREATED_AT_DESC, limit=size, cursor=cursor), limit
        )
    return [_record(user) for user in found], has_more


async def _show(services: "Services", name: str) -> dict[str, Any]:
    from app.auth.roles.service import RoleService  # noqa: PLC0415
    from app.auth.user_admin import UserAdminService  # noqa: PLC0415

    async with services.database.read_session() as session:
        user = await UserAdminService(session, services.auth).find(name)
        roles = await RoleService(session, services.auth).roles_of(user.id)
    custom = [role.name for role in roles.custom_roles]
    return _record(user) | {"custom_roles": custom, "permissions": list(roles.permissions)}


async def _set_active(services: "Services", name: str, *, is_active: bool) -> dict[str, Any]:
    from app.auth.user_admin import UserAdminService  # noqa: PLC0415

    async with transaction(services) as session:
        users = UserAdminService(session, services.auth)
        user = await users.find(name)
        return _record(await users.set_active(OPERATOR, user.id, COMMAND_LINE, is_active=is_active))


async def _send_reset(services: "Services", name: str) -> str:
    from app.auth.recovery.service import RecoveryService  # noqa: PLC0415
    from app.auth.user_admin import UserAdminService  # noqa: PLC0415

    async with transaction(services) as session:
        user = await UserAdminService(session, services.auth).find(name)
        await RecoveryService(session, services.auth).send_reset(OPERATOR, user.id, COMMAND_LINE)
    return user.email


async def _make_reset_link(services: "Services", name: str) -> dict[str, Any]:
    from app.auth.recovery.service import RecoveryService  # noqa: PLC0415
    from app.auth.user_admin import UserAdminService  # noqa: PLC0415

    async with transaction(services) as session:
        user = await UserAdminService(session, services.auth).find(name)
        made = await RecoveryService(session, services.auth).make_reset_link(user.id, COMMAND_LINE)
    return {"email": user.email, "link": made.link, "expires_at": made.expires_at}


async def _sessions(services: "Services", name: str) -> list[dict[str, Any]]:
    from app.auth.schemas import SessionRead  # noqa: PLC0415
    from app.auth.user_admin import UserAdminService  # noqa: PLC0415

    async with services.database.read_session() as session:
        users = UserAdminService(session, services.auth)
        found = await users.list_sessions((await users.find(name)).id)
    return [SessionRead.model_validate(one).model_dump(exclude={"current"}) for one in found]


async def _end_sessions(services: "Services", name: str) -> dict[str, Any]:
    from app.auth.user_admin import UserAdminService  # noqa: PLC0415

    async with transaction(services) as session:
        users = UserAdminService(session, services.auth)
        user = await users.find(name)
        live = await users.list_sessions(user.id)
        await users.end_sessions(OPERATOR, user.id, COMMAND_LINE)
    return {"email": user.email, "ended": len(live)}


def _record(user: Any) -> dict[str, Any]:
    from app.auth.schemas import UserRead  # noqa: PLC0415

    return UserRead.model_validate(user).model_dump()

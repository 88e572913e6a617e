"""Who may do what."""

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from app.auth.types import COMMAND_LINE, OPERATOR, Role
from app.cli.output import AsJson, say, show_record, show_records
from app.cli.running import Yes, collect, confirm, operate, refusals, transaction
from app.cli.users import UserName
from app.core.text import require_single_line

if TYPE_CHECKING:
    from app.auth.roles.service import RoleService
    from app.auth.roles.types import RoleView, UserRolesView
    from app.main import Services

commands = typer.Typer(no_args_is_help=True, help="Roles, built in and custom.")
RoleName = Annotated[str, typer.Argument(metavar="ROLE", parser=require_single_line, help="Its name.")]

_COLUMNS = ("name", "kind", "permissions")


@commands.command("list")
def list_roles(*, as_json: AsJson = False) -> None:
    """List the built-in roles and the custom ones, with what they permit."""
    with refusals():
        show_records(operate(_list), as_json=as_json, columns=_COLUMNS)


@commands.command()
def show(role: RoleName, *, as_json: AsJson = False) -> None:
    """Show a role."""
    with refusals():
        show_record(operate(lambda services: _show(services, role)), as_json=as_json)


@commands.command()
def assign(user: UserName, role: RoleName, *, as_json: AsJson = False) -> None:
    """Give a role to an account. A built-in one replaces its present built-in role."""
    with refusals():
        record = operate(lambda services: _change(services, user, role, gives=True))
        say(_sentence(record), record, as_json=as_json)


@commands.command()
def remove(user: UserName, role: RoleName, *, yes: Yes = False, as_json: AsJson = False) -> None:
    """Take a role from an account. In place of a built-in one it has the role `user` then."""
    with refusals():
        if _built_in(role) is Role.USER:
            raise typer.BadParameter("an account has at least this one", param_hint="ROLE")
        confirm(f"Take the role {role} from {user}?", yes=yes)
        record = operate(lambda services: _change(services, user, role, gives=False))
        say(_sentence(record), record, as_json=as_json)


async def _list(services: "Services") -> list[dict[str, Any]]:
    from app.auth.roles.service import RoleService  # noqa: PLC0415

    async with services.database.read_session() as session:
        roles = RoleService(session, services.auth)
        custom, _ = await collect(lambda size, cursor: roles.list_(limit=size, cursor=cursor))
    return [*map(_built_in_record, Role), *map(_custom_record, custom)]


async def _show(services: "Services", name: str) -> dict[str, Any]:
    from app.auth.roles.service import RoleService  # noqa: PLC0415

    built_in = _built_in(name)
    if built_in is not None:
        return _built_in_record(built_in)
    async with services.database.read_session() as session:
        return _custom_record(await RoleService(session, services.auth).find(name))


async def _change(services: "Services", user_name: str, role_name: str, *, gives: bool) -> dict[str, Any]:
    from app.auth.roles.service import RoleService  # noqa: PLC0415
    from app.auth.user_admin import UserAdminService  # noqa: PLC0415

    async with transaction(services) as session:
        user = await UserAdminService(session, services.auth).find(user_name)
        roles = RoleService(session, services.auth)
        view = await roles.roles_of(user.id)
        role, custom = await _wanted(roles, view, role_name, gives=gives)
        if (role, custom) != (view.role, {held.id for held in view.custom_roles}):
            view = await roles.assign(
                OPERATOR,
                user.id,
                role=role,
                custom_roles=custom,
                expected_version=view.row_version,
                client=COMMAND_LINE,
            )
    return {
        "email": user.email,
        "role": view.role,
        "custom_roles": [held.name for held in view.custom_roles],
        "permissions": list(view.permissions),
    }


async def _wanted(roles: "RoleService", before: "UserRolesView", name: str, *, gives: bool) -> tuple[Role, set[UUID]]:
    """What an account shall have once this role was given to it or taken from it."""
    held = {role.id for role in before.custom_roles}
    built_in = _built_in(name)
    if built_in is None:
        found = {(await roles.find(name)).id}
        return before.role, held | found if gives else held - found
    if gives:
        return built_in, held
    return Role.USER if before.role is built_in else before.role, held


def _built_in(name: str) -> Role | None:
    return next((role for role in Role if role == name.casefold()), None)


def _built_in_record(role: Role) -> dict[str, Any]:
    from app.auth.permissions import permissions_of  # noqa: PLC0415

    permitted = sorted(permissions_of(role, is_superuser=False))
    return {"name": role.value, "kind": "built-in", "id": None, "description": None, "permissions": permitted}


def _custom_record(role: "RoleView") -> dict[str, Any]:
    return {
        "name": role.name,
        "kind": "custom",
        "id": role.id,
        "description": role.description,
        "permissions": list(role.permissions),
    }


def _sentence(record: dict[str, Any]) -> str:
    return f"{record['email']} has the roles {', '.join([record['role'], *record['custom_roles']])}."

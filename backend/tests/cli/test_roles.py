"""`roles`: who may do what, with a running service beside."""

from app.auth.models import AuditEvent
from app.auth.repository import AuditRepository
from app.auth.types import AuditAction
from app.main import Services
from tests.auth.roles.players import make_role, renew
from tests.cli.conftest import Shell
from tests.support import Account


async def test_roles_are_listed_and_shown(shell: Shell, admin: Account) -> None:
    """Built-in and custom ones alike, however their names are written."""
    await make_role(admin, "users:read", "audit:read", name="Support Desk")
    found = {role["name"]: role for role in await shell.list("roles", "list")}
    assert list(found) == ["user", "reviewer", "author", "admin", "Support Desk"]
    assert {name: role["kind"] for name, role in found.items()}["admin"] == "built-in"
    assert found["Support Desk"]["permissions"] == ["audit:read", "users:read"]
    assert "Support Desk" in await shell.say("roles", "list")
    for name, role in found.items():
        assert await shell.get("roles", "show", name.upper()) == role
    assert "users:read" in await shell.say("roles", "show", "support desk")
    assert await shell.refuse("roles", "show", "king") == "No such role."


async def test_a_role_is_given_and_taken(shell: Shell, services: Services, admin: Account, account: Account) -> None:
    """In force from the account's next request on; on record as nobody's, by an operator. Twice is the same as once."""
    await make_role(admin, "users:read", name="support")
    given = await shell.get("roles", "assign", account.email, "Support")
    assert (given["role"], given["custom_roles"]) == ("user", ["support"])
    assert "users:read" in given["permissions"]
    assert (await account.get("/admin/users")).status_code == 401
    assert "users:read" in await renew(account)
    assert (await account.get("/admin/users")).status_code == 200
    assert await shell.get("roles", "assign", account.email, "support") == given
    said = await shell.say("roles", "assign", account.email, "AUTHOR")
    assert said == f"{account.email} has the roles author, support."

    assert (await shell.run("roles", "remove", account.email, "support", stdin="n\n")).exit_code == 1
    taken = await shell.get("roles", "remove", account.email, "support", "--yes")
    assert (taken["role"], taken["custom_roles"]) == ("author", [])
    assert (await account.get("/admin/users")).status_code == 401
    assert await shell.get("roles", "remove", account.email, "support", "--yes") == taken
    assert (await shell.get("roles", "remove", account.email, "reviewer", "--yes"))["role"] == "author"
    assert (await shell.get("roles", "remove", account.email, "author", "--yes"))["role"] == "user"
    async with services.database.read_session() as session:
        events = await AuditRepository(session, services.clock).list_(
            AuditEvent.action == AuditAction.USER_ROLES_CHANGED, order_by=(AuditEvent.sequence,)
        )
    assert [(event.actor_id, event.detail["by"]) for event in events] == [(None, "operator")] * 4


async def test_an_administrator_is_made_and_unmade(shell: Shell, admin: Account, account: Account) -> None:
    """An operator gives every rank, but the last administrator stays."""
    assert (await shell.get("roles", "assign", account.email, "admin"))["role"] == "admin"
    assert (await shell.get("roles", "remove", admin.email, "admin", "--yes"))["role"] == "user"
    assert (await admin.get("/users/me")).status_code == 401
    for change in (["remove", account.email, "admin", "--yes"], ["assign", account.email, "user"]):
        assert await shell.refuse("roles", *change) == "The last administrator must stay."


async def test_what_is_no_change_of_roles(shell: Shell, account: Account) -> None:
    """Roles and accounts that are not there, and the role that everyone has at least."""
    assert await shell.refuse("roles", "assign", account.email, "king") == "No such role."
    assert await shell.refuse("roles", "remove", account.email, "king", "--yes") == "No such role."
    assert await shell.refuse("roles", "assign", "nobody", "author") == "No such account."
    assert (await shell.run("roles", "remove", account.email, "user", "--yes")).exit_code == 2

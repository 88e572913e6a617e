"""`users`: everyone's accounts, with a running service beside."""

import httpx
import pytest

from app.auth.models import AuditEvent, User
from app.auth.one_time_tokens.types import TokenPurpose
from app.auth.repository import AuditRepository, UserRepository
from app.auth.types import AuditAction
from app.main import Services
from tests.auth.mail_flows.flows import NEW_PASSWORD, reset, token_of
from tests.cli.conftest import Shell
from tests.mailbox import Mailbox
from tests.support import OWN, Account, ManualClock, register


async def events_of(services: Services, account: Account, action: AuditAction) -> list[AuditEvent]:
    """The events of one kind that concern an account."""
    async with services.database.read_session() as session:
        return await AuditRepository(session, services.clock).list_(
            AuditEvent.user_id == await id_of(services, account), AuditEvent.action == action
        )


async def id_of(services: Services, account: Account) -> object:
    """An account's id as the database has it."""
    async with services.database.read_session() as session:
        user = await UserRepository(session, services.clock).get_by_login(account.email)
    assert user is not None
    return user.id


async def test_accounts_are_listed(shell: Shell, client: httpx.AsyncClient) -> None:
    """By start of name, role and state, the newest first; a list that is cut says so."""
    assert await shell.say("users", "list") == "None."
    first, second = await register(client, username="ada"), await register(client, full_name="Ada Byron")
    found = await shell.list("users", "list")
    assert [record["email"] for record in found] == [second.email, first.email]
    assert "hashed_password" not in found[0]
    shown = await shell.say("users", "list", "--search", "ADA", "--role", "user", "--active")
    assert all(text in shown for text in (first.email, second.email, first.id, "last login at"))
    assert await shell.list("users", "list", "--disabled") == await shell.list("users", "list", "--role=admin") == []
    cut = await shell.run("users", "list", "--limit", "1", "--json")
    assert (len(cut.stdout.splitlines()), cut.stderr) == (1, "There are more; see --limit.\n")


async def test_an_account_is_named_by_address_name_or_id(shell: Shell, client: httpx.AsyncClient) -> None:
    """However they are written. A user name that is another account's id without dashes names its owner."""
    account = await register(client, username="ada")
    for name in (account.email, account.email.upper(), "ADA", account.id, account.id.upper()):
        assert (await shell.get("users", "show", name))["id"] == account.id
    shown = await shell.get("users", "show", "ada")
    assert (shown["role"], shown["custom_roles"]) == ("user", [])
    assert shown["permissions"] == sorted(OWN)
    mimic = await register(client, username=account.id.replace("-", ""))
    assert (await shell.get("users", "show", mimic.username or ""))["id"] == mimic.id
    for name in ("nobody", "nobody@example.com", "0" * 36, mimic.id[:-1], "@"):
        assert await shell.refuse("users", "show", name) == "No such account."
    for arguments in (["users", "show"], ["users", "list", "--search"], ["roles", "show"], ["jobs", "list", "--kind"]):
        refused = await shell.run(*arguments, "a\udcffb")  # bytes that are no UTF-8
        assert (refused.exit_code, refused.stdout) == (2, ""), arguments


async def test_a_service_whose_clock_was_set_back_refuses_a_disabled_account_too(
    shell: Shell, services: Services, account: Account, clock: ManualClock
) -> None:
    """It has read the revocations of a later moment than that of the command."""
    clock.advance(hours=1)
    await services.auth.revocations._read()
    clock.reset()
    assert (await account.get("/users/me")).status_code == 200
    await shell.say("users", "disable", account.email, "--yes")
    assert (await account.get("/users/me")).status_code == 401


async def test_a_disabled_account_is_refused_by_the_running_service(
    shell: Shell, services: Services, client: httpx.AsyncClient
) -> None:
    """At its next request, with all its tokens; on record as nobody's, by an operator. Enabled, it logs in anew."""
    account = await register(client, username="ada")
    body = {"name": "backup", "scopes": ["profile:read"], "expires_in_days": 1}
    made = await account.request("POST", "/users/me/tokens", json=body)
    assert made.status_code == 201, made.text
    token = Account(client, account.id, account.email, "", None, access_token=made.json()["text"])
    assert (await token.get("/users/me")).status_code == 200
    declined = await shell.run("users", "disable", "ada", stdin="n\n")
    unanswered = await shell.run("users", "disable", "ada")
    assert (declined.exit_code, unanswered.exit_code) == (1, 1)
    assert "Disable ada" in declined.stderr
    assert "disabled" not in declined.output + unanswered.output
    assert (await account.get("/users/me")).status_code == 200

    agreed = await shell.run("users", "disable", "ada", stdin="y\n")
    assert agreed.exit_code == 0
    assert agreed.stdout.endswith(f"{account.email} is disabled.\n")
    assert {(await one.get("/users/me")).status_code for one in (account, token)} == {401}
    assert (await account.login()).status_code == 401
    assert (await shell.get("users", "disable", "ada", "--yes"))["is_active"] is False
    for action in (AuditAction.USER_DISABLED, AuditAction.SESSION_ENDED, AuditAction.PERSONAL_TOKEN_REVOKED):
        (event,) = await events_of(services, account, action)
        assert (event.actor_id, event.detail["by"]) == (None, "operator")

    assert (await shell.get("users", "enable", "ada"))["is_active"] is True
    assert await shell.say("users", "enable", "ada") == f"{account.email} is enabled."
    assert (await account.login()).status_code == 200
    timeline = (await account.get("/users/me/events")).json()["items"]
    assert {event["by"] for event in timeline if event["action"] == "user_disabled"} == {"system"}


async def test_the_last_administrator_stays(shell: Shell, admin: Account) -> None:
    """An operator is above permissions, not above the rules."""
    refusal = await shell.refuse("users", "disable", admin.email, "--yes")
    assert refusal == "The last administrator must stay."
    assert (await admin.get("/admin/users")).status_code == 200


async def test_a_reset_link_is_handed_over(
    shell: Shell, services: Services, account: Account, mailbox: Mailbox, client: httpx.AsyncClient
) -> None:
    """It works once and ends all sessions; no mail goes, no code exists, and the address is not proven by it."""
    await mailbox.all()
    mailbox.clear()
    result = await shell.run("users", "reset-link", account.email)
    assert result.exit_code == 0, result.output
    assert account.email in result.stderr
    link = result.stdout.strip()
    assert link.startswith(f"{services.settings.base_url}/account/password/reset?token=")
    assert (await client.get(link.removeprefix(services.settings.base_url))).status_code == 200
    assert await mailbox.all() == []
    assert (await reset(client, token_of(link), "short")).status_code == 422
    assert (await reset(client, token_of(link))).status_code == 204
    assert (await reset(client, token_of(link))).json()["code"] == "token_used"
    assert (await account.get("/users/me")).status_code == 401
    account.password = NEW_PASSWORD
    assert (await account.login()).status_code == 200
    assert (await account.get("/users/me")).json()["email_verified_at"] is None
    (event,) = await events_of(services, account, AuditAction.PASSWORD_RESET_REQUESTED)
    assert (event.actor_id, event.detail) == (None, {"by": "operator", "handed_over": True})
    assert token_of(link) not in str(event.detail)

    made = await shell.get("users", "reset-link", account.email)
    assert made.keys() == {"email", "link", "expires_at"}
    codec = services.auth.one_time_tokens
    token_id = codec.id_of(token_of(made["link"]), [TokenPurpose.RESET_PASSWORD])
    assert token_id is not None
    code = codec.code(TokenPurpose.RESET_PASSWORD, token_id)
    body = {"email": account.email, "code": code, "new_password": NEW_PASSWORD}
    assert (await client.post("/api/v1/auth/password/reset", json=body)).json()["code"] == "code_invalid"


async def test_a_reset_link_is_mailed(shell: Shell, account: Account, mailbox: Mailbox) -> None:
    """With --mail nothing is printed that would open the account."""
    said = await shell.say("users", "reset-link", "--mail", account.email)
    assert said == f"A link is on its way to {account.email}."
    assert (await reset(account.client, token_of(await mailbox.link(account.email)))).status_code == 204


@pytest.mark.parametrize("options", [[], ["--mail"]])
async def test_a_disabled_account_gets_no_reset_link(shell: Shell, account: Account, options: list[str]) -> None:
    assert (await shell.run("users", "disable", account.email, "--yes")).exit_code == 0
    refusal = await shell.refuse("users", "reset-link", account.email, *options)
    assert refusal == "The account is disabled."


async def test_sessions_are_listed_and_ended(shell: Shell, services: Services, account: Account) -> None:
    """Ended ones are refused at the next request of the running service; the account itself stays."""
    await account.login(device_name="Ada's laptop")
    found = await shell.list("users", "sessions", account.email)
    assert [session["device_name"] for session in found] == [None, "Ada's laptop"]
    assert "Ada's laptop" in await shell.say("users", "sessions", account.email)
    assert (await shell.run("users", "sessions", account.email, "--end", stdin="n\n")).exit_code == 1
    assert (await account.get("/users/me")).status_code == 200
    ended = await shell.get("users", "sessions", account.email, "--end", "--yes")
    assert ended == {"email": account.email, "ended": 2}
    assert (await account.get("/users/me")).status_code == 401
    assert await shell.say("users", "sessions", account.email) == "None."
    assert {event.actor_id for event in await events_of(services, account, AuditAction.SESSION_ENDED)} == {None}
    assert (await account.login()).status_code == 200


async def test_misuse_ends_with_2(shell: Shell) -> None:
    """Unknown commands and options, and values that are none."""
    for arguments in (
        ["users", "dismiss", "ada"], ["users", "list", "--role", "king"], ["users", "list", "--limit", "0"],
        ["users", "show"], ["users", "show", "ada", "--yes"],
    ):  # fmt: skip
        assert (await shell.run(*arguments)).exit_code == 2, arguments


async def test_a_command_is_all_or_nothing(shell: Shell, services: Services, account: Account) -> None:
    """What is refused in the middle leaves neither a change nor an event."""
    async with services.database.session() as session:
        users = UserRepository(session, services.clock)
        await users.update_where(User.email == account.email, values={User.is_active: False})
        await session.commit()
    await shell.refuse("users", "reset-link", account.email)
    assert await events_of(services, account, AuditAction.PASSWORD_RESET_REQUESTED) == []

"""`/admin/invitations`: who may invite whom, and what an invitation is good for."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.repository import UserRepository
from app.main import Services
from tests.auth.mail_flows.flows import register, token_of, token_to, tokens_in
from tests.auth.scenarios import actions_of, events_of, in_parallel
from tests.auth.stage import code_of
from tests.conftest import AppFactory, client_of
from tests.mailbox import Mailbox, links_in
from tests.support import Account, ManualClock
from tests.support import register as new_account

NEW = "ada@example.com"
MakeAdmin = Callable[..., Awaitable[Account]]


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """Invitations grow old only when the test says so."""
    clock.stop()


async def invite(actor: Account, email: str = NEW, **members: object) -> httpx.Response:
    return await actor.request("POST", "/admin/invitations", json={"email": email, **members})


async def statuses(actor: Account) -> list[str]:
    """What became of all invitations, the newest first."""
    return [item["status"] for item in (await actor.get("/admin/invitations")).json()["items"]]


async def test_an_invitation_makes_an_account_with_its_role(app: FastAPI, admin: Account, mailbox: Mailbox) -> None:
    answer = await invite(admin, role="author")
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {
        "id", "email", "role", "status", "invited_by", "created_at", "expires_at", "accepted_at",
    }  # fmt: skip
    assert (body["email"], body["role"], body["status"], body["accepted_at"]) == (NEW, "author", "pending", None)
    assert body["invited_by"] == admin.id
    mail = await mailbox.latest(NEW)
    assert mail["Subject"] == "You are invited"
    token = token_of(links_in(mail)[0])
    assert token not in answer.text
    made = await register(admin.client, NEW.upper(), invitation=token)
    assert (made.status_code, made.json()["role"]) == (201, "author")
    assert await statuses(admin) == ["accepted"]
    assert {"invitation_created", "registered"} <= set(await actions_of(app))
    (created,) = [event for event in await events_of(app) if event.action == "invitation_created"]
    assert str(created.actor_id) == admin.id
    assert NEW not in str(created.detail)


async def test_it_is_accepted_once(admin: Account, mailbox: Mailbox) -> None:
    await invite(admin)
    token = await token_to(mailbox, NEW)
    answers = await in_parallel(register(admin.client, NEW, invitation=token) for _ in range(10))
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 9
    assert code_of(await register(admin.client, NEW, invitation=token)) == (400, "token_used")


async def test_it_is_for_its_address(admin: Account, mailbox: Mailbox) -> None:
    """A leaked invitation makes no account of another mailbox."""
    await invite(admin)
    token = await token_to(mailbox, NEW)
    assert code_of(await register(admin.client, "eve@example.com", invitation=token)) == (400, "token_unknown")
    weak = await register(admin.client, NEW, invitation=token, password="short")
    assert code_of(weak) == (422, "weak_password")
    assert (await register(admin.client, NEW, invitation=token)).status_code == 201


async def test_it_can_be_taken_back(app: FastAPI, admin: Account, mailbox: Mailbox) -> None:
    path = f"/admin/invitations/{(await invite(admin)).json()['id']}"
    token = await token_to(mailbox, NEW)
    assert (await admin.request("DELETE", path)).status_code == 204
    assert code_of(await admin.request("DELETE", path)) == (404, "invitation_not_found")
    assert code_of(await register(admin.client, NEW, invitation=token)) == (400, "token_unknown")
    assert await statuses(admin) == ["revoked"]
    assert "invitation_revoked" in await actions_of(app)


async def test_only_invitations_can_be_taken_back(admin: Account, services: Services) -> None:
    """The ids of other one-time tokens lead nowhere."""
    for row in await tokens_in(services):
        assert code_of(await admin.request("DELETE", f"/admin/invitations/{row.id}")) == (404, "invitation_not_found")
    assert (await admin.get("/admin/invitations")).json()["items"] == []


async def test_one_that_waits_for_its_mail_is_not_sent_once_taken_back(admin: Account, mailbox: Mailbox) -> None:
    path = f"/admin/invitations/{(await invite(admin)).json()['id']}"
    assert (await admin.request("DELETE", path)).status_code == 204
    assert await mailbox.to(NEW) == []


async def test_a_new_invitation_replaces_the_one_before(admin: Account, mailbox: Mailbox) -> None:
    await invite(admin, role="reviewer")
    first = await token_to(mailbox, NEW)
    await invite(admin)
    assert code_of(await register(admin.client, NEW, invitation=first)) == (400, "token_unknown")
    made = await register(admin.client, NEW, invitation=await token_to(mailbox, NEW))
    assert made.json()["role"] == "user"


async def test_it_lives_a_week(admin: Account, mailbox: Mailbox, clock: ManualClock) -> None:
    await invite(admin)
    token = await token_to(mailbox, NEW)
    clock.advance(days=7, seconds=1)
    await admin.login()
    assert await statuses(admin) == ["expired"]
    assert code_of(await register(admin.client, NEW, invitation=token)) == (400, "token_expired")


async def test_an_address_with_an_account_is_not_invited(admin: Account, account: Account, mailbox: Mailbox) -> None:
    """Whoever may invite may see the accounts anyway: 409, and no mail."""
    before = len(await mailbox.to(account.email))
    assert code_of(await invite(admin, account.email.upper())) == (409, "email_taken")
    assert len(await mailbox.to(account.email)) == before
    assert await statuses(admin) == []


async def test_an_account_made_meanwhile_is_not_taken_over(admin: Account, mailbox: Mailbox) -> None:
    """Before the mail: none goes out. After it: 409, the password of the account stays."""
    await invite(admin, "early@example.com")
    await new_account(admin.client, email="early@example.com")
    assert "You are invited" not in await mailbox.subjects("early@example.com")
    await invite(admin)
    token = await token_to(mailbox, NEW)
    account = await new_account(admin.client, email=NEW)
    answer = await register(admin.client, NEW, invitation=token, password="the stranger's passphrase")
    assert code_of(answer) == (409, "email_taken")
    assert (await account.login()).is_success
    assert await statuses(admin) == ["pending", "revoked"]


async def test_only_superusers_invite_administrators(
    admin: Account, make_admin: MakeAdmin, client: httpx.AsyncClient, mailbox: Mailbox
) -> None:
    assert code_of(await invite(admin, role="admin")) == (403, "superuser_protected")
    superuser = await make_admin(await new_account(client), is_superuser=True)
    assert (await invite(superuser, role="admin")).status_code == 201
    made = await register(client, NEW, invitation=await token_to(mailbox, NEW))
    assert (made.json()["role"], made.json()["is_superuser"]) == ("admin", False)


@pytest.mark.parametrize("fate", ["demoted", "disabled", "deleted"])
async def test_a_role_is_given_by_who_may_give_it_now(
    admin: Account, make_admin: MakeAdmin, services: Services, mailbox: Mailbox, fate: str
) -> None:
    """An administrator who lost the post cannot have left a back door open; without an account, no door at all."""
    root = await make_admin(await new_account(admin.client), is_superuser=True)
    await invite(root, role="admin")
    await invite(root, "ordinary@example.com")
    token, ordinary = await token_to(mailbox, NEW), await token_to(mailbox, "ordinary@example.com")
    other = await make_admin(await new_account(admin.client), is_superuser=True)
    match fate:
        case "demoted":
            body = {"role": "admin", "is_superuser": False}
            assert (await other.request("PATCH", f"/admin/users/{root.id}", json=body)).is_success
        case "disabled":
            assert (await other.request("POST", f"/admin/users/{root.id}/disable")).is_success
        case _:
            async with services.database.session() as session:
                await UserRepository(session, services.clock).delete(UUID(root.id))
                await session.commit()
    assert code_of(await register(admin.client, NEW, invitation=token)) == (400, "token_unknown")
    made = await register(admin.client, "ordinary@example.com", invitation=ordinary)
    assert made.status_code == (201 if fate == "demoted" else 400)


async def test_the_permission_is_needed(account: Account, admin: Account) -> None:
    assert code_of(await invite(account)) == (403, "insufficient_scope")
    assert code_of(await account.get("/admin/invitations")) == (403, "insufficient_scope")
    await admin.login(scope="users:read")
    assert (await admin.get("/admin/invitations")).status_code == 200
    assert code_of(await invite(admin)) == (403, "insufficient_scope")
    await admin.login(scope="invitations:write")
    assert (await invite(admin)).status_code == 201
    assert code_of(await invite(admin, "bob@example.com", role="reviewer")) == (403, "permission_not_held")
    assert code_of(await admin.get("/admin/invitations")) == (403, "insufficient_scope")


async def test_the_list_comes_in_pages(admin: Account) -> None:
    for n in range(5):
        await invite(admin, f"guest{n}@example.com")
    first = (await admin.get("/admin/invitations", params={"limit": 3})).json()
    assert [item["email"] for item in first["items"]] == [f"guest{n}@example.com" for n in (4, 3, 2)]
    rest = (await admin.get("/admin/invitations", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [item["email"] for item in rest["items"]] == [f"guest{n}@example.com" for n in (1, 0)]
    assert rest["next_cursor"] is None
    answer = await admin.get("/admin/invitations", params={"cursor": "nonsense"})
    assert code_of(answer) == (422, "invalid_cursor")


@pytest.mark.parametrize(
    "body",
    [{}, {"email": "no address"}, {"email": NEW, "role": "emperor"}, {"email": NEW, "is_superuser": True},
     {"email": NEW, "role": None}, {"email": [NEW]}, {"email": NEW, "payload": {"role": "admin"}}],
    ids=str,
)  # fmt: skip
async def test_bad_input_is_refused(admin: Account, body: dict[str, object]) -> None:
    assert (await admin.request("POST", "/admin/invitations", json=body)).status_code == 422


async def test_another_installation_knows_none_of_our_links(
    make_app: AppFactory, admin: Account, mailbox: Mailbox
) -> None:
    """Links are bound to SECRET_KEY: another installation's are noise."""
    await invite(admin)
    token = await token_to(mailbox, NEW)
    other_key = "qWm4-another-random-key-8Zr1Lx7Vb2Ny5Tc9"
    async with make_app(secret_key=other_key, jwt_algorithm="HS256") as app, client_of(app) as client:
        assert code_of(await register(client, NEW, invitation=token)) == (400, "token_unknown")

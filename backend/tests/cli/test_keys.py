"""`keys`: the signing keys, with a running service beside."""

import pytest

from app.auth.models import AuditEvent
from app.auth.repository import AuditRepository
from app.auth.types import AuditAction
from app.main import Services
from tests.auth.roles.players import renew
from tests.cli.conftest import Shell
from tests.support import Account


async def events(services: Services, action: AuditAction) -> list[AuditEvent]:
    """The events of one kind."""
    async with services.database.read_session() as session:
        return await AuditRepository(session, services.clock).list_latest(action, 10)


async def test_a_key_is_published(shell: Shell, services: Services, account: Account) -> None:
    """One at a time, shown without its private part; nothing fails meanwhile."""
    before = await shell.list("keys", "list")
    assert [key["state"] for key in before] == ["active"]
    after = await shell.list("keys", "rotate")
    assert [key["state"] for key in after] == ["active", "next"]
    assert after[0].keys() == {"kid", "algorithm", "state", "created_at", "state_since", "changes_at"}
    assert after[1]["kid"] in await shell.say("keys", "list")
    assert (await shell.refuse("keys", "rotate")).startswith("A rotation is under way.")
    assert (await account.get("/users/me")).status_code == 200
    (event,) = await events(services, AuditAction.KEY_ROTATION_STARTED)
    assert (event.actor_id, event.detail) == (None, {"kid": after[1]["kid"], "by": "operator"})


async def test_compromised_keys_end_at_once(shell: Shell, services: Services, account: Account) -> None:
    """After a confirmation: the running service refuses every access token at its next request, sessions live on."""
    (old,) = await shell.list("keys", "list")
    assert (await shell.run("keys", "rotate", "--compromised", stdin="n\n")).exit_code == 1
    assert (await account.get("/users/me")).status_code == 200
    (new,) = await shell.list("keys", "rotate", "--compromised", "--yes")
    assert (new["state"], new["kid"] == old["kid"]) == ("active", False)
    assert (await account.get("/users/me")).status_code == 401
    await renew(account)
    assert (await account.get("/users/me")).status_code == 200
    (event,) = await events(services, AuditAction.KEYS_COMPROMISED)
    assert (event.actor_id, event.detail["by"]) == (None, "operator")


async def test_there_is_nothing_to_rotate_with_hs256(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_ALGORITHM", "HS256")
    assert await shell.say("keys", "list") == "None."
    assert "HS256" in await shell.refuse("keys", "rotate")

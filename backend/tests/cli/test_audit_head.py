"""`audit head`; the tests of `audit verify` are with those of the trail."""

from app.main import Services
from tests.auth.audit.trails import execute, record
from tests.cli.conftest import Shell


async def test_the_last_link_is_printed(shell: Shell, services: Services) -> None:
    """`verify --after` takes it; where the trail was cut off since, it is missed."""
    assert await shell.say("audit", "head") == "Nothing was recorded yet."
    assert await shell.get("audit", "head") == {"link": None}
    await record(services, 3)
    link = await shell.say("audit", "head")
    assert await shell.get("audit", "head") == {"link": link}
    assert (await shell.get("audit", "verify"))["end"] == link
    await record(services, 2)
    assert (await shell.get("audit", "verify", "--after", link))["events"] == 2
    await execute(services, "DELETE FROM audit_events WHERE sequence = 3")
    assert (await shell.run("audit", "verify", "--after", link)).exit_code == 1

"""`metrics`: how long operations are kept, set by the operator and followed by pruning."""

import pytest

from app.auth.types import AuditAction
from app.main import Services
from app.metrics.repository import RetentionRepository
from app.metrics.upkeep import rule_for
from tests.auth.audit.trails import stored
from tests.cli.conftest import Shell

RULE = {"pattern": "http.*", "raw_days": 1, "minute_days": 7, "hour_days": 90}
DAYS = ("--raw-days", "1", "--minute-days", "7", "--hour-days", "90")


async def test_a_rule_is_set_followed_changed_and_removed(shell: Shell, services: Services) -> None:
    assert await shell.say("metrics", "list") == "None."
    assert await shell.get("metrics", "keep", "http.*", *DAYS) == RULE
    assert await shell.list("metrics", "list") == [RULE]
    async with services.database.read_session() as session:
        rules = await RetentionRepository(session, services.clock).all()
    assert rule_for("http.get_me", rules).minute_days == 7
    await shell.say("metrics", "keep", "http.*", "--minute-days", "8", "--hour-days", "90")
    assert await shell.list("metrics", "list") == [{**RULE, "raw_days": 7, "minute_days": 8}]
    assert await shell.say("metrics", "remove", "http.*", "--yes") == "The rule is gone."
    assert await shell.refuse("metrics", "remove", "http.*", "--yes") == "No such rule."
    told = [event for event in await stored(services) if event.action.startswith("metric_retention")]
    assert [event.action for event in told] == [
        AuditAction.METRIC_RETENTION_SET, AuditAction.METRIC_RETENTION_SET, AuditAction.METRIC_RETENTION_REMOVED,
    ]  # fmt: skip
    assert told[0].detail == {**RULE, "by": "operator"}


@pytest.mark.parametrize(
    "rule",
    [
        ["", *DAYS],
        ["HTTP.*", *DAYS],
        ["http.\n", *DAYS],
        ["a" * 101, *DAYS],
        ["http.*", "--minute-days", "0"],
        ["http.*", "--raw-days", "-1"],
        ["http.*", "--minute-days", "40", "--hour-days", "39"],
        ["http.*", "--hour-days", "36501"],
    ],
)
async def test_what_makes_no_sense_is_refused(shell: Shell, rule: list[str]) -> None:
    assert (await shell.run("metrics", "keep", *rule)).exit_code != 0
    assert await shell.list("metrics", "list") == []


async def test_rules_have_a_limit(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.metrics.retention.MAX_RULES", 1)
    for _ in range(2):
        await shell.get("metrics", "keep", "http.*")
    assert "Remove one first" in await shell.refuse("metrics", "keep", "job.*")

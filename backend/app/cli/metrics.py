"""How long metrics are kept."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.auth.types import COMMAND_LINE
from app.cli.output import AsJson, say, show_records
from app.cli.running import Yes, confirm, operate, refusals, transaction

if TYPE_CHECKING:
    from app.main import Services

commands = typer.Typer(no_args_is_help=True, help="How long the metrics of operations are kept.")

_COLUMNS = ("pattern", "raw_days", "minute_days", "hour_days")
_Pattern = Annotated[str, typer.Argument(help="Names of operations, such as http.get_me or job.*")]


@commands.command("list")
def list_rules(*, as_json: AsJson = False) -> None:
    """List the rules; the longest pattern that fits an operation counts, and the default where none does."""
    with refusals():
        show_records(operate(_list), as_json=as_json, columns=_COLUMNS)


@commands.command("keep")
def keep(
    pattern: _Pattern,
    *,
    raw_days: Annotated[int, typer.Option(help="Single events.")] = 7,
    minute_days: Annotated[int, typer.Option(help="Figures of each minute.")] = 30,
    hour_days: Annotated[int, typer.Option(help="Figures of each hour; those of days stay.")] = 366,
    as_json: AsJson = False,
) -> None:
    """Make a rule, or change the one with this pattern. What is older is deleted within the hour."""
    rule = {"pattern": pattern, "raw_days": raw_days, "minute_days": minute_days, "hour_days": hour_days}
    with refusals():
        operate(lambda services: _set(services, rule))
        say(f"The rule for {pattern} holds.", rule, as_json=as_json)


@commands.command("remove")
def remove(pattern: _Pattern, *, yes: Yes = False, as_json: AsJson = False) -> None:
    """Remove a rule."""
    with refusals():
        confirm(f"Remove the rule for {pattern}?", yes=yes)
        operate(lambda services: _remove(services, pattern))
        say("The rule is gone.", {"pattern": pattern}, as_json=as_json)


async def _list(services: "Services") -> list[dict[str, Any]]:
    from app.metrics.retention import RetentionService  # noqa: PLC0415

    async with services.database.read_session() as session:
        return [asdict(rule) for rule in await RetentionService(session, services.auth).list_()]


async def _set(services: "Services", rule: dict[str, Any]) -> None:
    from app.metrics.retention import RetentionService  # noqa: PLC0415
    from app.metrics.types import Retention  # noqa: PLC0415

    async with transaction(services) as session:
        await RetentionService(session, services.auth).set_(Retention(**rule), COMMAND_LINE)


async def _remove(services: "Services", pattern: str) -> None:
    from app.metrics.retention import RetentionService  # noqa: PLC0415

    async with transaction(services) as session:
        await RetentionService(session, services.auth).remove(pattern, COMMAND_LINE)

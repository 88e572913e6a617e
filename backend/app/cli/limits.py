"""How much of the models people may use."""

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from app.auth.types import COMMAND_LINE
from app.cli.output import AsJson, say, show_records
from app.cli.running import Yes, collect, confirm, operate, refusals, transaction

if TYPE_CHECKING:
    from app.chat.usage.types import LimitView
    from app.main import Services

commands = typer.Typer(no_args_is_help=True, help="Limits of what people may use of the models.")

_COLUMNS = ("id", "scope_type", "scope_id", "metric", "window_seconds", "amount")
_LimitId = Annotated[UUID, typer.Argument(metavar="LIMIT", help="Its id.")]


@commands.command("list")
def list_limits(*, limit: Annotated[int, typer.Option(min=1)] = 1000, as_json: AsJson = False) -> None:
    """List the limits in the order in which they were set."""
    with refusals():
        records, has_more = operate(lambda services: _list(services, limit))
        show_records(records, as_json=as_json, columns=_COLUMNS, has_more=has_more)


@commands.command("set")
def set_limit(
    scope: Annotated[str, typer.Argument(help="global, user, guest, user:ID, guest:ID or role:NAME.")],
    metric: Annotated[str, typer.Argument(help="tokens, messages, or cost in US dollars.")],
    amount: Annotated[str, typer.Argument(help="How much in each window.")],
    *,
    window: Annotated[int, typer.Option(help="The window's length in seconds.")] = 86_400,
    as_json: AsJson = False,
) -> None:
    """Set a limit, or change the amount of the one with this scope, metric and window."""
    with refusals():
        scope_type, _, scope_id = scope.partition(":")
        wanted = {
            "scope_type": scope_type,
            "scope_id": scope_id,
            "metric": metric,
            "window_seconds": window,
            "amount": amount,
        }
        record = operate(lambda services: _set(services, wanted))
        say(f"The limit {record['id']} holds.", record, as_json=as_json)


@commands.command("remove")
def remove_limit(limit_id: _LimitId, *, yes: Yes = False, as_json: AsJson = False) -> None:
    """Remove a limit."""
    with refusals():
        confirm(f"Remove the limit {limit_id}?", yes=yes)
        operate(lambda services: _remove(services, limit_id))
        say("The limit is gone.", {"id": limit_id}, as_json=as_json)


async def _list(services: "Services", limit: int) -> tuple[list[dict[str, Any]], bool]:
    from app.chat.usage.administration import LimitService  # noqa: PLC0415

    async with services.database.read_session() as session:
        limits = LimitService(session, services.auth)
        found, has_more = await collect(lambda size, cursor: limits.list_(limit=size, cursor=cursor), limit)
    return [_record(view) for view in found], has_more


async def _set(services: "Services", wanted: dict[str, Any]) -> dict[str, Any]:
    from pydantic import ValidationError  # noqa: PLC0415

    from app.chat.usage.administration import LimitService  # noqa: PLC0415
    from app.chat.usage.schemas import LimitCreate  # noqa: PLC0415

    try:
        body = LimitCreate.model_validate(wanted)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise typer.BadParameter(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
    async with transaction(services) as session:
        view = await LimitService(session, services.auth).set_(**dict(body), client=COMMAND_LINE, actor_id=None)
    return _record(view)


async def _remove(services: "Services", limit_id: UUID) -> None:
    from app.chat.usage.administration import LimitService  # noqa: PLC0415

    async with transaction(services) as session:
        await LimitService(session, services.auth).delete(limit_id, client=COMMAND_LINE, actor_id=None)


def _record(view: "LimitView") -> dict[str, Any]:
    return {
        "id": view.id,
        "scope_type": view.scope_type,
        "scope_id": view.scope_id,
        "metric": view.metric,
        "window_seconds": view.window_seconds,
        "amount": f"{view.amount:f}",
    }

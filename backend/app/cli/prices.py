"""What models cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.auth.types import COMMAND_LINE
from app.cli.output import AsJson, say, show_records
from app.cli.running import collect, operate, refusals, transaction

if TYPE_CHECKING:
    from app.chat.usage.administration import PricesLoaded
    from app.main import Services

commands = typer.Typer(no_args_is_help=True, help="Prices of models.")

_COLUMNS = ("match_pattern", "provider", "tier", "unit", "price", "valid_from", "valid_to")
_File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV or JSON; see docs/chat.md.")]


@commands.command("import")
def import_prices(file: _File, *, as_json: AsJson = False) -> None:
    """Load the prices of a file, all or none. Those that are there already are changed."""
    with refusals():
        loaded = operate(lambda services: _load(services, file.read_bytes()))
        record = {"added": loaded.added, "changed": loaded.changed, "unchanged": loaded.unchanged}
        say(", ".join(f"{count} {name}" for name, count in record.items()) + ".", record, as_json=as_json)


@commands.command("list")
def list_prices(*, limit: Annotated[int, typer.Option(min=1)] = 1000, as_json: AsJson = False) -> None:
    """List the prices in the order in which they were loaded."""
    with refusals():
        records, has_more = operate(lambda services: _list(services, limit))
        show_records(records, as_json=as_json, columns=_COLUMNS, has_more=has_more)


async def _load(services: "Services", content: bytes) -> "PricesLoaded":
    from app.chat.usage.administration import PriceService  # noqa: PLC0415
    from app.chat.usage.price_files import read_prices  # noqa: PLC0415

    prices = read_prices(content)
    async with transaction(services) as session:
        return await PriceService(session, services.auth).load(prices, COMMAND_LINE, actor_id=None)


async def _list(services: "Services", limit: int) -> tuple[list[dict[str, Any]], bool]:
    from app.chat.usage.administration import PriceService  # noqa: PLC0415
    from app.chat.usage.schemas import PriceRead  # noqa: PLC0415

    async with services.database.read_session() as session:
        prices = PriceService(session, services.auth)
        found, has_more = await collect(lambda size, cursor: prices.list_(limit=size, cursor=cursor), limit)
    return [PriceRead.model_validate(price).model_dump() | {"price": f"{price.price:f}"} for price in found], has_more

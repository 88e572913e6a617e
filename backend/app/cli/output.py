"""What commands print: tables for people, JSON for programs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Record = Mapping[str, Any]
_UNLIMITED = 100_000


def show_record(record: Record, *, as_json: bool) -> None:
    """Print one thing, a line for each of its members."""
    if as_json:
        _print_json(record)
        return
    _print_table([{"": name, " ": value} for name, value in record.items()], shows_header=False)


def show_records(
    records: Sequence[Record], *, as_json: bool, columns: Sequence[str] | None = None, has_more: bool = False
) -> None:
    """Print a list: a table of these `columns`, by default all members of the first, or JSON, one line for each."""
    if as_json:
        for record in records:
            _print_json(record)
    elif records:
        names = columns or list(records[0])
        _print_table([{name: record[name] for name in names} for record in records], shows_header=True)
    else:
        typer.echo("None.")
    if has_more:
        typer.echo("There are more; see --limit.", err=True)


def say(sentence: str, record: Record, *, as_json: bool) -> None:
    """Tell people in a sentence what was done, and programs in JSON."""
    if as_json:
        _print_json(record)
    else:
        typer.echo(_printable(sentence))


def progress(description: str, total: int | None) -> Any:
    """A bar on standard error while something long goes on, in `with progress(...) as advance: advance(1)`."""
    from contextlib import contextmanager  # noqa: PLC0415 - see `app.cli.running`

    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    @contextmanager
    def bar() -> Any:
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as shown:
            task = shown.add_task(description, total=total)
            yield lambda count=1: shown.advance(task, count)

    return bar()


def _print_json(record: Record) -> None:
    typer.echo(orjson.dumps(record, default=_plain).decode())


def _print_table(records: Sequence[Record], *, shows_header: bool) -> None:
    from rich.console import Console  # noqa: PLC0415 - see `app.cli.running`
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(show_header=shows_header, box=None, pad_edge=False)
    for name in records[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for record in records:
        table.add_row(*(escape(_text(value)) for value in record.values()))
    console = Console()
    if not console.is_terminal:  # whoever reads line by line wants whole lines
        console.width = _UNLIMITED
    console.print(table)


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat(" ", "seconds").replace("+00:00", "Z")
        case StrEnum():
            return value.value
        case list() | tuple() | set() | frozenset():
            return ", ".join(sorted(map(_text, value)))
        case dict():
            return orjson.dumps(value, default=_plain).decode()
        case _:
            return _printable(str(value))


def _printable(text: str) -> str:
    """What people named themselves, without what would play tricks with a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _plain(value: Any) -> list[str] | str:
    """What JSON has no form for: a set, and a driver's own kind of UUID."""
    return str(value) if isinstance(value, UUID) else sorted(map(str, value))

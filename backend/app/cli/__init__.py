"""The operator's command line: `python -m app.cli`. Each group of commands is a room of its own."""

import typer

from app.cli import (
    administrators,
    audit,
    database,
    doctor,
    document,
    jobs,
    keys,
    limits,
    metrics,
    prices,
    roles,
    server,
    users,
)

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)
for room in (server, administrators, doctor, document):
    app.add_typer(room.commands)
for name, room in {
    "users": users, "roles": roles, "keys": keys, "jobs": jobs, "audit": audit, "prices": prices,
    "limits": limits, "metrics": metrics, "db": database,
}.items():  # fmt: skip
    app.add_typer(room.commands, name=name)

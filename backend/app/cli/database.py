"""The database's schema."""

from typing import Annotated

import typer

from app.cli.output import AsJson, say
from app.cli.running import refusals
from app.core.settings import Settings

commands = typer.Typer(no_args_is_help=True, help="The database's schema.")


@commands.command()
def upgrade(revision: Annotated[str, typer.Argument()] = "head", *, as_json: AsJson = False) -> None:
    """Bring the database to the newest revision, or to another one."""
    from app.db import migrations  # noqa: PLC0415

    with refusals():
        settings = Settings.load()
        migrations.upgrade(settings, revision)
        _show(settings, as_json=as_json)


@commands.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="A revision, or -1 for one step.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm it in production.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take the database back to an older revision, which may drop data."""
    from app.db import migrations  # noqa: PLC0415

    with refusals():
        settings = Settings.load()
        migrations.downgrade(settings, revision, is_confirmed=yes)
        _show(settings, as_json=as_json)


@commands.command()
def current(*, as_json: AsJson = False) -> None:
    """Print the revision that the database is at."""
    with refusals():
        _show(Settings.load(), as_json=as_json)


@commands.command()
def check(*, as_json: AsJson = False) -> None:
    """Exit with 1 unless the database is at the newest revision."""
    from app.db import migrations  # noqa: PLC0415

    with refusals():
        found, head = migrations.current_revision(Settings.load()), migrations.head_revision()
        record = {"revision": found, "newest": head, "is_current": found == head}
        say(f"{found or 'empty'} (newest: {head})", record, as_json=as_json)
        raise typer.Exit(0 if found == head else 1)


def _show(settings: Settings, *, as_json: bool) -> None:
    """Print where the database is."""
    from app.db import migrations  # noqa: PLC0415

    found = migrations.current_revision(settings)
    say(found or "empty", {"revision": found}, as_json=as_json)

"""The API's description."""

import secrets
import sys

import orjson
import typer

from app.cli.running import refusals
from app.core.settings import Settings

commands = typer.Typer()


@commands.command("export-openapi")
def export_openapi() -> None:
    """Print the API's OpenAPI document."""
    from app.main import create_app  # noqa: PLC0415

    with refusals():
        document = create_app(Settings.load(secret_key=secrets.token_urlsafe(48))).openapi()
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")

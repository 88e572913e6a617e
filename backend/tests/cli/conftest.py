"""A shell on the host of the running application: commands on its database, with its data folder."""

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from app.cli import app as commands
from app.core.settings import Settings
from app.main import Services
from tests.support import SECRET_KEY


class Shell:
    """Runs commands as an operator would, each with its own event loop."""

    async def run(self, *arguments: str, stdin: str = "") -> Result:
        """How a command ended, and what it printed."""
        with own_logging():
            return await asyncio.to_thread(CliRunner().invoke, commands, arguments, input=stdin)

    async def say(self, *arguments: str) -> str:
        """What a command that succeeds tells people."""
        result = await self.run(*arguments)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout.strip()

    async def list(self, *arguments: str) -> list[dict[str, Any]]:
        """What a command that succeeds tells programs."""
        return [json.loads(line) for line in (await self.say(*arguments, "--json")).splitlines()]

    async def get(self, *arguments: str) -> dict[str, Any]:
        """The same where it is one thing."""
        (record,) = await self.list(*arguments)
        return record

    async def refuse(self, *arguments: str, stdin: str = "", exit_code: int = 1) -> str:
        """The one line in which a command is refused; it prints nothing else."""
        result = await self.run(*arguments, stdin=stdin)
        assert (result.exit_code, result.stdout) == (exit_code, ""), (result.output, result.exception)
        (line,) = result.stderr.splitlines()
        return line


@contextmanager
def own_logging() -> Iterator[None]:
    """A command sets up logging for its own process; here it goes back to where it went."""
    config, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers, root.level
    try:
        yield
    finally:
        structlog.configure(**config)
        root.handlers = handlers
        root.setLevel(level)


@pytest.fixture
def shell(services: Services, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell on the host of `services`."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    values = {
        "ENVIRONMENT": "test",
        "SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": database_url,
        "DATA_DIR": str(services.settings.data_dir),
        "BCRYPT_ROUNDS": "4",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return Shell()

"""Promise 7, second half: a backup taken under load restores to a verified copy."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from sqlalchemy import select

from app.auth.models import User
from tools.drill.client import Client
from tools.drill.report import Result, at_least
from tools.drill.site import Site, new_address, register
from tools.programs import BACKEND
from tools.server import service_environment

PROMISE = "7 a backup under load restores"
COPIES = 3
_WRITERS = 4
_SCRIPTS = BACKEND.parent / "scripts"
_WRITES_BETWEEN = 20


async def drill(site: Site) -> Result:
    """Copy again and again while accounts are made; each copy must hold those that were there before it began."""
    acknowledged: list[str] = []
    expected: list[set[str]] = []
    copies = [site.folder / f"copy{number}.db" for number in range(COPIES)]
    stop = asyncio.Event()
    async with site.running() as server, asyncio.TaskGroup() as group:
        for _ in range(_WRITERS):
            group.create_task(_write(server.port, acknowledged, stop))
        try:
            for copy in copies:
                target = len(acknowledged) + _WRITES_BETWEEN
                while len(acknowledged) < target:  # noqa: ASYNC110 - the writers are what is waited for
                    await asyncio.sleep(0.05)
                expected.append(set(acknowledged))
                await _run(site, "backup.py", copy)
        finally:
            stop.set()
    violations = []
    for number, copy in enumerate(copies):
        restored = replace(site, url=f"sqlite:///{site.folder / f'restored{number}.db'}")
        await _run(restored, "restore.py", copy)
        present = {row.email for row in await restored.fetch(select(User.email))}
        missing = expected[number] - present
        violations += [f"copy {number} lacks {len(missing)} of {len(expected[number])} accounts"] if missing else []
        restored.engine.dispose()
    async with replace(site, url=f"sqlite:///{site.folder / f'restored{COPIES - 1}.db'}").running():
        pass  # it is at the newest revision, and served from
    figure = f"{COPIES} copies restored, one served from; {len(violations)} lack any of {len(expected[-1]):,} accounts"
    shortfalls = at_least(COPIES * _WRITES_BETWEEN, len(expected[-1]), "accounts before the last copy")
    return Result(PROMISE, site.name, len(acknowledged), COPIES, figure, violations, shortfalls)


async def _write(port: int, acknowledged: list[str], stop: asyncio.Event) -> None:
    async with Client(port) as client:
        while not stop.is_set():
            email = new_address()
            if (await register(client, email)).is_success:
                acknowledged.append(email)


async def _run(site: Site, script: str, copy: Path) -> None:
    """Run one of the operator's scripts.

    Raises:
        RuntimeError: it failed; the message has what it said.
    """
    environment = service_environment(**site.settings(DATA_DIR=str(site.folder)))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        _SCRIPTS / script,
        copy,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{script}: {output.decode()}")

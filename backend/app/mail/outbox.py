"""The folder that takes the mails of a service without a mail server."""

import asyncio
import os
from pathlib import Path


class Outbox:
    """One `.eml` file a mail, which mail programs open; for the service's own user alone, like all its data.

    A mail that is written again under its name replaces the first, so that each is there once.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def write(self, name: str, content: bytes) -> None:
        """Add a file, complete or not at all.

        Raises:
            OSError: the folder cannot be written.
        """
        await asyncio.to_thread(self._write, name, content)

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._folder / f".{name}.{os.getpid()}"
        draft.unlink(missing_ok=True)
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
        with os.fdopen(file, "wb") as stream:
            stream.write(content)
        draft.replace(self._folder / name)

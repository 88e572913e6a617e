"""A mail server on loopback that does what a test tells it: accepts, refuses, dawdles, hangs up, goes away.

It speaks SMTP by aiosmtpd over real sockets. As a program, `python -m tests.mail.post_office <port> <folder>`, it keeps
each message in a file before it answers for it, so that what it has accepted outlives it.
"""

import asyncio
import signal
import ssl
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_string
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

ACCEPTED = "250 2.0.0 taken"


@dataclass(frozen=True)
class Received:
    """One message that the server has answered for."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    was_encrypted: bool
    login: str | None

    @property
    def message(self) -> EmailMessage:
        """The message, parsed."""
        return message_from_string(self.content.decode(), policy=default)


@dataclass(frozen=True)
class Act:
    """What the server does at one command: waits, hangs up before or after the message is taken, or answers."""

    answer: str | None = None
    delay: float = 0.0
    hangs_up: bool = False
    takes_and_hangs_up: bool = False


class PostOffice:
    """The server. `plans` holds, for each command, what it does the next times; after that it accepts."""

    def __init__(self, folder: Path | None = None, **options: Any) -> None:
        self.received: list[Received] = []
        self.plans: dict[str, list[Act]] = {"EHLO": [], "MAIL": [], "RCPT": [], "DATA": []}
        self.port = 0
        self._folder = folder
        self._options = options
        self._tls_context: ssl.SSLContext | None = options.pop("tls_from_start", None)
        self._server: asyncio.Server | None = None
        self._lines: set[SMTP] = set()

    async def open(self) -> None:
        """Listen; again on the same port where it has listened before."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._line, "127.0.0.1", self.port, ssl=self._tls_context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and hang up on everyone, as a process does that is killed."""
        if self._server is not None:
            self._server.close()
        for line in self._lines:
            _hang_up(line)
        await asyncio.sleep(0)

    def message_ids(self) -> Counter[str]:
        """How often each Message-ID was accepted."""
        return Counter(str(received.message["Message-ID"]) for received in self.received)

    def _line(self) -> SMTP:
        loop = asyncio.get_running_loop()
        line = SMTP(self, hostname="post.example", enable_SMTPUTF8=True, loop=loop, **self._options)
        self._lines.add(line)
        return line

    async def _act(self, command: str, line: SMTP) -> str | None:
        plan = self.plans[command]
        if not plan:
            return None
        act = plan.pop(0)
        await asyncio.sleep(act.delay)
        if act.hangs_up:
            _hang_up(line)
            await asyncio.sleep(60)  # its connection is lost: this ends at once
        return act.answer

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """See `plans`."""
        session.host_name = hostname
        answer = await self._act("EHLO", server)
        return responses if answer is None else [answer]

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """See `plans`."""
        if answer := await self._act("MAIL", server):
            return answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """See `plans`."""
        if answer := await self._act("RCPT", server):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the message, then answer for it."""
        is_lost = bool(self.plans["DATA"]) and self.plans["DATA"][0].takes_and_hangs_up
        if answer := await self._act("DATA", server):
            return answer
        content = envelope.original_content or b""
        if self._folder is not None:
            draft = self._folder / f"{uuid4().hex}.draft"
            draft.write_bytes(content)
            draft.rename(draft.with_suffix(".eml"))
        recipients = tuple(envelope.rcpt_tos)
        data: Any = session.auth_data
        login = data.login.decode() if isinstance(data, LoginPassword) else None
        is_encrypted = bool(session.ssl) or self._tls_context is not None
        self.received.append(Received(envelope.mail_from or "", recipients, content, is_encrypted, login))
        if is_lost:
            _hang_up(server)
            await asyncio.sleep(60)
        return ACCEPTED


def _hang_up(line: SMTP) -> None:
    if isinstance(line.transport, asyncio.Transport):
        line.transport.abort()


def accepts(login: str, password: str) -> Any:
    """An authenticator for aiosmtpd that knows one user."""

    def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        is_right = (data.login, data.password) == (login.encode(), password.encode())
        return AuthResult(success=is_right, auth_data=data, handled=is_right)

    return authenticate


@asynccontextmanager
async def open_post_office(**options: Any) -> AsyncIterator[PostOffice]:
    """A server that listens around the block."""
    office = PostOffice(**options)
    await office.open()
    try:
        yield office
    finally:
        await office.close()


async def _serve(port: int, folder: Path) -> None:
    office = PostOffice(folder)
    office.port = port
    await office.open()
    sys.stdout.write(f"{office.port}\n")
    sys.stdout.flush()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await office.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))

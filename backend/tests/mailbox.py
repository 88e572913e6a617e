"""The mails that people would have got: what the application wrote into its outbox."""

import re
from email import message_from_string
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from app.mail.mailer import OUTBOX_FOLDER
from app.main import Services

_LINK = re.compile(r"https?://\S+")
_CODE = re.compile(r"^\s*(\d{6})\s*$", re.MULTILINE)


class Mailbox:
    """Everybody's mail. Whoever looks into it lets the jobs run that are due, and so the mails be sent."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.folder: Path = services.settings.data_dir / OUTBOX_FOLDER
        self._opened: dict[tuple[int, str], tuple[EmailMessage, list[str]]] = {}  # by when it was written, and its name

    async def all(self) -> list[EmailMessage]:
        """Every mail, the oldest first."""
        return [mail for mail, _ in await self._look()]

    async def to(self, address: str) -> list[EmailMessage]:
        """The mails to one address, the oldest first."""
        return [mail for mail, addresses in await self._look() if address in addresses]

    async def subjects(self, address: str) -> list[str]:
        """What the mails to one address are about."""
        return [mail["Subject"] for mail in await self.to(address)]

    async def latest(self, address: str) -> EmailMessage:
        """The newest mail to one address."""
        mails = await self.to(address)
        assert mails, f"no mail to {address}"
        return mails[-1]

    async def link(self, address: str) -> str:
        """The first link in the newest mail to one address."""
        return links_in(await self.latest(address))[0]

    async def code(self, address: str) -> str:
        """The code of six digits, on a line of its own, in the newest mail to one address."""
        found = _CODE.search(text_of(await self.latest(address)))
        assert found is not None, "no code"
        return found[1]

    async def _look(self) -> list[tuple[EmailMessage, list[str]]]:
        await self._services.jobs.run_due()
        written = sorted((file.stat().st_mtime_ns, file.name) for file in self.folder.glob("*.eml"))
        for mail in written:
            if mail not in self._opened:  # reading one takes longer than sending it
                parsed = parse_mail(self.folder / mail[1])
                self._opened[mail] = parsed, recipients(parsed)
        return [self._opened[mail] for mail in written]

    def clear(self) -> None:
        """Throw all mails away."""
        for file in self.folder.glob("*"):
            file.unlink()


def parse_mail(source: Path | bytes) -> EmailMessage:
    """A mail from its file or its bytes, in ASCII or (SMTPUTF8) in UTF-8."""
    content = source if isinstance(source, bytes) else source.read_bytes()
    return message_from_string(content.decode(), policy=default)


def recipients(mail: EmailMessage) -> list[str]:
    """The bare addresses that a mail goes to."""
    return [address.addr_spec for address in mail["To"].addresses]


def text_of(mail: EmailMessage) -> str:
    """The plain part."""
    return _part(mail, "plain")


def html_of(mail: EmailMessage) -> str:
    """The HTML part."""
    return _part(mail, "html")


def links_in(mail: EmailMessage) -> list[str]:
    """The links of the plain part, in their order."""
    return _LINK.findall(text_of(mail))


def _part(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None, f"no {kind} part"
    content = part.get_content()
    assert isinstance(content, str)
    return content

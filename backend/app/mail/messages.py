"""From a mail to the message that goes over the wire (RFC 5322)."""

from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from app.core.text import clean_header, parse_mailbox
from app.mail.errors import MailPermanentError
from app.mail.types import Mail

_MAX_SUBJECT_LENGTH = 200
# Everything is sent as ASCII lines, which every server passes on unchanged, signed or not.
_POLICY = SMTP.clone(cte_type="7bit")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message with those whom the server is told. Only `needs_utf8` ones need SMTPUTF8 (RFC 6531)."""

    sender: str
    recipient: str
    content: bytes
    needs_utf8: bool


def compose(mail: Mail, mail_from: str, now: datetime) -> Envelope:
    """The message of a mail.

    Raises:
        MailPermanentError: the recipient is no address.
    """
    sender, recipient = _parse(mail_from), _parse(mail.to)
    message = EmailMessage(policy=_POLICY)
    message["Date"] = now
    message["From"] = sender
    message["To"] = recipient
    # One clean line: whatever a template was given, it cannot add a header.
    message["Subject"] = clean_header(mail.subject, _MAX_SUBJECT_LENGTH).strip()
    message["Message-ID"] = f"<{mail.message_id}@{sender.domain}>"
    # RFC 3834: no vacation notice, and no loop, answers it.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    needs_utf8 = not (sender.addr_spec + recipient.addr_spec).isascii()
    content = message.as_bytes(policy=_POLICY.clone(utf8=True) if needs_utf8 else _POLICY)
    return Envelope(sender.addr_spec, recipient.addr_spec, content, needs_utf8)


def _parse(text: str) -> Address:
    """An address with its domain in ASCII (RFC 5891), so that only a local part beyond ASCII needs SMTPUTF8."""
    try:
        found = parse_mailbox(text)
    except ValueError:
        raise MailPermanentError("not an e-mail address") from None
    return Address(found.name, username=found.local_part, domain=found.domain)

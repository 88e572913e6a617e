"""Handing a message to a mail server (RFC 5321)."""

import contextlib
import re
import socket
import ssl
from urllib.parse import urlsplit

import aiosmtplib

from app.core.addresses import parse_address
from app.core.errors import ConfigurationError
from app.core.settings import Settings, SmtpTls
from app.core.text import clean_header
from app.mail.errors import MailError, MailPermanentError, MailTemporaryError
from app.mail.messages import Envelope

_FIRST_PERMANENT_CODE = 500  # RFC 5321 section 4.2.1
_AUTHENTICATION_REQUIRED = 530  # RFC 4954 section 6: ours to mend, whatever it answers
_FAREWELL_SECONDS = 1.0
_MAX_REASON_LENGTH = 200
# A server's answer may repeat the address, or a link that its filter dislikes.
_PRIVATE = re.compile(r"\S*(?:@|://)\S*")


class SmtpTransport:
    """Sends each message over a connection of its own. Every step has the same patience, `SMTP_TIMEOUT_SECONDS`."""

    def __init__(self, settings: Settings, host: str) -> None:
        self._host = host
        self._settings = settings
        self._own_name = _own_name(settings)
        self._tls_context = None if settings.smtp_tls is SmtpTls.OFF else _tls_context(settings)

    async def send(self, envelope: Envelope) -> None:
        """Hand the message over.

        Once the server has taken it, nothing is an error any more. Whoever is cut off between the last byte of the
        message and the server's answer cannot know; it counts as not sent (RFC 5321 section 4.1.1.4).

        Raises:
            MailTemporaryError: the server cannot be reached, drops the line, is slow, or refuses for now.
            MailPermanentError: the server refuses this recipient or message for good.
        """
        client = self._client()
        try:
            await client.connect()
            await _hand_over(client, envelope)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise _mail_error(error) from None
        finally:
            client.close()

    async def check(self) -> None:
        """Connect and log in, and leave without a message.

        Raises:
            MailTemporaryError: the server cannot be reached, speaks no TLS as it should, or refuses us.
        """
        client = self._client()
        try:
            await client.connect()
            await client.noop()
        except (aiosmtplib.SMTPException, OSError) as error:
            raise _mail_error(error) from None
        finally:
            client.close()

    def _client(self) -> aiosmtplib.SMTP:
        settings = self._settings
        return aiosmtplib.SMTP(
            hostname=self._host,
            port=settings.smtp_port,
            local_hostname=self._own_name,
            username=settings.smtp_user or None,
            password=settings.smtp_password.get_secret_value() if settings.smtp_user else None,
            timeout=settings.smtp_timeout_seconds,
            use_tls=settings.smtp_tls is SmtpTls.TLS,
            start_tls=settings.smtp_tls is SmtpTls.STARTTLS,
            tls_context=self._tls_context,
        )


async def _hand_over(client: aiosmtplib.SMTP, envelope: Envelope) -> None:
    if client.is_ehlo_or_helo_needed:
        await client.ehlo()
    if envelope.needs_utf8 and not client.supports_extension("smtputf8"):
        raise MailPermanentError("the mail server takes addresses in ASCII only")
    options, encoding = (["SMTPUTF8", "BODY=8BITMIME"], "utf-8") if envelope.needs_utf8 else ([], "ascii")
    await client.mail(envelope.sender, options=options, encoding=encoding)
    await client.rcpt(envelope.recipient, encoding=encoding)
    await client.data(envelope.content)
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=_FAREWELL_SECONDS)


def _mail_error(error: Exception) -> MailError:
    """What an error means for this mail. Refusals before the recipient is named concern the service, not the mail."""
    reason = _PRIVATE.sub("[…]", clean_header(str(getattr(error, "message", "")) or type(error).__name__, 1000))
    code = error.code if isinstance(error, aiosmtplib.SMTPResponseException) else None
    text = (reason if code is None else f"{code} {reason}")[:_MAX_REASON_LENGTH]
    is_about_mail = isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError)
    if is_about_mail and code is not None and code >= _FIRST_PERMANENT_CODE and code != _AUTHENTICATION_REQUIRED:
        return MailPermanentError(text)
    return MailTemporaryError(text)


def _own_name(settings: Settings) -> str:
    """What the service calls itself at the mail server: its public name, or an address literal (RFC 5321 4.1.3)."""
    name = (urlsplit(settings.public_url).hostname if settings.public_url else None) or socket.gethostname()
    address = parse_address(name)
    if address is None:
        return name
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _tls_context(settings: Settings) -> ssl.SSLContext:
    file = settings.smtp_tls_ca_file
    try:
        return ssl.create_default_context(cafile=None if file is None else str(file))
    except OSError:
        raise ConfigurationError("SMTP_TLS_CA_FILE", "cannot be read as certificates") from None

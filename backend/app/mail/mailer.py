"""The one way out for mails."""

from typing import Self

from app.core.addresses import is_local_host
from app.core.clock import Clock
from app.core.logging import get_logger
from app.core.settings import Settings, SmtpTls
from app.mail.errors import MailTemporaryError
from app.mail.messages import compose
from app.mail.outbox import Outbox
from app.mail.smtp import SmtpTransport
from app.mail.types import Mail

OUTBOX_FOLDER = "outbox"
_DEFAULT_SENDER = "Merit <no-reply@merit.example>"  # of files only: whoever has a mail server names a sender

logger = get_logger("mail")


class Mailer:
    """Sends mails through the mail server of the settings or, without one, into `DATA_DIR/outbox`.

    It is called by jobs, outside any transaction; they try again what failed for now.
    """

    def __init__(self, settings: Settings, clock: Clock, server: SmtpTransport | None, outbox: Outbox) -> None:
        self._settings = settings
        self._clock = clock
        self._server = server
        self._outbox = outbox

    @classmethod
    def create(cls, settings: Settings, clock: Clock) -> Self:
        """The mailer of these settings; nothing is opened before the first mail.

        Raises:
            ConfigurationError: SMTP_TLS_CA_FILE cannot be read.
        """
        server = None if settings.smtp_host is None else SmtpTransport(settings, settings.smtp_host)
        return cls(settings, clock, server, Outbox(settings.data_dir / OUTBOX_FOLDER))

    async def send(self, mail: Mail) -> None:
        """Send one mail. The log tells that it went, never its links or codes; subjects hold none.

        Raises:
            MailTemporaryError: not now; try again.
            MailPermanentError: never.
        """
        envelope = compose(mail, self._settings.mail_from or _DEFAULT_SENDER, self._clock.now())
        if self._server is not None:
            await self._server.send(envelope)
            logger.info("mail sent", message_id=mail.message_id)
            return
        name = f"{mail.message_id.replace('/', '_')}.eml"
        try:
            await self._outbox.write(name, envelope.content)
        except OSError as error:
            raise MailTemporaryError(f"the outbox cannot be written: {error.strerror}") from None
        logger.info("mail written", file=f"{OUTBOX_FOLDER}/{name}", to=mail.to, subject=mail.subject)

    async def check(self) -> None:
        """See whether the mail server answers and lets us in; without one there is nothing to see.

        Raises:
            MailTemporaryError: it does not.
        """
        if self._server is not None:
            await self._server.check()

    def warnings(self) -> list[str]:
        """What an operator should know of the way mails go."""
        settings = self._settings
        if not settings.is_production:
            return []
        if settings.smtp_host is None:
            return ["SMTP_HOST is not set: mails reach nobody, they become files in DATA_DIR/outbox"]
        if settings.smtp_tls is SmtpTls.OFF and not is_local_host(settings.smtp_host):
            return ["SMTP_TLS is off: the links in mails cross the network in clear"]
        return []

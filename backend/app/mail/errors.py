"""Why a mail was not sent. None of it reaches a caller of the API: mails are sent by jobs."""


class MailError(Exception):
    """A mail was not sent. The text holds the server's answer, without addresses."""


class MailTemporaryError(MailError):
    """Trying again later may help: no connection, no answer, a refusal for now (4xx), or one of this very service."""


class MailPermanentError(MailError):
    """Trying again is in vain: the recipient or the message is refused for good (5xx)."""

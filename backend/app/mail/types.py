"""What is sent."""

import re
from dataclasses import dataclass

# RFC 5322 section 3.2.3: the characters of an atom, and dots.
_ID_LEFT = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,100}")


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one person, in text and in HTML.

    `message_id` is what stands left of the `@` in its Message-ID, such as the id of the job that sends it: a mail that
    is tried again keeps it, so that servers and programs recognise a duplicate (RFC 5322 section 3.6.4).
    """

    message_id: str
    to: str
    subject: str
    text: str
    html: str

    def __post_init__(self) -> None:
        """Refuse with ValueError an id that a Message-ID cannot hold."""
        if not _ID_LEFT.fullmatch(self.message_id):
            raise ValueError("message_id must be an identifier")

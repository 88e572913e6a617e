"""What the tests of mail share."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from app.core.clock import Clock
from app.mail.mailer import Mailer
from tests.mail.post_office import PostOffice, open_post_office
from tests.support import make_settings

MailerFactory = Callable[..., Mailer]
SENDER = "Merit <merit@example.com>"


@pytest.fixture
async def office() -> AsyncIterator[PostOffice]:
    """A mail server without TLS and login."""
    async with open_post_office() as office:
        yield office


@pytest.fixture
def make_mailer(tmp_path: Path) -> MailerFactory:
    """Mailers with settings of a test's own."""

    def make(**settings: Any) -> Mailer:
        return Mailer.create(make_settings("sqlite://", tmp_path, **settings), Clock())

    return make


@pytest.fixture
def mailer(make_mailer: MailerFactory, office: PostOffice) -> Mailer:
    """A mailer that uses `office`."""
    return make_mailer(smtp_host="127.0.0.1", smtp_port=office.port, smtp_tls="off", mail_from=SENDER)

"""Asking the mail server whether it would take a mail."""

import pytest

from app.mail.errors import MailTemporaryError
from app.mail.mailer import Mailer
from tests.mail.conftest import SENDER, MailerFactory
from tests.mail.post_office import Act, PostOffice, accepts, open_post_office


async def test_a_server_that_lets_us_in(office: PostOffice, mailer: Mailer) -> None:
    """No message goes."""
    await mailer.check()
    assert office.received == []


async def test_without_a_server_there_is_nothing_to_ask(make_mailer: MailerFactory) -> None:
    await make_mailer().check()


async def test_a_server_that_is_away_or_refuses(make_mailer: MailerFactory) -> None:
    """Whatever stands in the way of every mail: no line, no greeting, no TLS, a wrong password."""
    members = {"smtp_host": "127.0.0.1", "mail_from": SENDER, "smtp_timeout_seconds": 5.0}
    async with open_post_office(authenticator=accepts("merit", "right"), auth_require_tls=False) as office:
        login = {"smtp_tls": "off", "smtp_user": "merit", "smtp_port": office.port, **members}
        await make_mailer(**login, smtp_password="right").check()
        with pytest.raises(MailTemporaryError) as refusal:
            await make_mailer(**login, smtp_password="wrong").check()
        assert "wrong" not in str(refusal.value)
        with pytest.raises(MailTemporaryError):
            await make_mailer(**members, smtp_port=office.port, smtp_tls="starttls").check()
        office.plans["EHLO"] = [Act(hangs_up=True)] * 2
        with pytest.raises(MailTemporaryError):
            await make_mailer(**login, smtp_password="right").check()
    with pytest.raises(MailTemporaryError):
        await make_mailer(**login, smtp_password="right").check()

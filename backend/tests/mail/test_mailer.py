"""Mails as they are written, and the outbox that takes them where no mail server is."""

import asyncio
import stat
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.core.clock import Clock
from app.core.errors import ConfigurationError
from app.core.ids import new_id
from app.core.settings import Settings
from app.mail.errors import MailPermanentError, MailTemporaryError
from app.mail.mailer import Mailer
from app.mail.messages import compose
from app.mail.types import Mail
from tests.mail.conftest import SENDER, MailerFactory
from tests.mailbox import html_of, parse_mail, recipients, text_of
from tests.support import SECRET_KEY

HEADERS = {"Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"}


def a_mail(**members: str) -> Mail:
    values = {"message_id": str(new_id()), "to": "ada@example.com", "subject": "Hello", "text": "Hi", "html": "<p>Hi"}
    return Mail(**{**values, **members})


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def files_of(folder: Path) -> list[Path]:
    return sorted((folder / "outbox").iterdir())


async def test_without_a_server_a_mail_becomes_a_private_file(make_mailer: MailerFactory, tmp_path: Path) -> None:
    mail = a_mail(text="Grüße\n", html="<p>Grüße</p>")
    await make_mailer(mail_from=SENDER).send(mail)
    (file,) = files_of(tmp_path)
    assert file.name == f"{mail.message_id}.eml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    message = parse_mail(file)
    assert set(message.keys()) == HEADERS
    assert (message["From"], recipients(message), message["Subject"]) == (SENDER, [mail.to], mail.subject)
    assert message["Message-ID"] == f"<{mail.message_id}@example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert abs((parsedate_to_datetime(message["Date"]) - Clock().now()).total_seconds()) < 60
    assert text_of(message).strip() == "Grüße"
    assert html_of(message).strip() == "<p>Grüße</p>"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


async def test_a_mail_that_is_sent_again_is_there_once(make_mailer: MailerFactory, tmp_path: Path) -> None:
    """Workers that were killed half-way leave drafts behind; nobody takes them for mails."""
    mailer, mail = make_mailer(), a_mail()
    await asyncio.gather(*(mailer.send(mail) for _ in range(5)), return_exceptions=True)
    await mailer.send(mail)
    assert len(list((tmp_path / "outbox").glob("*.eml"))) == 1


async def test_an_outbox_that_cannot_be_written_is_tried_again(make_mailer: MailerFactory, tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("in the way")
    with pytest.raises(MailTemporaryError, match="outbox"):
        await make_mailer().send(a_mail())


async def test_the_log_holds_neither_text_nor_links(make_mailer: MailerFactory) -> None:
    mail = a_mail(text="https://merit.example.com/?token=abc 123456", html="<a href='https://x.example/abc'>")
    with capture_logs() as lines:
        await make_mailer().send(mail)
    seen = {"file": f"outbox/{mail.message_id}.eml", "to": mail.to, "subject": mail.subject}
    assert lines == [{"event": "mail written", "log_level": "info", **seen}]


@pytest.mark.parametrize("message_id", ["", "a b", "a>\r\nBcc: eve@example.com", "<a@b>", "ü", "a" * 101])
def test_an_id_is_an_identifier(message_id: str) -> None:
    with pytest.raises(ValueError, match="message_id"):
        a_mail(message_id=message_id)


@pytest.mark.parametrize("message_id", ["../../etc/cron.d/x", "a/b", "/etc/passwd", "..", "."])
async def test_no_id_leads_out_of_the_outbox(make_mailer: MailerFactory, tmp_path: Path, message_id: str) -> None:
    await make_mailer().send(a_mail(message_id=message_id))
    assert len(files_of(tmp_path)) == 1
    assert names_in(tmp_path) == ["outbox"]


@settings(deadline=None)
@given(subject=st.text(), text=st.text(), html=st.text())
def test_nothing_that_a_mail_holds_becomes_a_header(subject: str, text: str, html: str) -> None:
    """Header injection: any text at all, line breaks and surrogates among it."""
    clean = {key: value.encode(errors="replace").decode() for key, value in {"text": text, "html": html}.items()}
    mail = a_mail(subject=f"{subject}\r\nBcc: eve@example.com\r\n\r\nbody", **clean)
    envelope = compose(mail, SENDER, Clock().now())
    message = parse_mail(envelope.content)
    assert set(message.keys()) == HEADERS
    assert recipients(message) == [envelope.recipient] == ["ada@example.com"]
    assert len(message["Subject"]) <= 200
    assert max(map(len, envelope.content.split(b"\r\n"))) <= 998, "RFC 5322 section 2.1.1"
    assert b"\n" not in envelope.content.replace(b"\r\n", b"")


@pytest.mark.parametrize(
    ("mail_from", "name"),
    [("merit@example.com", ""), ("<merit@example.com>", ""), ("Merit, Inc. <merit@example.com>", "Merit, Inc."),
     ('"Merit: us" <merit@example.com> ', "Merit: us"), ("Ä Ü <merit@bücher.example>", "Ä Ü")],
)  # fmt: skip
def test_the_sender_may_have_a_name(mail_from: str, name: str) -> None:
    envelope = compose(a_mail(), mail_from, Clock().now())
    (address,) = parse_mail(envelope.content)["From"].addresses
    assert (address.display_name, address.addr_spec) == (name, envelope.sender)
    assert envelope.content.isascii()
    assert not envelope.needs_utf8


def test_a_long_text_without_breaks_is_folded() -> None:
    envelope = compose(a_mail(text="x" * 5000, html="<p>" + "y" * 5000), SENDER, Clock().now())
    assert max(map(len, envelope.content.split(b"\r\n"))) <= 998
    assert text_of(parse_mail(envelope.content)).strip() == "x" * 5000


def test_what_is_no_address_is_refused_for_good() -> None:
    with pytest.raises(MailPermanentError):
        compose(a_mail(to="nobody"), SENDER, Clock().now())


def production(**values: str) -> Settings:
    return Settings.load(_env_file=None, environment="production", secret_key=SECRET_KEY, **values)


SERVER = {"smtp_host": "smtp.example.net", "mail_from": SENDER, "public_url": "https://merit.example.com"}


@pytest.mark.parametrize(
    ("values", "warning"),
    [({}, "SMTP_HOST"), ({**SERVER, "smtp_tls": "off"}, "SMTP_TLS"), (SERVER, None),
     ({**SERVER, "smtp_host": "127.0.0.1", "smtp_tls": "off"}, None)],
)  # fmt: skip
def test_the_operator_is_warned_of_mails_that_go_nowhere_or_in_clear(
    values: dict[str, str], warning: str | None
) -> None:
    warnings = Mailer.create(production(**values), Clock()).warnings()
    assert [text.partition(" ")[0] for text in warnings] == ([] if warning is None else [warning])


def test_nobody_is_warned_outside_production(make_mailer: MailerFactory) -> None:
    assert not make_mailer().warnings()


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"mail_from": "nobody"}, "MAIL_FROM"),
        ({"mail_from": "Merit <merit@example.com>\nBcc: eve@example.com"}, "MAIL_FROM"),
        ({"mail_from": "a@example.com, b@example.com"}, "MAIL_FROM"),
        ({"smtp_host": "smtp.example.net\nx"}, "SMTP_HOST"),
        ({"smtp_host": "smtp.example.net"}, "MAIL_FROM"),
        ({**SERVER, "smtp_user": "u", "smtp_password": "hunter2", "smtp_tls": "off"}, "SMTP_TLS"),
        ({**SERVER, "public_url": ""}, "PUBLIC_URL"),
        ({**SERVER, "public_url": "http://merit.example.com"}, "PUBLIC_URL"),
        ({"public_url": "ftp://merit.example.com"}, "PUBLIC_URL"),
        ({"public_url": "https://"}, "PUBLIC_URL"),
        ({"public_url": "merit.example.com"}, "PUBLIC_URL"),
        ({"public_url": "https://merit.example.com/\nx"}, "PUBLIC_URL"),
        ({"public_url": "https://merit.example.com/a b"}, "PUBLIC_URL"),
        ({"public_url": "https://user:hunter2@merit.example.com"}, "PUBLIC_URL"),
        ({"public_url": "https://merit.example.com?next=x"}, "PUBLIC_URL"),
        ({"public_url": "https://merit.example.com#x"}, "PUBLIC_URL"),
        ({"public_url": "https://merit.example.com/merit"}, "PUBLIC_URL"),
        ({"public_url": "https://merit.example.com:99999"}, "PUBLIC_URL"),
    ],
)
def test_settings_that_would_send_broken_or_readable_mails_are_refused(values: dict[str, str], name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name} ") as caught:
        production(**{key: value for key, value in values.items() if value})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"host": "0.0.0.0", "port": 80}, "http://127.0.0.1:80"),  # noqa: S104 - not bound
        ({"host": "::"}, "http://[::1]:8000"),
        ({"public_url": "https://merit.example.com/"}, "https://merit.example.com"),
        ({"public_url": "https://example.com:8443//"}, "https://example.com:8443"),
    ],
)
def test_what_links_begin_with(values: dict[str, str], url: str) -> None:
    assert Settings(_env_file=None, secret_key=SECRET_KEY, **values).base_url == url  # type: ignore[arg-type]

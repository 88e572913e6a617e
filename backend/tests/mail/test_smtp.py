"""Handing mails to a real mail server, well and badly behaved."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import ConfigurationError
from app.core.ids import new_id
from app.mail.errors import MailPermanentError, MailTemporaryError
from app.mail.mailer import Mailer
from app.mail.types import Mail
from tests.certificates import make_certificate
from tests.mail.conftest import SENDER, MailerFactory
from tests.mail.post_office import Act, PostOffice, accepts, open_post_office
from tests.mailbox import html_of, text_of

LINK = "https://merit.example.com/account/verify?token=abc"


def a_mail(to: str = "ada@example.com", *, text: str = f"Hello\n\n{LINK}\n") -> Mail:
    return Mail(str(new_id()), to, "Confirm your address", text, f"<p><a href='{LINK}'>Confirm</a></p>")


async def test_a_mail_arrives_whole(office: PostOffice, mailer: Mailer) -> None:
    mail = a_mail(text=".\n..\nÄ line of dots\n.\n" + "long " * 400)
    await mailer.send(mail)
    (received,) = office.received
    assert (received.sender, received.recipients) == ("merit@example.com", ("ada@example.com",))
    assert received.content.isascii()
    message = received.message
    assert message["Message-ID"] == f"<{mail.message_id}@example.com>"
    assert (message["From"], message["To"], message["Subject"]) == (SENDER, mail.to, mail.subject)
    assert text_of(message).replace("\r\n", "\n") == f"{mail.text}\n"
    assert html_of(message).strip() == mail.html


@pytest.mark.parametrize("command", ["EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    "act",
    [Act("421 4.3.2 going down"), Act("451 4.7.1 greylisted"), Act(hangs_up=True)],
    ids=["421", "451", "hangs up"],
)
async def test_what_may_pass_is_tried_again(office: PostOffice, mailer: Mailer, command: str, act: Act) -> None:
    """4xx and a lost line at any step; the next try succeeds with the same Message-ID, once."""
    office.plans[command] = [act, act] if command == "EHLO" else [act]  # a refused EHLO is followed by HELO
    mail = a_mail()
    with pytest.raises(MailTemporaryError):
        await mailer.send(mail)
    assert not office.received
    office.plans[command].clear()
    await mailer.send(mail)
    assert office.message_ids() == {f"<{mail.message_id}@example.com>": 1}


@pytest.mark.parametrize(
    ("command", "answer", "refusal"),
    [
        ("MAIL", "550 5.7.1 sender not allowed", MailTemporaryError),
        ("MAIL", "530 5.7.0 authentication required", MailTemporaryError),
        ("RCPT", "530 5.7.0 authentication required", MailTemporaryError),
        ("RCPT", "550 5.1.1 no such user", MailPermanentError),
        ("RCPT", "553 5.1.3 bad address", MailPermanentError),
        ("DATA", "554 5.7.1 looks like spam", MailPermanentError),
        ("DATA", "552 5.3.4 too big", MailPermanentError),
    ],
)
async def test_a_refusal_for_good_is_final_where_it_concerns_the_mail(
    office: PostOffice, mailer: Mailer, command: str, answer: str, refusal: type[Exception]
) -> None:
    """A refusal of the sender is the operator's to mend, and must not throw everybody's mails away."""
    office.plans[command] = [Act(answer)]
    with pytest.raises(refusal) as caught:
        await mailer.send(a_mail())
    assert type(caught.value) is refusal
    assert str(caught.value).startswith(answer[:3])
    assert not office.received


async def test_an_error_shows_neither_addresses_nor_links(office: PostOffice, mailer: Mailer) -> None:
    """The text is kept with the job, where administrators read it."""
    for command in ("RCPT", "DATA"):
        office.plans[command] = [Act(f"550 5.1.1 <ada@example.com> dislikes {LINK} indeed")]
        with pytest.raises(MailPermanentError) as caught:
            await mailer.send(a_mail())
        assert str(caught.value) == "550 5.1.1 […] dislikes […] indeed"


async def test_an_answer_that_got_lost_counts_as_not_sent(office: PostOffice, mailer: Mailer) -> None:
    """The one window SMTP leaves open: the second copy has the same Message-ID, so that it can be told."""
    office.plans["DATA"] = [Act(takes_and_hangs_up=True)]
    mail = a_mail()
    with pytest.raises(MailTemporaryError):
        await mailer.send(mail)
    await mailer.send(mail)
    assert office.message_ids() == {f"<{mail.message_id}@example.com>": 2}


async def test_a_server_that_never_says_goodbye_changes_nothing(office: PostOffice, mailer: Mailer) -> None:
    """What the server has answered for is sent, whatever happens afterwards."""

    async def handle_quit(server: object, _session: object, _envelope: object) -> str:
        server.transport.abort()  # type: ignore[attr-defined]
        return "221 bye"

    office.handle_QUIT = handle_quit  # type: ignore[attr-defined]
    await mailer.send(a_mail())
    assert len(office.received) == 1


async def test_a_server_that_is_away_is_waited_for(office: PostOffice, mailer: Mailer) -> None:
    await office.close()
    mail = a_mail()
    with pytest.raises(MailTemporaryError):
        await mailer.send(mail)
    await office.open()
    await mailer.send(mail)
    assert len(office.received) == 1


@pytest.mark.parametrize("command", ["EHLO", "RCPT", "DATA"])
async def test_a_silent_server_is_not_waited_for_long(
    office: PostOffice, make_mailer: MailerFactory, command: str
) -> None:
    office.plans[command] = [Act(delay=60)]
    mailer = make_mailer(
        smtp_host="127.0.0.1", smtp_port=office.port, smtp_tls="off", mail_from=SENDER, smtp_timeout_seconds=0.1
    )
    with pytest.raises(MailTemporaryError):
        await mailer.send(a_mail())
    assert not office.received


async def test_a_server_that_does_not_greet_is_not_waited_for_long(make_mailer: MailerFactory) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mailer = make_mailer(
            smtp_host="127.0.0.1",
            smtp_port=listener.getsockname()[1],
            smtp_tls="off",
            mail_from=SENDER,
            smtp_timeout_seconds=0.2,
        )
        with pytest.raises(MailTemporaryError):
            await mailer.send(a_mail())


@pytest.mark.parametrize(
    ("to", "recipient"),
    [
        ("Ada@Bücher.example", "Ada@xn--bcher-kva.example"),
        ("ada@例え.テスト.example", "ada@xn--r8jz45g.xn--zckzah.example"),
        ("üser@bücher.example", "üser@xn--bcher-kva.example"),
        ("o'neil+merit@example.com", "o'neil+merit@example.com"),
    ],
)
async def test_addresses_of_all_scripts(office: PostOffice, mailer: Mailer, to: str, recipient: str) -> None:
    """RFC 5891 for domains; RFC 6531 only where the local part needs it."""
    await mailer.send(a_mail(to))
    (received,) = office.received
    assert received.recipients == (recipient,)
    assert [address.addr_spec for address in received.message["To"].addresses] == [recipient]


async def test_a_server_without_smtputf8_gets_ascii_addresses_only(make_mailer: MailerFactory) -> None:
    async with open_post_office() as office:
        office.plans["EHLO"] = [Act("250 HELP")]
        mailer = make_mailer(smtp_host="127.0.0.1", smtp_port=office.port, smtp_tls="off", mail_from=SENDER)
        with pytest.raises(MailPermanentError, match="ASCII"):
            await mailer.send(a_mail("üser@example.com"))
        assert not office.received


@pytest.mark.parametrize(
    "to",
    ["", "ada", "ada@", "a@b@c", "ada@example.com\r\nRCPT TO:<eve@example.com>", "ada@example.com>\nDATA",
     "a b@example.com", "ada@example.com, eve@example.com", "<ada@example.com> SIZE=1", "ada@exa\x00mple.com",
     "ada@[127.0.0.1]"],
)  # fmt: skip
async def test_what_is_no_address_never_reaches_the_server(office: PostOffice, mailer: Mailer, to: str) -> None:
    """No command can be smuggled in by an address."""
    with pytest.raises(MailPermanentError):
        await mailer.send(a_mail(to))
    assert not office.received


@pytest.mark.parametrize(
    "ending", ["\r\n.\r\nMAIL FROM:<eve@example.com>\r\n", "\n.\nRSET\n", "\r.\rRSET\r", "\n.\r\n"]
)
async def test_no_second_message_hides_in_a_body(office: PostOffice, mailer: Mailer, ending: str) -> None:
    """SMTP smuggling: whatever line ends a text has, the message ends where the mail does."""
    await mailer.send(a_mail(text=f"one{ending}two"))
    (received,) = office.received
    assert "two" in text_of(received.message)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for localhost, signed by nobody."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    make_certificate(file)
    return file


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("mode", ["starttls", "tls"])
async def test_tls_with_a_login(make_mailer: MailerFactory, certificate: Path, mode: str) -> None:
    """The password goes through TLS only; a wrong one is the operator's to mend."""
    context = server_context(certificate)
    how: dict[str, Any] = {"tls_context": context, "require_starttls": True}
    if mode == "tls":  # aiosmtpd does not know that its transport is encrypted
        how = {"tls_from_start": context, "auth_require_tls": False}
    async with open_post_office(authenticator=accepts("merit", "geheim ü"), **how) as office:
        common = {
            "smtp_host": "localhost",
            "smtp_port": office.port,
            "smtp_tls": mode,
            "smtp_tls_ca_file": f"{certificate}.crt",
            "smtp_user": "merit",
            "mail_from": SENDER,
        }
        await make_mailer(**common, smtp_password="geheim ü").send(a_mail())
        (received,) = office.received
        assert received.was_encrypted
        assert received.login == "merit"
        with pytest.raises(MailTemporaryError, match="535"):
            await make_mailer(**common, smtp_password="wrong").send(a_mail())


@pytest.mark.parametrize("mode", ["starttls", "tls"])
async def test_a_certificate_that_nobody_signed_is_refused(
    make_mailer: MailerFactory, certificate: Path, mode: str
) -> None:
    context = server_context(certificate)
    async with open_post_office(**{"tls_from_start" if mode == "tls" else "tls_context": context}) as office:
        mailer = make_mailer(smtp_host="localhost", smtp_port=office.port, smtp_tls=mode, mail_from=SENDER)
        with pytest.raises(MailTemporaryError):
            await mailer.send(a_mail())
        assert not office.received


async def test_starttls_never_falls_back_to_clear_text(office: PostOffice, make_mailer: MailerFactory) -> None:
    """Somebody on the line who strikes STARTTLS out of the server's answer gets nothing."""
    mailer = make_mailer(smtp_host="127.0.0.1", smtp_port=office.port, mail_from=SENDER)
    with pytest.raises(MailTemporaryError, match="STARTTLS"):
        await mailer.send(a_mail())
    assert not office.received


def test_certificates_that_cannot_be_read_stop_the_start(make_mailer: MailerFactory, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("not a certificate")
    for file in (broken, tmp_path / "missing.pem"):
        with pytest.raises(ConfigurationError, match=r"^SMTP_TLS_CA_FILE "):
            make_mailer(smtp_host="localhost", mail_from=SENDER, smtp_tls_ca_file=file)


@pytest.mark.parametrize(
    ("public_url", "name"),
    [
        ("https://merit.example.com", "merit.example.com"),
        ("http://192.0.2.1:8000", "[192.0.2.1]"),
        ("http://[2001:db8::1]", "[IPv6:2001:db8::1]"),
        (None, socket.gethostname()),
    ],
)
async def test_the_service_says_who_it_is(
    office: PostOffice, make_mailer: MailerFactory, public_url: str | None, name: str
) -> None:
    names: list[str] = []

    async def handle_ehlo(
        _server: object, session: object, _envelope: object, hostname: str, responses: list[str]
    ) -> list[str]:
        names.append(hostname)
        session.host_name = hostname  # type: ignore[attr-defined]
        return responses

    office.handle_EHLO = handle_ehlo  # type: ignore[assignment,method-assign]
    mailer = make_mailer(
        smtp_host="127.0.0.1", smtp_port=office.port, smtp_tls="off", mail_from=SENDER, public_url=public_url
    )
    await mailer.send(a_mail())
    assert names == [name]


async def test_whoever_stops_waiting_lets_go_of_the_line(office: PostOffice, mailer: Mailer) -> None:
    office.plans["RCPT"] = [Act(delay=30)]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await mailer.send(a_mail())
    assert not office.received

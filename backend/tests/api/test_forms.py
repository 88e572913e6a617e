"""The charset of a form: UTF-8, whatever codecs Python has."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Body, FastAPI, Request

from app.api.middleware import RequestMiddleware
from app.api.problem import install_error_handlers
from tests.conftest import client_of
from tests.support import make_settings


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that reads forms."""
    app = FastAPI()
    app.add_middleware(RequestMiddleware, settings=make_settings("sqlite://", tmp_path))
    install_error_handlers(app)

    @app.post("/form")
    async def read_form(request: Request) -> dict[str, Any]:
        return dict(await request.form())

    @app.post("/json")
    async def measure(body: str = Body()) -> int:
        return len(body)

    async with client_of(app) as client:
        yield client


CHARSETS = ("punycode", "idna", "unicode_escape", "utf-16", "utf-7", "latin-1", "nonsense", "UTF8", "", '"punycode"')
FORM_TYPES = {
    "multipart/form-data; boundary=x": b'--x\r\nContent-Disposition: form-data; name="word"\r\n\r\n%s\r\n--x--\r\n',
    "application/x-www-form-urlencoded": b"word=%s",
}


async def send_form(client: httpx.AsyncClient, *content_types: str, form: bytes, word: bytes = b"a") -> httpx.Response:
    headers = [("Content-Type", content_type) for content_type in content_types]
    return await client.post("/form", content=form % word, headers=headers)


@pytest.mark.parametrize("media_type", FORM_TYPES)
@pytest.mark.parametrize("charset", CHARSETS)
async def test_no_caller_chooses_the_codec_of_a_form(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, media_type: str, charset: str
) -> None:
    """Punycode takes quadratic time, others yield lone surrogates: nothing is decoded, or even looked up."""
    monkeypatch.setattr("starlette.formparsers._user_safe_decode", None)
    form = FORM_TYPES[media_type]
    for content_type in (
        f"{media_type}; charset={charset}",
        f"{media_type.upper().replace('=X', '=x')};CHARSET={charset} ",
        f"{media_type}; charset=utf-8; charset={charset}",
    ):
        answer = await send_form(client, content_type, form=form, word=b"b" * 1000)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type"), content_type
    answer = await send_form(client, media_type, f"{media_type}; charset={charset}", form=form)
    assert answer.status_code == 415  # whichever of two headers is read


@pytest.mark.parametrize("media_type", FORM_TYPES)
async def test_forms_in_utf_8_are_read(client: httpx.AsyncClient, media_type: str) -> None:
    """Named in any spelling, or not at all; a field named `_charset_` is a field."""
    form = FORM_TYPES[media_type].replace(b"word", b"_charset_")
    word = "é".encode() if "multipart" in media_type else b"%C3%A9"
    for end in ("", "; charset=utf-8", "; charset=UTF-8", '; CharSet="Utf-8"', "; charsets=punycode"):
        answer = await send_form(client, media_type + end, form=FORM_TYPES[media_type], word=word)
        assert (answer.status_code, answer.json()) == (200, {"word": "é"}), end
        answer = await send_form(client, media_type + end, form=form, word=b"punycode")
        assert (answer.status_code, answer.json()) == (200, {"_charset_": "punycode"})


async def test_other_bodies_may_name_what_they_like(client: httpx.AsyncClient) -> None:
    """JSON is UTF-8 whatever is said of it (RFC 8259 section 8.1)."""
    headers = {"Content-Type": "application/json; charset=punycode"}
    answer = await client.post("/json", content=b'"three"', headers=headers)
    assert (answer.status_code, answer.json()) == (200, 5)

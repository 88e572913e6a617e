"""The API's pages on a small application of their own: what is served, with which headers, and how to turn it off."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from app.api.docs import install_docs
from app.api.openapi import install_openapi
from app.core.settings import Environment, Settings, Toggle

PAGES = ("/docs", "/redoc")
PATHS = (
    *PAGES,
    "/openapi.json",
    "/docs/swagger.js",
    "/docs/swagger-ui.css",
    "/docs/swagger-ui-bundle.js",
    "/docs/redoc.js",
    "/docs/redoc.standalone.js",
    "/docs/favicon.svg",
)


def client_of(*, docs: Toggle | None, environment: Environment = Environment.TEST) -> httpx.AsyncClient:
    """A client of an application that has the pages and nothing else."""
    app = FastAPI(title="Small", openapi_url=None, docs_url=None, redoc_url=None)
    install_openapi(app)
    install_docs(app, Settings(secret_key=SecretStr("s" * 40), docs=docs, environment=environment))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(docs=Toggle.ON) as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
async def test_everything_is_served_with_a_policy_that_runs_no_foreign_or_inline_script(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    directives = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
    assert directives["script-src"] == "'self'"
    assert directives["connect-src"] == "'self'"
    assert directives["default-src"] == directives["frame-ancestors"] == directives["base-uri"] == "'none'"


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_holds_no_script_and_loads_only_what_is_served_beside_it(
    client: httpx.AsyncClient, page: str
) -> None:
    html = (await client.get(page)).text
    assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|style=|//", html)
    addresses = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(addresses) >= 3
    for address in addresses:
        assert (await client.get(f"/{address}")).status_code == 200


@pytest.mark.parametrize("path", PATHS)
async def test_a_known_copy_is_not_sent_again(client: httpx.AsyncClient, path: str) -> None:
    etag = (await client.get(path)).headers["ETag"]
    again = await client.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == etag


async def test_the_bundles_are_recent_enough_for_openapi_3_1(client: httpx.AsyncClient) -> None:
    swagger = (await client.get("/docs/swagger-ui-bundle.js")).text
    major, minor = re.findall(r'PACKAGE_VERSION:"(\d+)\.(\d+)', swagger)[0]
    assert (int(major), int(minor)) >= (5, 30)


async def test_redoc_asks_no_other_host_for_its_logo(client: httpx.AsyncClient) -> None:
    assert "cdn.redoc.ly" not in (await client.get("/docs/redoc.standalone.js")).text


async def test_the_document_served_is_the_one_the_application_exports(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Small"


@pytest.mark.parametrize(("docs", "environment"), [(Toggle.OFF, Environment.TEST), (None, Environment.PRODUCTION)])
async def test_nothing_is_there_when_turned_off_or_by_default_in_production(
    docs: Toggle | None, environment: Environment
) -> None:
    async with client_of(docs=docs, environment=environment) as client:
        assert {(await client.get(path)).status_code for path in PATHS} == {404}


async def test_production_serves_them_when_asked_to() -> None:
    async with client_of(docs=Toggle.ON, environment=Environment.PRODUCTION) as client:
        assert (await client.get("/docs")).status_code == 200


def test_the_pages_are_committed_without_a_bundle() -> None:
    pages = Path(__file__).resolve().parents[2] / "app" / "api" / "pages"
    assert all(page.stat().st_size < 4096 for page in pages.iterdir())

"""The application as a whole: what it answers outside its operations, and when it will not start."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app import main
from app.core.errors import ConfigurationError
from app.core.settings import BACKEND_DIR, Environment, Settings
from app.main import create_app
from tests.auth.stage import code_of
from tests.conftest import AppFactory, client_of
from tests.support import API, Account, make_settings
from tools.databases import fresh_database

# What a browser's script may read of an answer: without them it can neither log in again, wait, edit nor report.
EXPOSED = {"ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate", "X-Request-ID"}
PAGES = ("/docs", "/redoc", "/openapi.json")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("GET", f"{API}/users/me/", 404, "not_found"),
        ("DELETE", f"{API}/users/me", 405, "method_not_allowed"),
        ("PUT", f"{API}/auth/login", 405, "method_not_allowed"),
        ("TRACE", f"{API}/users/me", 405, "method_not_allowed"),
    ],
)
async def test_what_does_not_exist_is_a_problem_document(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    """A8: unknown paths and methods."""
    answer = await client.request(method, path)
    assert code_of(answer) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    assert (status == 405) == ("Allow" in answer.headers)


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded"])
async def test_a_wrong_media_type_is_a_problem_document(client: httpx.AsyncClient, media_type: str) -> None:
    """A8: a body of another type is told apart from a bad one."""
    headers = {"Content-Type": media_type}
    answer = await client.post(f"{API}/auth/login", content=b'{"email":"a@example.com"}', headers=headers)
    assert code_of(answer) == (415, "unsupported_media_type")
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_the_pages_are_off_in_production_unless_they_are_switched_on(tmp_path: Path) -> None:
    """A8: `/docs`, `/redoc` and `/openapi.json`, by environment and by DOCS."""
    expectations = {
        (Environment.DEVELOPMENT, None): 200,
        (Environment.PRODUCTION, None): 404,
        (Environment.PRODUCTION, "on"): 200,
        (Environment.TEST, "off"): 404,
    }
    for (environment, docs), status in expectations.items():
        application = create_app(make_settings("sqlite:///unused.db", tmp_path, environment=environment, docs=docs))
        async with client_of(application) as client:
            for page in PAGES:
                assert (await client.get(page)).status_code == status, (environment, docs, page)


async def test_other_sites_may_call_only_when_they_are_named(make_app: AppFactory) -> None:
    """CORS_ORIGINS: the origin is allowed, with the headers that the API uses and answers; another one is not."""
    async with make_app(cors_origins="https://merit.example.net") as application, client_of(application) as client:
        for origin, is_allowed in (("https://merit.example.net", True), ("https://evil.example.org", False)):
            headers = {
                "Origin": origin,
                "Access-Control-Request-Method": "PATCH",
                "Access-Control-Request-Headers": "authorization,if-match",
            }
            preflight = await client.options(f"{API}/users/me", headers=headers)
            answer = await client.get(f"{API}/users/me", headers={"Origin": origin})
            assert preflight.is_success is is_allowed
            allowed = origin if is_allowed else None
            assert answer.headers.get("Access-Control-Allow-Origin") == allowed
            # Cookies of `use_cookie`; the header means nothing to a browser without the one above.
            assert not is_allowed or answer.headers["Access-Control-Allow-Credentials"] == "true"
            exposed = {name.strip() for name in answer.headers.get("Access-Control-Expose-Headers", "").split(",")}
            assert exposed >= (EXPOSED if is_allowed else set())
            assert answer.status_code == 401


async def test_a_refused_preflight_is_a_problem_and_refusals_can_be_read(make_app: AppFactory) -> None:
    """Whoever answers: with an id, the headers of every answer, and for the named origin readable."""
    async with make_app(cors_origins="https://merit.example.net") as application, client_of(application) as client:
        headers = {"Origin": "https://evil.example.org", "Access-Control-Request-Method": "GET"}
        refused = await client.options(f"{API}/users/me", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (400, "preflight_refused")
        assert refused.json()["request_id"] == refused.headers["X-Request-ID"]
        assert refused.headers["X-Content-Type-Options"] == "nosniff"
        assert refused.headers["Vary"].startswith("Origin")
        too_large = await client.post(
            f"{API}/auth/login", content=b"x" * 100_000, headers={"Origin": "https://merit.example.net"}
        )
        assert too_large.status_code == 413
        assert too_large.headers["Access-Control-Allow-Origin"] == "https://merit.example.net"


async def test_a_database_that_is_not_migrated_stops_the_start(server_url: str | None, tmp_path: Path) -> None:
    """Start-up: missing migrations are refused by the setting's name, and told how to be made good."""
    with fresh_database(server_url) as url:
        application = create_app(make_settings(url, tmp_path))
        with pytest.raises(ConfigurationError, match="db upgrade") as refusal:
            await application.router.lifespan_context(application).__aenter__()
    assert refusal.value.setting == "DATABASE_URL"


async def test_everything_is_closed_at_the_end(make_app: AppFactory, account: Account) -> None:
    """The life of an application: started, used, and stopped without a task, thread or connection left."""
    async with make_app() as application:
        async with client_of(application) as client:
            assert (await client.get(f"{API}/users/me", headers=account.headers)).status_code == 200
        services = application.state.merit
    assert services.auth.revocations._poller.done()
    assert services.database.reader.pool.checkedin() == 0
    assert (await account.get("/users/me")).status_code == 200


@asynccontextmanager
async def environment_of(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The environment that gives these settings."""
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    for name in ("ENVIRONMENT", "SECRET_KEY", "DATABASE_URL", "DATA_DIR"):
        value = getattr(settings, name.lower())
        monkeypatch.setenv(name, value.get_secret_value() if hasattr(value, "get_secret_value") else str(value))
    yield
    vars(main).pop("app", None)


async def test_any_server_can_import_the_application(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """`uvicorn app.main:app`: made from the environment when it is asked for, once."""
    async with environment_of(settings, monkeypatch):
        application = main.app
        assert isinstance(application, FastAPI)
        assert main.app is application
    with pytest.raises(AttributeError):
        _ = main.application


def test_a_bad_setting_ends_the_import_with_one_line(tmp_path: Path) -> None:
    """`uvicorn app.main:app`: 78 and the setting's name, not a traceback."""
    environment = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    refused = subprocess.run(
        [sys.executable, "-c", "import app.main; app.main.app"],
        cwd=BACKEND_DIR,
        env=environment | {"SECRET_KEY": "too short"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (refused.returncode, refused.stdout) == (ConfigurationError.exit_code, "")
    assert refused.stderr == "SECRET_KEY must be at least 32 bytes\n"

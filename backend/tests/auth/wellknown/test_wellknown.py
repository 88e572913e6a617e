"""What is published under /.well-known/ is true, complete and harmless."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from jose import jwt

from app.auth.permissions import all_permissions
from app.core.errors import ConfigurationError
from app.core.settings import Settings
from app.main import Services
from tests.auth.scenarios import claims_of, is_alive
from tests.auth.stage import SteerableClock, code_of, running, severable
from tests.conftest import AppFactory, client_of
from tests.support import SECRET_KEY, Account, ManualClock, register

KEY_SET = "/.well-known/jwks.json"
METADATA = "/.well-known/oauth-authorization-server"
SECURITY = "/.well-known/security.txt"
CHANGE_PASSWORD = "/.well-known/change-password"
PUBLIC_URL = "https://id.example.com"
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}  # RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1


async def test_the_key_set_verifies_tokens_and_holds_nothing_private(
    client: httpx.AsyncClient, account: Account
) -> None:
    """RFC 7517: any library verifies our tokens with it; no member of a private or symmetric key is ever there."""
    answer = await client.get(KEY_SET)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/jwk-set+json"
    keys = answer.json()["keys"]
    assert keys
    for key in keys:
        assert set(key) == {"kid", "kty", "alg", "use", "crv", "x", "y"}
        assert not PRIVATE_MEMBERS & set(key)
        assert (key["kty"], key["alg"], key["use"], key["crv"]) == ("EC", "ES256", "sig", "P-256")
    claims = jwt.decode(account.access_token, answer.json(), algorithms=["ES256"], audience="merit-api", issuer="merit")
    assert claims["sub"] == account.id


async def test_the_key_set_is_kept_as_long_as_the_rotation_allows(make_app: AppFactory) -> None:
    """JWKS_MAX_AGE_SECONDS: the same number that the schedule of rotations waits for; revalidated by ETag."""
    async with make_app(jwks_max_age_seconds=77) as application, client_of(application) as client:
        services: Services = application.state.merit
        assert services.auth.key_schedule.publication >= timedelta(seconds=77 + 5)
        answer = await client.get(KEY_SET)
        assert answer.headers["Cache-Control"] == "public, max-age=77"
        etag = answer.headers["ETag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            again = await client.get(KEY_SET, headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
            assert again.headers["Cache-Control"] == "public, max-age=77"
        for unknown in ('"other"', "", etag.strip('"'), "*x"):
            assert (await client.get(KEY_SET, headers={"If-None-Match": unknown})).status_code == 200


async def test_hs256_publishes_no_key(make_app: AppFactory) -> None:
    """HS256: the only key is secret; an empty set, and metadata that names none."""
    async with (
        make_app(jwt_algorithm="HS256", public_url=PUBLIC_URL) as application,
        client_of(application) as client,
    ):
        assert (await client.get(KEY_SET)).json() == {"keys": []}
        assert "jwks_uri" not in (await client.get(METADATA)).json()


async def test_the_key_set_survives_the_database(database_url: str, tmp_path: Any, app: FastAPI) -> None:
    """Verifiers are better served with the last keys known than with none."""
    clock = SteerableClock()
    async with (
        severable(database_url) as line,
        running(
            line.url, tmp_path, clock, request_timeout_seconds=5, db_connect_timeout=0.5, db_pool_timeout=0.5
        ) as cut_off,
        client_of(cut_off) as client,
    ):
        before = (await client.get(KEY_SET)).json()
        await line.cut(cut_off.state.merit)
        clock.advance(seconds=10)
        answer = await client.get(KEY_SET)
        assert (answer.status_code, answer.json()) == (200, before)
        await line.mend()


async def test_the_metadata_names_only_what_exists(make_app: AppFactory) -> None:
    """RFC 8414: every endpoint answers, every method and grant named is really known, and the issuer is the tokens'."""
    async with make_app(public_url=PUBLIC_URL, docs="on") as application, client_of(application) as client:
        answer = await client.get(METADATA)
        assert answer.headers["Content-Type"] == "application/json"
        metadata = answer.json()
        assert metadata["issuer"] == PUBLIC_URL
        account = await register(client)
        assert claims_of(application.state.merit, account.access_token).iss == metadata["issuer"]
        endpoints = {name: urlsplit(metadata[name]) for name in metadata if name.endswith(("_endpoint", "_uri"))}
        endpoints["service_documentation"] = urlsplit(metadata["service_documentation"])
        assert set(endpoints) == {
            "token_endpoint", "revocation_endpoint", "introspection_endpoint", "jwks_uri", "service_documentation",
        }  # fmt: skip
        for name, url in endpoints.items():
            assert url.geturl().startswith(PUBLIC_URL)
            path = url.path
            if name.endswith("_endpoint"):
                assert (await client.post(path, data={})).json()["error"] in {"invalid_request", "invalid_client"}
            else:
                assert (await client.get(path)).status_code == 200
        assert metadata["scopes_supported"] == sorted(all_permissions())
        assert metadata["response_types_supported"] == []  # there is no authorization endpoint
        token = endpoints["token_endpoint"].path
        for grant in (*metadata["grant_types_supported"], "authorization_code", "implicit"):
            refusal = (await client.post(token, data={"grant_type": grant})).json()["error"]
            assert (refusal == "unsupported_grant_type") is (grant not in metadata["grant_types_supported"])


async def test_the_metadata_names_the_ways_to_authenticate_that_there_are(make_app: AppFactory) -> None:
    """RFC 8414: none, by HTTP Basic and in the form; for introspection by bearer token, and never without."""
    async with make_app(public_url=PUBLIC_URL, docs="off") as application, client_of(application) as client:
        metadata = (await client.get(METADATA)).json()
        methods = ["none", "client_secret_basic", "client_secret_post"]
        assert metadata["token_endpoint_auth_methods_supported"] == methods
        assert metadata["revocation_endpoint_auth_methods_supported"] == methods
        assert metadata["introspection_endpoint_auth_methods_supported"] == [*methods[1:], "Bearer"]
        assert "service_documentation" not in metadata


@pytest.mark.parametrize(
    ("overrides", "issuer"),
    [
        ({}, "merit"),
        ({"public_url": PUBLIC_URL}, PUBLIC_URL),
        ({"jwt_issuer": "https://tokens.example.com"}, "https://tokens.example.com"),
        ({"jwt_issuer": "someone", "public_url": PUBLIC_URL}, "someone"),
        ({"jwt_issuer": "https://tokens.example.com", "public_url": PUBLIC_URL}, "https://tokens.example.com"),
        ({"jwt_issuer": PUBLIC_URL, "public_url": f"{PUBLIC_URL}/"}, PUBLIC_URL),
    ],
)
async def test_the_issuer(make_app: AppFactory, overrides: dict[str, str], issuer: str) -> None:
    """JWT_ISSUER, or else PUBLIC_URL, or else a name; metadata only where it is what clients looked it up by.

    RFC 8414 section 3.3: from another address they must not use it.
    """
    async with make_app(**overrides) as application, client_of(application) as client:
        account = await register(client)
        assert claims_of(application.state.merit, account.access_token).iss == issuer
        answer = await client.get(METADATA)
        if issuer == PUBLIC_URL:
            assert answer.json()["issuer"] == issuer
        else:
            assert code_of(answer) == (404, "not_published")


async def test_all_that_can_be_got_can_be_asked_about(make_app: AppFactory) -> None:
    """RFC 9110 section 9.3.2: HEAD tells what GET would, without the content."""
    async with (
        make_app(public_url=PUBLIC_URL, security_contact="mailto:security@example.com") as application,
        client_of(application) as client,
    ):
        for path in (KEY_SET, METADATA, SECURITY):
            got, asked = await client.get(path), await client.head(path)
            assert (asked.status_code, asked.headers["ETag"]) == (200, got.headers["ETag"])


async def test_a_new_public_url_logs_nobody_out(make_app: AppFactory, account: Account) -> None:
    """Tokens from before PUBLIC_URL was set stay good; with another JWT_ISSUER they are a stranger's."""
    async with make_app(public_url=PUBLIC_URL) as moved, client_of(moved) as there:
        assert await is_alive(there, account.access_token)
    async with make_app(jwt_issuer=PUBLIC_URL) as other, client_of(other) as there:
        assert not await is_alive(there, account.access_token)


async def test_where_to_report_a_security_problem(make_app: AppFactory, clock: ManualClock) -> None:
    """RFC 9116: contact and expiry, in less than a year; nothing where no contact is set."""
    settings = {"security_contact": "mailto:security@example.com", "public_url": PUBLIC_URL}
    async with make_app(**settings) as application, client_of(application) as client:
        answer = await client.get(SECURITY)
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Cache-Control"] == "public, max-age=86400"
        lines = dict(line.split(": ", 1) for line in answer.text.splitlines())
        expires = datetime.strptime(lines.pop("Expires"), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        assert timedelta(days=178) < expires - clock.now() <= timedelta(days=180)
        assert lines == {
            "Contact": "mailto:security@example.com",
            "Preferred-Languages": "en",
            "Canonical": f"{PUBLIC_URL}{SECURITY}",
        }
        assert (await client.head(SECURITY)).headers["ETag"] == answer.headers["ETag"]
    async with make_app(security_contact="https://example.com/report") as application, client_of(application) as client:
        assert "Canonical" not in (await client.get(SECURITY)).text


async def test_no_contact_is_no_document(client: httpx.AsyncClient) -> None:
    """RFC 9116: a document without a contact would be none."""
    assert code_of(await client.get(SECURITY)) == (404, "not_published")


@pytest.mark.parametrize(
    "contact", ["security@example.com", "http://example.com", "mailto:a@b\nContact: x", "javascript:1"]
)
def test_a_contact_is_an_address_of_the_right_kind(contact: str) -> None:
    """RFC 9116 section 2.5.3: a URI; and it cannot write lines of its own."""
    with pytest.raises(ConfigurationError, match="SECURITY_CONTACT"):
        Settings.load(_env_file=None, secret_key=SECRET_KEY, security_contact=contact)


async def test_the_way_to_change_a_password(client: httpx.AsyncClient) -> None:
    """W3C change-password: a redirect to a page that exists; and an invented name beside it does not exist."""
    answer = await client.get(CHANGE_PASSWORD)
    assert answer.status_code == 302
    assert urlsplit(answer.headers["Location"]).netloc == ""
    assert (await client.get(answer.headers["Location"])).status_code == 200
    missing = "/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200"
    assert (await client.get(missing)).status_code == 404

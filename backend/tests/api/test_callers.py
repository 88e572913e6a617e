"""Every operation of the document times every kind of caller: who gets in, and who is told what."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from sqlalchemy import select

from app.auth.models import SigningKeyRecord
from app.auth.tokens import AccessTokenCodec, SigningKey, decrypt_private_key
from app.auth.types import Permission
from app.core.ids import new_id
from app.main import Services
from tests.support import PASSWORD, Account, ManualClock, register

CALLERS = (
    "anonymous",
    "other user",
    "narrowed scope",
    "revoked token",
    "expired token",
    "disabled account",
    "wrong audience",
    "unknown kid",
    "administrator",
)
DEAD = frozenset(CALLERS[3:8])
NOBODY = (401,) * 5  # the dead tokens

# operation: the status of each caller, in the order of CALLERS. The target of paths with an id is someone else's.
EXPECTED: dict[str, tuple[int, ...]] = {
    "get_me": (401, 200, 200, *NOBODY, 200),
    "update_me": (401, 200, 403, *NOBODY, 200),
    "change_password": (401, 204, 403, *NOBODY, 204),
    "list_my_sessions": (401, 200, 200, *NOBODY, 200),
    "end_my_session": (401, 404, 403, *NOBODY, 404),
    "register": (201,) * 9,
    "login": (200,) * 9,
    "create_token": (200,) * 9,
    "refresh": (200,) * 9,
    "logout": (401, 204, 204, *NOBODY, 204),
    "list_users": (401, 403, 403, *NOBODY, 200),
    "get_user": (401, 403, 403, *NOBODY, 200),
    "update_user": (401, 403, 403, *NOBODY, 200),
    "disable_user": (401, 403, 403, *NOBODY, 200),
    "enable_user": (401, 403, 403, *NOBODY, 200),
    "end_user_sessions": (401, 403, 403, *NOBODY, 204),
    "live": (200,) * 9,
    "ready": (200,) * 9,
}


def operations(app: FastAPI) -> dict[str, tuple[str, str]]:
    """Method and path of every operation in the document, by its id."""
    return {
        operation["operationId"]: (method.upper(), path)
        for path, item in app.openapi()["paths"].items()
        for method, operation in item.items()
    }


def body_of(operation: str, owner: Account) -> dict[str, Any]:
    """What an operation takes, so that nothing but the caller decides."""
    password = {"email": owner.email, "password": PASSWORD}
    bodies: dict[str, dict[str, Any]] = {
        "update_me": {"json": {"full_name": "Grace"}},
        "change_password": {"json": {"current_password": PASSWORD, "new_password": "another passphrase 43"}},
        "register": {"json": {"email": f"{new_id().hex}@example.com", "password": PASSWORD}},
        "login": {"json": password},
        "create_token": {"data": {"username": owner.email, "password": PASSWORD}},
        "refresh": {"json": {"refresh_token": owner.refresh_token}},
        "update_user": {"json": {"role": "reviewer"}},
    }
    return bodies.get(operation, {})


Headers = dict[str, str]
MakeAdmin = Callable[[Account], Awaitable[Account]]


class Cast:
    """The callers, each with the Authorization header it sends."""

    def __init__(
        self, services: Services, client: httpx.AsyncClient, clock: ManualClock, make_admin: MakeAdmin, admin: Account
    ) -> None:
        self._services = services
        self._client = client
        self._clock = clock
        self._make_admin = make_admin
        self._admin = admin
        self._tokens: dict[str, str] = {}

    async def gather(self) -> None:
        """Make those whose tokens are dead, and stay so."""
        revoked, disabled = [await register(self._client) for _ in range(2)]
        await revoked.request("POST", "/auth/logout")
        await self._admin.request("POST", f"/admin/users/{disabled.id}/disable")
        async with self._services.database.read_session() as session:
            record = (await session.scalars(select(SigningKeyRecord))).one()
        key = decrypt_private_key(record.private_key, record.kid, self._services.settings.secret_key)
        self._tokens["revoked token"] = revoked.access_token
        self._tokens["disabled account"] = disabled.access_token
        self._tokens["wrong audience"] = self._forge(key, audience="another-api")
        self._tokens["unknown kid"] = self._forge(SigningKey.generate_es256())
        self._clock.advance(seconds=-800)
        self._tokens["expired token"] = self._forge(key)
        self._clock.advance(seconds=800)

    async def enter(self) -> dict[str, Headers]:
        """All callers: the dead ones, and the living with new sessions, as an operation may have ended theirs."""
        other, narrowed = [await register(self._client) for _ in range(2)]
        await narrowed.login(scope="profile:read")
        admin = await self._make_admin(await register(self._client))
        tokens = self._tokens | {
            "other user": other.access_token,
            "narrowed scope": narrowed.access_token,
            "administrator": admin.access_token,
        }
        return {"anonymous": {}} | {name: {"Authorization": f"Bearer {token}"} for name, token in tokens.items()}

    def _forge(self, key: SigningKey, *, audience: str = "merit-api") -> str:
        """A token of the administrator with every permission, right but for its audience, key or time."""
        clock = self._services.clock
        codec = AccessTokenCodec(issuer="merit", audience=audience, lifetime_seconds=600, clock=clock)
        codec.set_keys(key, [key])
        return codec.issue(
            user_id=UUID(self._admin.id),
            session_id=new_id(),
            client_id="merit",
            auth_version=1,
            scope=list(Permission),
            amr=["pwd"],
            acr="aal1",
            auth_time=clock.now(),
        ).token


def test_every_operation_has_a_row_and_every_caller_a_cell(app: FastAPI) -> None:
    """Promise 4: an operation that nobody thought of here fails this test, and so does a caller."""
    assert set(EXPECTED) == set(operations(app))
    assert {len(statuses) for statuses in EXPECTED.values()} == {len(CALLERS)}


async def test_an_operation_lets_in_exactly_whom_it_should(
    app: FastAPI,
    services: Services,
    client: httpx.AsyncClient,
    clock: ManualClock,
    make_admin: MakeAdmin,
    admin: Account,
) -> None:
    """Promise 4: status and code of each caller, and nothing about a dead token but that it is dead."""
    cast = Cast(services, client, clock, make_admin, admin)
    await cast.gather()
    found: dict[str, tuple[int, ...]] = {}
    for operation, (method, template) in operations(app).items():
        headers = await cast.enter()
        owner = await register(client)
        statuses = []
        for caller in CALLERS:
            session = (await owner.get("/users/me/sessions")).json()["items"][0]["id"]
            path = template.format(user_id=owner.id, session_id=session)
            answer = await client.request(method, path, headers=headers[caller], **body_of(operation, owner))
            statuses.append(answer.status_code)
            assert code_of(answer) == code_for(operation, caller, answer.status_code), (operation, caller)
            if answer.status_code == 401 and caller in DEAD and operation != "logout":
                assert answer.headers["WWW-Authenticate"] == 'Bearer realm="merit", error="invalid_token"'
                assert "detail" not in answer.json()
            if answer.is_success and method != "GET":
                owner = await register(client)
        found[operation] = tuple(statuses)
    assert found == EXPECTED


def code_of(answer: httpx.Response) -> str | None:
    """The error code of a refusal."""
    return None if answer.is_success else answer.json()["code"]


def code_for(operation: str, caller: str, status: int) -> str | None:
    """The error code that a caller must see."""
    match status:
        case 401:
            # A dead token and none at all are the same to a logout, where it is optional.
            return "invalid_token" if caller in DEAD and operation != "logout" else "not_authenticated"
        case 403:
            return "insufficient_scope"
        case 404:
            return "session_not_found"
        case _:
            return None

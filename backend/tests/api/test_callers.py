"""Every operation of the document times every kind of caller: who gets in, and who is told what.

A new operation is one line in `tests.api.operations`. Which permission it needs is said there by hand, never read from
the application; what each caller is told follows from that, from what the caller holds, and from `EXCEPTIONS`.
"""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.auth.permissions import all_permissions
from app.core.ids import new_id
from app.main import Services
from tests.api.cast import Cast, MakeAdmin
from tests.api.operations import OPERATIONS, Operation
from tests.api.wire import Reply, call
from tests.support import OWN, Account, ManualClock, answers_of, register

EVERYTHING = {operation.needs for operation in OPERATIONS.values() if operation.needs}

# What living callers hold, and of dead ones None; `tests.api.cast.Cast` makes them.
HOLDS: dict[str, set[str] | None] = {
    "anonymous": set(),
    "other user": OWN,
    "narrowed session": {"profile:read"},
    "reviewer": OWN,
    "author": OWN,
    "holder of a custom role": OWN | {"users:read", "users:write", "jobs:read"},
    "personal token": EVERYTHING,
    "narrowed personal token": {"users:read"},
    "service account": {"users:read", "users:write", "tokens:introspect"},
    "administrator": EVERYTHING,
    "superuser": EVERYTHING,
    "revoked token": None,
    "expired token": None,
    "disabled account": None,
    "outdated permissions": None,
    "wrong audience": None,
    "unknown kid": None,
    "revoked personal token": None,
    "expired personal token": None,
    "disabled service account": None,
}
# Callers with a guest token, and whether it is alive.
GUESTS = {"guest": True, "claimed guest": False, "expired guest": False}
CALLERS = [*HOLDS, *GUESTS]
PROGRAMS = {"personal token", "narrowed personal token", "service account"}
DEAD = {caller for caller, held in HOLDS.items() if held is None}

# Where an OAuth2 client proves who it is by HTTP Basic.
TAKES_CLIENTS = {"create_token", "revoke_token", "introspect_token"}

# What some members of the body need a login session for, and others not.
DEPENDS_ON_MEMBERS = {"update_me", "update_user"}

Answer = tuple[int, str | None]

# Cells that do not follow from the above, with the reason.
EXCEPTIONS: dict[tuple[str, str], Answer] = {
    # A dead token and none at all are the same to a logout, where it is optional.
    **{("logout", caller): (401, "not_authenticated") for caller in DEAD},
    # Whoever says anything about itself there authenticates as an OAuth2 client, which a bearer token does not.
    **{("revoke_token", caller): (401, "invalid_client") for caller in HOLDS.keys() - {"anonymous"}},
    **{("introspect_token", caller): (401, "invalid_client") for caller in ("anonymous", *GUESTS)},
    # Only machines ask about tokens, whatever people may do.
    **{
        ("introspect_token", caller): (403, "insufficient_scope")
        for caller in ("personal token", "administrator", "superuser")
    },
}


def expected(name: str, caller: str) -> Answer:
    """What a caller must be told."""
    operation = OPERATIONS[name]
    if (name, caller) in EXCEPTIONS:
        return EXCEPTIONS[name, caller]
    if operation.needs is None and not operation.for_guests_only:
        return operation.status, operation.code
    if caller in GUESTS:
        return expected_of_guest(operation, is_alive=GUESTS[caller])
    return expected_of_account(operation, caller)


def expected_of_guest(operation: Operation, *, is_alive: bool) -> Answer:
    """Guests are nobody, but where they may call; there they hear of a dead token."""
    if not operation.guests:
        return 401, "not_authenticated"
    return (operation.status, operation.code) if is_alive else (401, "invalid_guest_token")


def expected_of_account(operation: Operation, caller: str) -> Answer:
    """What somebody without a guest token must be told where not everyone may call."""
    held = HOLDS[caller]
    if operation.for_guests_only:
        return 401, "not_authenticated"
    if operation.needs is not None:
        if caller == "anonymous":
            return 401, "not_authenticated"
        if held is None:
            return 401, "invalid_token"
        if operation.needs and operation.needs not in held:
            return 403, "insufficient_scope"
        if operation.is_interactive and caller in PROGRAMS:
            return 403, "session_required"
    return operation.status, operation.code


def documented(app: FastAPI) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Method, path and description of every operation in the document, by its id."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, item in app.openapi()["paths"].items()
        for method, operation in item.items()
    }


def test_every_operation_has_a_row_and_every_permission_an_operation(app: FastAPI) -> None:
    """Promise 4: an operation that nobody thought of here fails this test, and so does a permission."""
    assert set(OPERATIONS) == set(documented(app))
    assert set(all_permissions()) == EVERYTHING
    assert all(name in OPERATIONS and caller in CALLERS for name, caller in EXCEPTIONS)


def test_the_document_tells_what_each_operation_needs(app: FastAPI) -> None:
    """Where Swagger UI takes the scopes from, and in words."""
    for name, (_, _, operation) in documented(app).items():
        row = OPERATIONS[name]
        schemes = operation.get("security", [])
        scopes = {scope for scheme in schemes for scope in scheme.get("account", [])}
        assert scopes == ({row.needs} if row.needs else set()), name
        assert any("account" in scheme for scheme in schemes) is (row.needs is not None), name
        assert any("client" in scheme for scheme in schemes) is (name in TAKES_CLIENTS), name
        assert ({"guest": []} in schemes) is row.guests, name
        refusals = answers_of(app.openapi(), operation)
        is_told = "session_required" in refusals.get("403", {}).get("description", "")
        assert is_told is (row.is_interactive or name in DEPENDS_ON_MEMBERS), name
        if row.needs:
            access = operation["description"].rpartition("**Access:** ")[2].rstrip(".").split(", ")
            assert access[0] == f"permission `{row.needs}`", name
            assert ("or a guest token" in access) is row.guests, name
            assert ("login session" in access) is row.is_interactive, name
            assert ("fresh login" in access) is ("insufficient_user_authentication" in str(refusals)), name
            assert ("only for service accounts" in access) is (name == "introspect_token"), name


class Requests:
    """Makes the request of an operation, so that nothing but the caller decides how it is answered."""

    def __init__(self, owner: Account, session_id: str) -> None:
        self._owner = owner
        self._ids = {"user_id": owner.id, "session_id": session_id, "seq": str(2**31 - 1)}

    def path(self, template: str) -> str:
        """A path with ids in it."""
        return re.sub(r"\{(\w+)\}", lambda match: self._ids.get(match[1]) or str(new_id()), template)

    def body(self, operation: Operation) -> dict[str, Any]:
        """What the operation takes."""
        return {
            kind: {name: self._filled(value) for name, value in members.items()}
            for kind, members in operation.body.items()
        }

    def _filled(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        values = {"{owner}": self._owner.email, "{refresh}": self._owner.refresh_token, "{unique}": new_id().hex}
        return re.sub(r"\{\w+\}", lambda match: values[match[0]], value)


@pytest.mark.timeout(300)
async def test_an_operation_lets_in_exactly_whom_it_should(
    app: FastAPI,
    services: Services,
    client: httpx.AsyncClient,
    clock: ManualClock,
    make_admin: MakeAdmin,
    admin: Account,
    record_property: Callable[[str, object], None],
) -> None:
    """Promise 4: status and code of each caller, and nothing about a dead token but that it is dead."""
    record_property("operations", len(OPERATIONS))  # for the drill
    cast = Cast(services, client, clock, make_admin, admin)
    headers = {caller: await cast.make(caller, HOLDS.get(caller) or ()) for caller in CALLERS}
    owner = await register(client)
    session = (await owner.get("/users/me/sessions")).json()["items"][0]["id"]
    requests, operations = Requests(owner, session), documented(app)
    wrong: dict[tuple[str, str], tuple[Answer, Answer]] = {}
    for name, operation in OPERATIONS.items():
        method, template, _ = operations[name]
        for caller in CALLERS:
            reply = await call(app, method, requests.path(template), headers[caller], **requests.body(operation))
            found = reply.status, code_of(reply)
            if found != expected(name, caller):
                wrong[name, caller] = found, expected(name, caller)
            elif (operation.needs is not None or operation.guests) and (name, caller) not in EXCEPTIONS:
                check_challenge(reply, operation)
    assert wrong == {}


def code_of(reply: Reply) -> str | None:
    """The error code of a refusal."""
    if reply.is_success:
        return None
    members = reply.json()
    return str(members.get("code") or members["error"])


def check_challenge(reply: Reply, operation: Operation) -> None:
    """RFC 6750 section 3: what a refusal says in its header, and that it says no more than that."""
    challenge = reply.headers.get("www-authenticate")
    match reply.status, code_of(reply):
        case 401, "not_authenticated" | "invalid_guest_token":
            assert challenge == 'Bearer realm="merit"'
        case 401, _:
            assert challenge == 'Bearer realm="merit", error="invalid_token"'
            assert "detail" not in reply.json()
        case 403, "insufficient_scope":
            assert challenge == f'Bearer realm="merit", error="insufficient_scope", scope="{operation.needs}"'
        case 403, "session_required":
            assert challenge == 'Bearer realm="merit", error="insufficient_scope"'
        case _:
            assert challenge is None


def test_headers_are_made_for_every_caller() -> None:
    """A kind without a method in the cast would be a missing column."""
    methods = {name for name in vars(Cast) if not name.startswith("_")} - {"make"}
    assert {caller.replace(" ", "_") for caller in CALLERS} == methods

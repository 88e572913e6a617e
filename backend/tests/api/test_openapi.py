"""The OpenAPI document: how it is finished, shown on a small application, and what holds for the whole real one."""

import re
from collections.abc import Iterator
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Form, Header, Security
from fastapi.security import OAuth2PasswordBearer
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel, SecretStr

from app.api.openapi import TAGS, install_openapi
from app.auth.errors import EmailTakenError, InvalidGrantError, UsernameTakenError, UserNotFoundError
from app.auth.oauth import oauth_error_responses
from app.auth.permissions import all_permissions
from app.core.problems import error_responses
from app.core.settings import Settings
from app.main import create_app
from app.routing import root_router, serve
from tests.support import answers_of

PROBLEM = "application/problem+json"

# The operations that need no access token. A new one is added here on purpose or not at all.
PUBLIC = {
    "get_shared",
    "open_shared",
    "register",
    "login",
    "create_token",
    "refresh",
    "logout",
    "verify_email",
    "resend_verification",
    "confirm_email_change",
    "undo_email_change",
    "forgot_password",
    "reset_password",
    "secure_account",
    "revoke_token",
    "create_guest",
    "get_key_set",
    "live",
    "ready",
}

Json = dict[str, Any]


def operations_of(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Give method, path and description of every operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def codes_of(response: Json) -> set[str]:
    """The error codes that a response shows as examples."""
    return set(response["content"][PROBLEM].get("examples", {}))


# --- a small application --------------------------------------------------------------------------------------------


class Thing(BaseModel):
    """Anything with a name."""

    name: str


bearer = OAuth2PasswordBearer(tokenUrl="token", scopes={"things:read": "Read things"})
router = root_router(tags=["users"])


@router.post("/things", status_code=201, responses=error_responses(EmailTakenError, UsernameTakenError))
async def create_thing(body: Thing) -> Thing:
    """Make a thing."""
    return body


@router.patch("/things/{thing_id}", responses=error_responses(UserNotFoundError))
async def update_thing(
    thing_id: UUID,
    body: Thing,
    token: Annotated[str, Security(bearer, scopes=["things:read"])],
    if_match: Annotated[str | None, Header()] = None,
) -> Thing:
    """Change a thing."""
    return body


@router.get("/mine")
async def get_mine(token: Annotated[str, Security(bearer)]) -> Thing:
    """See one's own thing."""
    return Thing(name=token)


@router.post("/token", responses=oauth_error_responses(InvalidGrantError))
async def create_small_token(grant_type: Annotated[str, Form()]) -> Thing:
    """Get a token."""
    return Thing(name=grant_type)


@pytest.fixture(scope="module")
def small() -> Json:
    app = FastAPI(title="Small", version="1.2.3")
    serve(app, router)
    install_openapi(app)
    return app.openapi()


def test_the_small_document_is_valid_and_built_once(small: Json) -> None:
    OpenAPIV31SpecValidator(small).validate()
    assert small["openapi"].startswith("3.1")
    assert small["info"]["version"] == "1.2.3"
    assert small["tags"] == TAGS


def test_an_operation_is_named_after_its_function(small: Json) -> None:
    names = [operation["operationId"] for _, _, operation in operations_of(small)]
    assert names == ["create_thing", "update_thing", "get_mine", "create_small_token"]


def test_declared_errors_share_a_status_with_one_example_each(small: Json) -> None:
    conflict = answers_of(small, small["paths"]["/things"]["post"])["409"]
    assert codes_of(conflict) == {"email_taken", "username_taken"}
    assert conflict["description"] == (
        "This e-mail address is taken (`email_taken`); This user name is taken (`username_taken`)"
    )
    example = conflict["content"][PROBLEM]["examples"]["email_taken"]["value"]
    assert (example["status"], example["code"]) == (409, "email_taken")


def test_standard_refusals_follow_from_what_an_operation_takes(small: Json) -> None:
    create, update, mine = (
        answers_of(small, small["paths"]["/things"]["post"]),
        answers_of(small, small["paths"]["/things/{thing_id}"]["patch"]),
        answers_of(small, small["paths"]["/mine"]["get"]),
    )
    assert set(create) == {"201", "400", "409", "422", "503", "default"}
    assert set(update) == {"200", "400", "401", "403", "404", "412", "422", "503", "default"}
    assert set(mine) == {"200", "400", "401", "503", "default"}
    assert codes_of(create["400"]) == {"malformed_json"}
    assert codes_of(update["400"]) == {"malformed_json", "invalid_request"}
    assert codes_of(update["401"]) == {"not_authenticated", "invalid_token"}
    assert codes_of(update["404"]) == {"not_found", "user_not_found"}


def test_no_trace_is_left_of_the_frameworks_own_error_form(small: Json) -> None:
    assert "HTTPValidationError" not in str(small)
    assert {"Problem", "InputFault", "OAuthError"} <= set(small["components"]["schemas"])


def test_the_token_endpoint_refuses_in_the_form_of_its_own_standard(small: Json) -> None:
    responses = answers_of(small, small["paths"]["/token"]["post"])
    assert set(responses) == {"200", "400", "503", "default"}
    content = responses["400"]["content"]["application/json"]
    assert content["schema"]["$ref"].endswith("/OAuthError")
    assert content["examples"]["invalid_grant"]["value"]["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("path", "method", "access"),
    [
        ("/things", "post", "everyone"),
        ("/mine", "get", "every signed-in caller"),
        ("/things/{thing_id}", "patch", "permission `things:read`"),
    ],
)
def test_an_operation_says_who_may_call_it(small: Json, path: str, method: str, access: str) -> None:
    description = small["paths"][path][method]["description"]
    assert description.endswith(f"**Access:** {access}.")
    assert len(description.splitlines()) > 1


# --- the real application -------------------------------------------------------------------------------------------

DOCUMENT = create_app(Settings(secret_key=SecretStr("an-arbitrary-key-of-more-than-32-bytes"))).openapi()
OPERATIONS = [
    pytest.param(path, operation, id=f"{method} {path}") for method, path, operation in operations_of(DOCUMENT)
]


def test_the_document_is_valid_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert DOCUMENT["openapi"].startswith("3.1")


def test_operation_ids_are_unique_snake_case_names() -> None:
    names = [operation["operationId"] for _, _, operation in operations_of(DOCUMENT)]
    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)] == []


def test_every_tag_is_described_and_used() -> None:
    used = {tag for _, _, operation in operations_of(DOCUMENT) for tag in operation["tags"]}
    assert used == {tag["name"] for tag in DOCUMENT["tags"]}
    assert all(tag["description"] for tag in DOCUMENT["tags"])


def test_the_public_operations_are_exactly_the_listed_ones() -> None:
    public = {
        operation["operationId"]
        for _, _, operation in operations_of(DOCUMENT)
        if not operation.get("security") or {} in operation["security"]
    }
    assert public == PUBLIC


def test_the_login_form_points_to_the_token_endpoint_and_knows_every_permission() -> None:
    flows = DOCUMENT["components"]["securitySchemes"]["account"]["flows"]
    assert set(flows) == {"password", "clientCredentials"}
    for flow in flows.values():
        assert f"/{flow['tokenUrl'].lstrip('/')}" == "/api/v1/auth/token"
        assert flow["scopes"] == {name: permission.description for name, permission in all_permissions().items()}
        assert all(flow["scopes"].values())
    assert "post" in DOCUMENT["paths"]["/api/v1/auth/token"]


def test_clients_have_a_scheme_of_their_own() -> None:
    """RFC 6749 section 2.3.1: service accounts use HTTP Basic at the token endpoints, and there alone."""
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert set(schemes) == {"account", "client", "guest"}
    assert (schemes["client"]["type"], schemes["client"]["scheme"]) == ("http", "basic")
    used = {
        operation["operationId"]: operation["security"]
        for _, _, operation in operations_of(DOCUMENT)
        if "client" in str(operation.get("security"))
    }
    assert used == {
        "create_token": [{"client": []}, {}],
        "revoke_token": [{"client": []}, {}],
        "introspect_token": [{"client": []}, {"account": ["tokens:introspect"]}],
    }


@pytest.mark.parametrize(
    ("name", "access"),
    [
        ("register", "everyone"),
        ("logout", "everyone; an access token is optional"),
        ("create_token", "everyone; a service account's id and secret are optional"),
        ("introspect_token", "permission `tokens:introspect`, only for service accounts"),
        ("update_user", "permission `users:write`"),
        ("end_my_session", "permission `profile:write`, login session"),
        ("change_password", "permission `profile:write`, login session, fresh login"),
        ("create_service_secret", "permission `services:write`, login session, fresh login"),
    ],
)
def test_an_operation_says_what_a_caller_has_to_bring(name: str, access: str) -> None:
    (operation,) = (each for _, _, each in operations_of(DOCUMENT) if each["operationId"] == name)
    assert operation["description"].endswith(f"**Access:** {access}.")


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_an_answer_in_json_has_a_schema_of_its_own(path: str, operation: Json) -> None:
    for status, response in answers_of(DOCUMENT, operation).items():
        for media_type, content in response.get("content", {}).items():
            if media_type.endswith(("/json", "+json")):
                assert content["schema"].get("type") != "string", (status, media_type)


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_an_operation_is_described(path: str, operation: Json) -> None:
    assert operation["summary"]
    assert operation["tags"]
    what_it_does = operation["description"].partition("**Access:**")[0]
    assert len(what_it_does.split()) >= 3, "the endpoint's docstring is missing"


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_an_operation_declares_its_refusals(path: str, operation: Json) -> None:
    responses = operation["responses"]
    needed = {"503", "default"}
    needed |= {"401"} if operation.get("security") else set()
    needed |= {"404"} if "{" in path else set()
    needed |= {"412"} if any(p["name"].lower() == "if-match" for p in operation.get("parameters", [])) else set()
    assert needed <= set(responses)
    assert list(responses) == sorted(responses)


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_a_refusal_has_one_of_the_known_forms(path: str, operation: Json) -> None:
    oauth = ("application/json", "OAuthError")
    own_form = {"ready": ("application/json", "Readiness")}
    own_form |= dict.fromkeys(("create_token", "revoke_token", "introspect_token"), oauth)
    for status, response in answers_of(DOCUMENT, operation).items():
        if status[0] in "45" or status == "default":
            forms = {
                kind: content["schema"]["$ref"].rpartition("/")[2] for kind, content in response["content"].items()
            }
            own = own_form.get(operation["operationId"])
            assert forms.items() <= {(PROBLEM, "Problem"), own}
            assert own != oauth or oauth in forms.items(), status


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_a_request_body_has_an_example(path: str, operation: Json) -> None:
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = resolved(content["schema"])
        fields = schema.get("properties", {})
        shown = {name for name, field in fields.items() if has_example(field)}
        is_complete = bool(shown) and shown >= set(schema.get("required", ()))
        assert "examples" in content or "examples" in schema or is_complete, (media_type, set(fields) - shown)


def resolved(schema: Json) -> Json:
    """The schema that a reference, alone or in an `anyOf`, points to."""
    for branch in (schema, *schema.get("anyOf", ())):
        if "$ref" in branch:
            named: Json = DOCUMENT["components"]["schemas"][branch["$ref"].rpartition("/")[2]]
            return named
    return schema


def has_example(field: Json) -> bool:
    """Whether a reader sees what a field may hold."""
    branches = (resolved(field), *field.get("anyOf", ()))
    return any({"examples", "default", "enum", "const"} & branch.keys() for branch in branches)


async def test_a_refused_method_names_all_that_are_there(client: httpx.AsyncClient, app: FastAPI) -> None:
    """RFC 9110 section 15.5.6: `Allow` lists what the path takes, whichever routes that are."""
    for path, item in app.openapi()["paths"].items():
        answer = await client.request("TRACE", path)
        assert answer.status_code == 405
        assert set(answer.headers["Allow"].split(", ")) >= {method.upper() for method in item}, path

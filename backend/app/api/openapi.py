"""Finishes the OpenAPI document: who may call an operation, how it refuses, and names fit for generated clients."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from app.api.problem import MalformedBodyError, MalformedJsonError
from app.auth.errors import (
    InsufficientScopeError,
    InvalidTokenError,
    MalformedAuthorizationError,
    MissingTokenError,
    SessionRequiredError,
    StaleLoginError,
)
from app.auth.guests.dependencies import GUEST_SCHEME
from app.auth.oauth import oauth_error_responses
from app.auth.service_accounts.client_auth import CLIENT_SCHEME, CLIENT_SCHEME_MODEL
from app.core.errors import (
    AppError,
    InvalidInputError,
    NotFoundError,
    PreconditionFailedError,
    ServiceUnavailableError,
)
from app.core.problems import PROBLEM_MEDIA_TYPE, describe_response, error_responses, refusals_of

Json = dict[str, Any]
Refusals = frozenset[type[AppError]]

DESCRIPTION = """\
One account system and one HTTP API for learning, interviewing and proving skills.

- **Sign in** with `POST /api/v1/auth/login` (JSON) or `POST /api/v1/auth/token` (OAuth2 form); send the access token as
  `Authorization: Bearer …`, and renew it with the refresh token. Scripts and machines use personal access tokens and
  service accounts.
- **Access** is told of each operation. *Login session*: not for such tokens, whatever they permit
  (`session_required`). *Fresh login*: log in again if the last login was not a moment ago
  (`insufficient_user_authentication`).
- **Guests** have no account: `POST /api/v1/guests` gives a token for the header `Guest-Token`.
- **Repeat** a request that makes something, if its answer was lost, with the same `Idempotency-Key`.
- **Refusals** are `application/problem+json` (RFC 9457). Programs look at `code`; `request_id` is in the logs too.
- **Lists** come in pages: `?limit=&cursor=` gives `items` and `next_cursor`, which is null on the last page.
"""

TAGS = [
    {
        "name": "auth",
        "description": "Register, prove addresses, log in, renew and end sessions, recover accounts; OAuth2 tokens.",
    },
    {"name": "users", "description": "Your own account: profile, address, password, sessions and security events."},
    {
        "name": "admin",
        "description": (
            "For administrators: accounts with their sessions and tokens, roles, invitations, the audit trail, "
            "signing keys and background jobs."
        ),
    },
    {"name": "discovery", "description": "What other programs look for at any service: its public keys."},
    {"name": "tokens", "description": "Your personal access tokens, for scripts."},
    {"name": "guests", "description": "Using the service without an account, and taking along what one made."},
    {
        "name": "preferences",
        "description": "What you prefer: typed, in layers (default, every device, one device), with history and undo.",
    },
    {"name": "shares", "description": "Links to conversations, for people without an account too."},
    {"name": "transfer", "description": "Taking conversations in from elsewhere, and along to elsewhere."},
    {"name": "usage", "description": "What you used of the models, what it cost, and what you may still use."},
    {"name": "conversations", "description": "Conversations with models: trees of messages, in folders."},
    {"name": "replies", "description": "Messages that models answer; replies, streamed, resumed and stopped."},
    {"name": "gateway", "description": "Chat completions for clients of OpenAI, which need but another `base_url`."},
    {"name": "services", "description": "Service accounts, for machines; for administrators."},
    {"name": "metrics", "description": "What operations cost and how they end; for administrators and Prometheus."},
    {"name": "health", "description": "Whether the process lives, and whether it can serve."},
]

PROBLEM_SCHEMA: Json = {
    "title": "Problem",
    "description": "Why a request was refused (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "The kind of problem."},
        "title": {"type": "string", "description": "The kind of problem in words."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What was wrong this time."},
        "code": {"type": "string", "description": "The kind of problem for programs; it never changes."},
        "request_id": {"type": "string", "description": "Finds this request in the service's logs."},
        "errors": {
            "type": "array",
            "description": "Invalid input only: each fault with its place, never with the refused value.",
            "items": {"$ref": "#/components/schemas/InputFault"},
        },
    },
}

INPUT_FAULT_SCHEMA: Json = {
    "title": "InputFault",
    "description": "One fault of the input.",
    "type": "object",
    "required": ["loc", "type", "msg"],
    "properties": {
        "loc": {
            "type": "array",
            "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "description": "Where: `body`, `query`, `path` or `header`, then names and positions down to the fault.",
        },
        "type": {"type": "string", "description": "The broken rule for programs."},
        "msg": {"type": "string", "description": "The broken rule in words."},
    },
}

OAUTH_ERROR_SCHEMA: Json = {
    "title": "OAuthError",
    "description": "Why the token endpoint refused (RFC 6749 section 5.2).",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string", "description": "The kind of error for programs."},
        "error_description": {"type": "string", "description": "The kind of error in words."},
    },
}

_SCHEMAS = {"Problem": PROBLEM_SCHEMA, "InputFault": INPUT_FAULT_SCHEMA, "OAuthError": OAUTH_ERROR_SCHEMA}
_REPLACED_SCHEMAS = ("HTTPValidationError", "ValidationError")
_METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def install_openapi(app: FastAPI) -> None:
    """Make `app.openapi()` return the finished document. Every route must be there before the first call."""

    @cache
    def openapi() -> Json:
        document = get_openapi(
            title=app.title, version=app.version, description=DESCRIPTION, tags=TAGS, routes=app.routes
        )
        return finish(document, _refusals_of_dependencies(app))

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend the document


def _refusals_of_dependencies(app: FastAPI) -> dict[str, Refusals]:
    """How the dependencies of each operation refuse, by its id."""
    return {route.unique_id: frozenset(_marked(route.dependant)) for route in app.routes if isinstance(route, APIRoute)}


def _marked(dependant: Dependant) -> Iterator[type[AppError]]:
    yield from refusals_of(dependant.call)
    for inner in dependant.dependencies:
        yield from _marked(inner)


def finish(document: Json, refusals: Mapping[str, Refusals]) -> Json:
    """Add to FastAPI's document, in place, what it cannot know: the form of refusals and who may call what.

    `refusals` are those of each operation's dependencies.
    """
    for operation in _operations(document):
        own = refusals[operation["operationId"]]
        for scheme in operation.get("security", []):
            if GUEST_SCHEME in scheme:  # FastAPI lists the scopes of the scheme beside it
                scheme[GUEST_SCHEME] = []
        responses = operation["responses"]
        is_oauth = any(_schema_of(response) == "OAuthError" for response in responses.values())
        if _schema_of(responses.get("422", {})) == "HTTPValidationError":
            del responses["422"]
        describe = oauth_error_responses if is_oauth else error_responses
        for status, standard in describe(*_standard_errors(operation, own, is_oauth=is_oauth)).items():
            responses[str(status)] = _merged(standard, responses.get(str(status)))
        responses["default"] = _default_response(is_oauth=is_oauth)
        operation["responses"] = dict(sorted(responses.items()))
        operation["description"] = (
            f"{operation.get('description', '')}\n\n**Access:** {_access(operation, own)}".strip()
        )
    components = document.setdefault("components", {})
    components.setdefault("securitySchemes", {})[CLIENT_SCHEME] = CLIENT_SCHEME_MODEL
    schemas = components.setdefault("schemas", {})
    for name in _REPLACED_SCHEMAS:
        schemas.pop(name, None)
    schemas.update(_SCHEMAS)
    components["responses"] = _share_refusals(document)
    return document


def _share_refusals(document: Json) -> Json:
    """Let operations that refuse alike refer to one response; repeated, refusals are two thirds of the document.

    Returns the responses that were shared, by their status and codes.
    """
    operations = [operation["responses"] for operation in _operations(document)]
    uses = Counter(_refusal_name(status, answer) for answers in operations for status, answer in answers.items())
    shared: Json = {}
    for answers in operations:
        for status, answer in answers.items():
            name = _refusal_name(status, answer)
            if name is not None and uses[name] > 1 and shared.setdefault(name, answer) == answer:
                answers[status] = {"$ref": f"#/components/responses/{name}"}
    return shared


def _refusal_name(status: str, answer: Json) -> str | None:
    problem = answer.get("content", {}).get(PROBLEM_MEDIA_TYPE)
    return None if problem is None else ".".join((status, *problem.get("examples", ())))


def _operations(document: Json) -> Iterator[Json]:
    for item in document["paths"].values():
        yield from (operation for method, operation in item.items() if method in _METHODS)


def _standard_errors(operation: Json, own: Refusals, *, is_oauth: bool) -> Iterator[type[AppError]]:
    """The refusals that come from what an operation takes, whatever its own rules are."""
    yield from sorted(own, key=lambda error: error.code)
    yield ServiceUnavailableError
    if is_oauth:  # its router tells of the rest, in the other form
        return
    parameters = {(parameter["in"], parameter["name"].lower()) for parameter in operation.get("parameters", [])}
    if operation.get("security"):
        yield from (MalformedAuthorizationError, MissingTokenError, InvalidTokenError)
        if any(_scopes(operation)):
            yield InsufficientScopeError
    if any(place == "path" for place, _ in parameters):
        yield NotFoundError
    if ("header", "if-match") in parameters:
        yield PreconditionFailedError
    if "requestBody" in operation:
        yield MalformedJsonError if "application/json" in operation["requestBody"]["content"] else MalformedBodyError
    if parameters or "requestBody" in operation:
        yield InvalidInputError


def _default_response(*, is_oauth: bool) -> Json:
    """Also where refusals have the OAuth2 form, those that come before the path is known are problems."""
    forms = {PROBLEM_MEDIA_TYPE: "Problem"} | ({"application/json": "OAuthError"} if is_oauth else {})
    content = {media_type: {"schema": {"$ref": f"#/components/schemas/{name}"}} for media_type, name in forms.items()}
    return {"description": "Any other refusal.", "content": content}


def _merged(standard: Json, declared: Json | None) -> Json:
    if declared is None:
        return standard
    if PROBLEM_MEDIA_TYPE not in declared.get("content", {}):
        return declared
    own = declared["content"][PROBLEM_MEDIA_TYPE].get("examples", {})
    return describe_response({**standard["content"][PROBLEM_MEDIA_TYPE]["examples"], **own})


def _schema_of(response: Json) -> str | None:
    for content in response.get("content", {}).values():
        reference: str = content.get("schema", {}).get("$ref", "")
        return reference.rpartition("/")[2]
    return None


def _scopes(operation: Json) -> list[str]:
    return [scope for scheme in operation.get("security", []) for scopes in scheme.values() for scope in scopes]


def _access(operation: Json, own: Refusals) -> str:
    security = operation.get("security", [])
    is_for_clients = any(CLIENT_SCHEME in scheme for scheme in security)
    if not security:
        return "everyone."
    if {} in security:
        optional = "a service account's id and secret are" if is_for_clients else "an access token is"
        return f"everyone; {optional} optional."
    if security == [{GUEST_SCHEME: []}]:
        return "a guest token."
    scopes = sorted(set(_scopes(operation)))
    needs = [f"permission {', '.join(f'`{scope}`' for scope in scopes)}" if scopes else "every signed-in caller"]
    needs += ["or a guest token"] if {GUEST_SCHEME: []} in security else []
    needs += ["login session"] if SessionRequiredError in own else []
    needs += ["fresh login"] if StaleLoginError in own else []
    needs += ["only for service accounts"] if is_for_clients else []
    return f"{', '.join(needs)}."

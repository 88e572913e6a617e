"""Finishes the OpenAPI document: who may call an operation, how it refuses, and names fit for generated clients."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from app.api.problem import MalformedBodyError, MalformedJsonError
from app.auth.errors import InsufficientScopeError, InvalidTokenError, MalformedAuthorizationError, MissingTokenError
from app.core.errors import (
    AppError,
    InvalidInputError,
    NotFoundError,
    PreconditionFailedError,
    ServiceUnavailableError,
)
from app.core.problems import PROBLEM_MEDIA_TYPE, describe_response, error_responses

Json = dict[str, Any]

DESCRIPTION = """\
One account system and one HTTP API for learning, interviewing and proving skills.

- **Sign in** with `POST /api/v1/auth/login` (JSON) or `POST /api/v1/auth/token` (OAuth2 form); send the access token as
  `Authorization: Bearer …`, and renew it with the refresh token.
- **Refusals** are `application/problem+json` (RFC 9457). Programs look at `code`; `request_id` is in the logs too.
- **Lists** come in pages: `?limit=&cursor=` gives `items` and `next_cursor`, which is null on the last page.
"""

TAGS = [
    {"name": "auth", "description": "Register, log in, renew and end sessions."},
    {"name": "users", "description": "Your own account: profile, password and sessions."},
    {"name": "admin", "description": "Every account, for administrators."},
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


def operation_id(route: APIRoute) -> str:
    """The name of an operation in generated clients: that of its function."""
    return route.name


def install_openapi(app: FastAPI) -> None:
    """Make `app.openapi()` return the finished document. Every route must be there before the first call."""

    @cache
    def openapi() -> Json:
        return finish(
            get_openapi(title=app.title, version=app.version, description=DESCRIPTION, tags=TAGS, routes=app.routes)
        )

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend the document


def finish(document: Json) -> Json:
    """Add to FastAPI's document, in place, what it cannot know: the form of refusals and who may call what."""
    for operation in _operations(document):
        responses = operation["responses"]
        uses_oauth_errors = any(_schema_of(response) == "OAuthError" for response in responses.values())
        if _schema_of(responses.get("422", {})) == "HTTPValidationError":
            del responses["422"]
        for status, standard in error_responses(*_standard_errors(operation, is_oauth=uses_oauth_errors)).items():
            responses[str(status)] = _merged(standard, responses.get(str(status)))
        responses["default"] = {
            "description": "Any other refusal.",
            "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        operation["responses"] = dict(sorted(responses.items()))
        operation["description"] = f"{operation.get('description', '')}\n\n**Access:** {_access(operation)}".strip()
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _REPLACED_SCHEMAS:
        schemas.pop(name, None)
    schemas.update(_SCHEMAS)
    return document


def _operations(document: Json) -> Iterator[Json]:
    for item in document["paths"].values():
        yield from (operation for method, operation in item.items() if method in _METHODS)


def _standard_errors(operation: Json, *, is_oauth: bool) -> Iterator[type[AppError]]:
    """The refusals that come from what an operation takes, whatever its own rules are."""
    parameters = {(parameter["in"], parameter["name"].lower()) for parameter in operation.get("parameters", [])}
    if operation.get("security"):
        yield from (MalformedAuthorizationError, MissingTokenError, InvalidTokenError)
        if any(_scopes(operation)):
            yield InsufficientScopeError
    if any(place == "path" for place, _ in parameters):
        yield NotFoundError
    if ("header", "if-match") in parameters:
        yield PreconditionFailedError
    if "requestBody" in operation and not is_oauth:
        yield MalformedJsonError if "application/json" in operation["requestBody"]["content"] else MalformedBodyError
    if (parameters or "requestBody" in operation) and not is_oauth:
        yield InvalidInputError
    yield ServiceUnavailableError


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


def _access(operation: Json) -> str:
    security = operation.get("security", [])
    if not security:
        return "everyone."
    if {} in security:
        return "everyone; an access token is optional."
    scopes = sorted(set(_scopes(operation)))
    if not scopes:
        return "every signed-in caller."
    return f"permission {', '.join(f'`{scope}`' for scope in scopes)}."

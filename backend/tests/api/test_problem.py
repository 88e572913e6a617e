"""Every refusal is problem+json, and none of them repeats what was sent."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Form, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from pydantic import BaseModel, ConfigDict, Field, field_validator
from sqlalchemy.exc import OperationalError
from starlette.requests import ClientDisconnect
from structlog.testing import capture_logs

from app.api.problem import MAX_INPUT_FAULTS, error_of, install_error_handlers, problem_document, problem_response
from app.core.errors import (
    AppError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    ServiceUnavailableError,
    TooManyRequestsError,
)

JSON = {"Content-Type": "application/json"}


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=5)
    size: float = 0
    owner: UUID | None = None
    pet: Annotated[Cat | Dog | None, Field(discriminator="kind")] = None

    @field_validator("name")
    @classmethod
    def _refuse_loudly(cls, value: str) -> str:
        if value.startswith("no"):
            raise ValueError(f"{value} is not a name")
        if value == "rules":
            raise ValueError("names follow rules of their own")
        return value


class GrantRefusedError(AppError):
    code = "invalid_grant"
    status_code = 400


def render_oauth(error: AppError, request: Request) -> Response:
    return Response(f"{error.code} at {request.url.path}", status_code=error.status_code)


def create_app() -> FastAPI:
    app = FastAPI()
    install_error_handlers(app)

    @app.post("/body")
    async def take_body(body: Body) -> Body:
        return body

    @app.post("/list")
    async def take_list(body: list[int]) -> int:
        return len(body)

    @app.post("/form")
    async def take_form(name: Annotated[str, Form()]) -> str:
        return name

    @app.post("/token")
    async def token(name: Annotated[str, Form()]) -> None:
        raise GrantRefusedError(name)

    @app.get("/limit")
    async def limit(limit: int) -> None:
        raise TooManyRequestsError("Slow down.", headers={"Retry-After": "7"}, wait=limit)

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418)

    token.error_renderer = render_oauth  # type: ignore[attr-defined] # what endpoints set
    return app


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def problem(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    document: dict[str, Any] = response.json()
    assert document["status"] == response.status_code
    assert document.keys() >= {"type", "title", "status", "code", "request_id"}
    return document


async def test_an_app_error_carries_its_code_detail_headers_and_members(client: httpx.AsyncClient) -> None:
    response = await client.get("/limit", params={"limit": 3})
    assert response.headers["Retry-After"] == "7"
    assert problem(response) == {
        "type": "about:blank",
        "title": "Too many requests",
        "status": 429,
        "detail": "Slow down.",
        "code": "too_many_requests",
        "request_id": None,
        "wait": 3,
    }


async def test_unknown_paths_methods_and_statuses_are_problems(client: httpx.AsyncClient) -> None:
    assert problem(await client.get("/nowhere"))["code"] == "not_found"
    wrong_method = await client.delete("/limit")
    assert problem(wrong_method)["code"] == "method_not_allowed"
    assert wrong_method.headers["Allow"] == "GET"
    assert problem(await client.get("/teapot"))["code"] == "im_a_teapot"


async def test_invalid_input_names_place_and_rule_only(client: httpx.AsyncClient) -> None:
    response = await client.post("/body", json={"name": "far too long", "size": "large", "extra": 1})
    document = problem(response)
    assert document["code"] == "validation_failed"
    assert [(fault["loc"], fault["type"]) for fault in document["errors"]] == [
        (["body", "name"], "string_too_long"),
        (["body", "size"], "float_parsing"),
        (["body", "extra"], "extra_forbidden"),
    ]
    assert all(fault.keys() == {"loc", "type", "msg"} for fault in document["errors"])


@pytest.mark.parametrize(
    ("body", "secret", "message"),
    [
        ({"name": "nopwd"}, "nopwd", "Input is not valid"),
        ({"name": "rules"}, "rules is", "Input is not valid"),
        ({"name": "a", "owner": "hunter2"}, "hunter2", "Input should be a valid UUID"),
        ({"name": "a", "pet": {"kind": "hunter2"}}, "hunter2", "Input is of an unknown kind"),
    ],
)
async def test_messages_never_quote_the_input(
    client: httpx.AsyncClient, body: dict[str, Any], secret: str, message: str
) -> None:
    response = await client.post("/body", json=body)
    assert problem(response)["errors"][0]["msg"] == message
    assert secret not in response.text


async def test_a_rule_of_ours_is_told_without_the_librarys_prefix() -> None:
    faults = [{"type": "value_error", "loc": ("body", "name"), "msg": "Value error, too plain", "input": "x"}]
    error = error_of(RequestValidationError(faults))
    assert error.extra["errors"] == [{"loc": ["body", "name"], "type": "value_error", "msg": "too plain"}]


@pytest.mark.parametrize(
    "content",
    [
        b'{"name": NaN, "size": NaN}',
        b'{"name": "\\ud800"}',
        b'{"\\ud800\\u0000\\n": 1, "name": "a"}',
        b'{"name": "a", "size": 1e999, "x": Infinity}',
        b'{"name": "a", "pet": {"kind": "\\udfff"}}',
        b"null",
        b"[]",
        b'"text"',
        b"",
    ],
)
async def test_nasty_values_are_invalid_input_and_nothing_worse(client: httpx.AsyncClient, content: bytes) -> None:
    document = problem(await client.post("/body", content=content, headers=JSON))
    assert document["code"] == "validation_failed"
    assert document["errors"]


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe{}", b"[" * 100_000, b'{"size": ' + b"9" * 5000 + b"}"])
async def test_what_is_not_json_is_malformed(client: httpx.AsyncClient, content: bytes) -> None:
    document = problem(await client.post("/body", content=content, headers=JSON))
    assert (document["status"], document["code"]) == (400, "malformed_json")


async def test_the_number_of_faults_is_bounded(client: httpx.AsyncClient) -> None:
    document = problem(await client.post("/list", json=["x"] * 1000))
    assert len(document["errors"]) == MAX_INPUT_FAULTS


async def test_long_places_are_cut(client: httpx.AsyncClient) -> None:
    document = problem(await client.post("/body", json={"name": "a", "k" * 10_000: 1}))
    assert len(document["errors"][0]["loc"][1]) == 200


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded"])
async def test_json_under_another_name_is_refused(client: httpx.AsyncClient, media_type: str) -> None:
    response = await client.post("/body", content=b'{"name": "a"}', headers={"Content-Type": media_type})
    assert (response.status_code, problem(response)["code"]) == (415, "unsupported_media_type")
    assert response.headers["Accept"] == "application/json"


async def test_a_form_under_another_name_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/form", json={"name": "a"})
    assert (response.status_code, problem(response)["code"]) == (415, "unsupported_media_type")
    assert "application/x-www-form-urlencoded" in response.headers["Accept"]


async def test_forms_are_checked_like_json(client: httpx.AsyncClient) -> None:
    assert (await client.post("/form", data={"name": "a"})).status_code == 200
    document = problem(await client.post("/form", data={"nome": "a"}))
    assert document["errors"] == [{"loc": ["body", "name"], "type": "missing", "msg": "Field required"}]
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert problem(await client.post("/form", content=b"--y", headers=headers))["code"] == "malformed_body"


async def test_an_endpoint_may_render_its_refusals_itself(client: httpx.AsyncClient) -> None:
    assert (await client.post("/token", data={"name": "a"})).text == "invalid_grant at /token"
    assert (await client.post("/token")).text == "validation_failed at /token"
    assert (await client.post("/token", json={})).text == "unsupported_media_type at /token"


def test_exceptions_of_the_database_become_refusals() -> None:
    with capture_logs() as lines:
        error = error_of(OperationalError("SELECT 1", {}, ConnectionResetError()))
    assert isinstance(error, ServiceUnavailableError)
    assert lines == [
        {
            "event": "database_error",
            "log_level": "warning",
            "code": "service_unavailable",
            "error": "OperationalError",
            "cause": "ConnectionResetError",
        }
    ]


def test_the_network_and_the_callers_absence_are_no_faults_of_ours() -> None:
    assert isinstance(error_of(TimeoutError()), ServiceUnavailableError)
    assert error_of(ClientDisconnect()).status_code == 499


def test_an_error_alone_in_a_group_is_that_error() -> None:
    assert error_of(ExceptionGroup("tasks", [ConflictError()])).code == "conflict"


def test_what_interrupted_the_reading_of_a_body_is_not_hidden_behind_a_400() -> None:
    def hidden(cause: Exception) -> HTTPException:
        error = HTTPException(400)
        error.__cause__ = cause
        return error

    assert error_of(hidden(NotFoundError())).code == "not_found"
    assert error_of(hidden(ClientDisconnect())).status_code == 499
    assert error_of(hidden(ValueError()), "multipart/form-data; boundary=x").code == "malformed_body"


def test_an_unknown_exception_is_an_internal_error_with_its_traceback_in_the_log() -> None:
    with capture_logs() as lines:
        error = error_of(KeyError("x"))
    assert (error.status_code, error.code) == (500, "internal_error")
    assert lines[0]["log_level"] == "error"
    assert isinstance(lines[0]["exc_info"], KeyError)


def test_the_log_of_an_invalid_answer_does_not_quote_it() -> None:
    fault = {"type": "missing", "loc": ("response", "name"), "msg": "Field required", "input": {"password": "hunter2"}}
    with capture_logs() as lines:
        assert error_of(ResponseValidationError([fault])).status_code == 500
    assert "hunter2" not in str(lines)
    assert lines[0]["faults"] == [[["response", "name"], "missing"]]


def test_a_detail_that_utf8_cannot_carry_is_left_out() -> None:
    error = InvalidInputError("\ud800", errors=["\udfff"])
    assert b'"code":"validation_failed"' in problem_document(error, "id")
    assert problem_response(error, "id").status_code == 422

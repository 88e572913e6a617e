"""Every refusal as `application/problem+json` (RFC 9457), unless its endpoint renders refusals in another form."""

import traceback
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from http import HTTPMethod, HTTPStatus
from itertools import islice
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError, ValidationException
from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from app.core.errors import AppError, BadRequestError, InvalidInputError, NotFoundError
from app.core.logging import get_logger, request_id_var
from app.core.problems import PROBLEM_MEDIA_TYPE
from app.core.text import clean_header
from app.db.errors import to_app_error

ErrorRenderer = Callable[[AppError, Request], Response]
"""An endpoint's attribute `error_renderer` of this type renders its refusals instead of `problem_response`."""

MAX_INPUT_FAULTS = 20
_MAX_TEXT_LENGTH = 200
_SHORTEST_ECHO = 4

# Rules whose message quotes what was sent.
_QUOTING_RULES = {
    "union_tag_invalid": "Input is of an unknown kind",
    "uuid_parsing": "Input should be a valid UUID",
}
_JSON_MEDIA_TYPE = "application/json"
_FORM_MEDIA_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
_CHARSET = b"utf-8"

log = get_logger(__name__)


class InternalError(AppError):
    """A fault of the service; the log has the reason under the request id."""


class MalformedJsonError(BadRequestError):
    """The body is not JSON (RFC 8259)."""

    code = "malformed_json"
    title = "Malformed JSON"


class MalformedBodyError(BadRequestError):
    """The body is not of the form that its media type names."""

    code = "malformed_body"
    title = "Malformed body"


class MethodNotAllowedError(AppError):
    """The path exists, but not with this method; `Allow` names those it has (RFC 9110 section 15.5.6)."""

    code = "method_not_allowed"
    status_code = 405
    title = "Method not allowed"


class RequestTimeoutError(AppError):
    """The request did not arrive in time (RFC 9110 section 15.5.9)."""

    code = "request_timeout"
    status_code = 408
    title = "The request did not arrive in time"


class BodyTooLargeError(AppError):
    """The body is longer than the service reads (RFC 9110 section 15.5.14)."""

    code = "body_too_large"
    status_code = 413
    title = "Body too large"


class UnsupportedMediaTypeError(AppError):
    """The body is of a type that this endpoint does not read (RFC 9110 section 15.5.16)."""

    code = "unsupported_media_type"
    status_code = 415
    title = "Unsupported media type"


class ClientDisconnectedError(AppError):
    """The caller hung up before the request was whole; nobody reads the answer, only the log does."""

    code = "client_disconnected"
    status_code = 499
    title = "The caller hung up"


_ERROR_BY_STATUS: dict[int, type[AppError]] = {
    400: MalformedBodyError,
    404: NotFoundError,
    405: MethodNotAllowedError,
    413: BodyTooLargeError,
    415: UnsupportedMediaTypeError,
}


def install_error_handlers(app: FastAPI) -> None:
    """Render every refusal that reaches FastAPI; what is left, `RequestMiddleware` catches."""
    for kind in (AppError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _on_exception)


def problem_response(error: AppError, request_id: str | None) -> Response:
    """The problem document of an error, with its headers; never stored by a cache."""
    return Response(
        problem_document(error, request_id),
        status_code=error.status_code,
        headers={"Cache-Control": "no-store", **error.headers},
        media_type=PROBLEM_MEDIA_TYPE,
    )


def problem_document(error: AppError, request_id: str | None) -> bytes:
    """The members of RFC 9457 (`detail` where there is one), `code`, `request_id`, and those of the error itself."""
    document: dict[str, Any] = {"type": "about:blank", "title": error.title, "status": error.status_code}
    if error.detail is not None:
        document["detail"] = error.detail
    document |= {"code": error.code, "request_id": request_id, **error.extra}
    try:
        return orjson.dumps(document, default=str)
    except TypeError:  # a lone surrogate, which UTF-8 cannot carry
        return orjson.dumps({**document, "detail": None, **dict.fromkeys(error.extra)})


def render_error(error: AppError, request: Request) -> Response:
    """The answer to a refused request, in the form that its endpoint uses."""
    renderer: ErrorRenderer | None = getattr(request.scope.get("endpoint"), "error_renderer", None)
    if renderer is not None:
        return renderer(error, request)
    return problem_response(error, request.scope.get("merit.request_id", request_id_var.get()))


def error_of(exception: Exception, content_type: str = "") -> AppError:
    """What any exception means for the caller; a fault of ours is logged with its traceback.

    `content_type` is that of the request: it tells what a body that could not be read was meant to be.
    """
    match exception:
        case AppError():
            return exception
        case RequestValidationError():
            return _of_validation(exception, content_type)
        case HTTPException():
            return _of_http_exception(exception, content_type)
        case ClientDisconnect():
            return ClientDisconnectedError()
        case ExceptionGroup(exceptions=[Exception() as only]):
            return error_of(only, content_type)
    error = to_app_error(exception)
    if error is None:
        _log_fault(exception)
        return InternalError()
    cause = getattr(exception, "orig", None) or exception
    log.warning("database_error", code=error.code, error=type(exception).__name__, cause=type(cause).__name__)
    return error


async def _on_exception(request: Request, exception: Exception) -> Response:
    error = error_of(exception, request.headers.get("content-type", ""))
    if isinstance(error, MethodNotAllowedError):
        error.headers["Allow"] = ", ".join(_methods_at(request))  # the framework's own names those of one route only
    return render_error(error, request)


def _methods_at(request: Request) -> list[str]:
    """The methods that the request's path takes."""
    routes = request.app.routes
    scopes = ({**request.scope, "method": method.value} for method in HTTPMethod)
    return [scope["method"] for scope in scopes if any(route.matches(scope)[0] is Match.FULL for route in routes)]


def _log_fault(exception: Exception) -> None:
    name = type(exception).__name__
    if isinstance(exception, ValidationException | ValidationError):  # its text quotes the values
        places = [[list(fault["loc"]), fault["type"]] for fault in exception.errors()[:MAX_INPUT_FAULTS]]
        frames = "".join(traceback.format_tb(exception.__traceback__))
        log.error("unhandled_exception", error=name, faults=places, exception=frames)
    else:
        log.error("unhandled_exception", error=name, exc_info=exception)


def _of_validation(error: RequestValidationError, content_type: str) -> AppError:
    media_type = _media_type(content_type)
    if isinstance(error.body, bytes):  # FastAPI parses every JSON body, and leaves a body of another type as it is
        return UnsupportedMediaTypeError(f"Send {_JSON_MEDIA_TYPE}.", headers={"Accept": _JSON_MEDIA_TYPE})
    if isinstance(error.body, FormData) and media_type and media_type not in _FORM_MEDIA_TYPES:
        accepted = ", ".join(_FORM_MEDIA_TYPES)
        return UnsupportedMediaTypeError(f"Send {_FORM_MEDIA_TYPES[0]}.", headers={"Accept": accepted})
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return MalformedJsonError()
    return InvalidInputError(errors=input_faults(faults))


def _of_http_exception(error: HTTPException, content_type: str) -> AppError:
    cause = error.__cause__  # FastAPI hides whatever interrupted the reading of a body behind a 400
    if isinstance(cause, AppError | ClientDisconnect):
        return error_of(cause)
    if cause is not None and error.status_code == MalformedJsonError.status_code:
        return MalformedBodyError() if _media_type(content_type) in _FORM_MEDIA_TYPES else MalformedJsonError()
    return _error_class(error.status_code)(headers=error.headers)


@cache
def _error_class(status_code: int) -> type[AppError]:
    """The error of a status that the framework answers with by itself."""
    if status_code in _ERROR_BY_STATUS:
        return _ERROR_BY_STATUS[status_code]
    status = HTTPStatus(status_code)
    members = {"status_code": status_code, "code": status.name.lower(), "title": status.phrase}
    return type("FrameworkError", (AppError,), members)


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def require_utf8_form(content_type: bytes) -> None:
    """Refuse a form that names another charset: Starlette would decode it by whatever codec the caller chose.

    Some of Python's codecs take quadratic time, and some yield what cannot be stored.

    Raises:
        UnsupportedMediaTypeError: a form in anything but UTF-8.
    """
    if b"charset" not in content_type.lower():
        return
    media_type, parameters = parse_options_header(content_type)
    charset = parameters.get(b"charset", _CHARSET)
    if media_type.decode("latin-1") in _FORM_MEDIA_TYPES and charset.lower() != _CHARSET:
        raise UnsupportedMediaTypeError("Send forms in UTF-8.")


def input_faults(faults: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Type, place and message of the first faults, and nothing that would quote the refused value."""
    return [
        {"loc": [_place(part) for part in fault["loc"]], "type": fault["type"], "msg": _message(fault)}
        for fault in islice(faults, MAX_INPUT_FAULTS)
    ]


def _place(part: str | int) -> str | int:
    return part if isinstance(part, int) else clean_header(part, _MAX_TEXT_LENGTH)


def _message(fault: Mapping[str, Any]) -> str:
    if fault["type"] in _QUOTING_RULES:
        return _QUOTING_RULES[fault["type"]]
    message = clean_header(fault["msg"].removeprefix("Value error, "), _MAX_TEXT_LENGTH)
    value = fault.get("input")
    is_quoted = isinstance(value, str) and len(value) >= _SHORTEST_ECHO and value in message
    return "Input is not valid" if is_quoted else message

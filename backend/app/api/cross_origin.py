"""What other web origins may do, by the settings (fetch.spec.whatwg.org, CORS protocol)."""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from app.api.problem import problem_response
from app.core.errors import BadRequestError
from app.core.logging import request_id_var
from app.core.settings import Settings

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_REQUEST_HEADERS = ("Authorization", "Content-Type", "Guest-Token", "Idempotency-Key", "If-Match", "X-Request-ID")
_ANSWER_HEADERS = (
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
)


class PreflightRefusedError(BadRequestError):
    """A browser asks for what this origin may not do."""

    code = "preflight_refused"
    title = "Not allowed from this origin"


class _CrossOrigin(CORSMiddleware):
    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a preflight; a refusal is a problem like any other."""
        answer = super().preflight_response(request_headers)
        if answer.status_code != PreflightRefusedError.status_code:
            return answer
        refusal = problem_response(PreflightRefusedError(bytes(answer.body).decode()), request_id_var.get())
        refusal.headers["Vary"] = answer.headers["Vary"]
        return refusal


def cross_origin(settings: Settings) -> Callable[[ASGIApp], ASGIApp]:
    """What lets the origins of `CORS_ORIGINS` call an application and read its answers, as far as there are any."""

    def wrap(app: ASGIApp) -> ASGIApp:
        if not settings.cors_origins:
            return app
        return _CrossOrigin(
            app,
            allow_origins=settings.cors_origins,
            allow_credentials=True,  # the cookies of `use_cookie`, which these origins may use
            allow_methods=_METHODS,
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_ANSWER_HEADERS,
        )

    return wrap

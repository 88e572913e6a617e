"""What surrounds every request: its id, its address, its deadlines, the headers of its answer, its line in the log."""

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from app.api.cross_origin import cross_origin
from app.api.deadlines import NEVER, Deadline, DeadlineWatch
from app.api.problem import (
    BodyTooLargeError,
    RequestTimeoutError,
    UnsupportedMediaTypeError,
    error_of,
    render_error,
    require_utf8_form,
)
from app.core.addresses import parse_address
from app.core.errors import AppError, ServiceUnavailableError
from app.core.ids import new_request_id
from app.core.logging import get_logger, request_id_var
from app.core.observations import Observation, Observations
from app.core.settings import Settings
from app.core.text import clean_header

Headers = list[tuple[bytes, bytes]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_MAX_LOGGED_PATH = 200
_SECRETS = re.compile(r"[a-z]+_[0-9A-Za-z]{22}_[0-9A-Za-z]{20,}")  # `app.auth.secret_texts`, also cut off
_IMPORTS = "/api/v1/imports"
_FORM_BYTES = 16_384  # what surrounds the file of a form
_UPLOAD_PATIENCE = 12  # times as long as other bodies may take
_SERVER_ERROR = 500
_LONGEST_LENGTH = 20  # digits of 2**64
_UNMATCHED = "http.unmatched"
_STATUS_CLASSES = {number: {"status": f"{number}xx"} for number in range(1, 6)}
_NO_STATUS = {"status": "none"}
_SECURITY_HEADERS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_TRANSPORT_SECURITY = (b"strict-transport-security", b"max-age=31536000")
_NO_STORE = (b"cache-control", b"no-store")


class DeadlineExceededError(ServiceUnavailableError):
    """The answer was not ready in time; whatever was under way is rolled back."""

    code = "deadline_exceeded"
    title = "The answer took too long"


class _Exchange:
    """One request and its answer: counts both, and moves the deadline from the request's body to the work to the end.

    The body has its own time from the moment it is first asked for; the work has its time from the body's end;
    an answer that has begun may take as long as it needs.
    """

    __slots__ = (
        "_content_types", "_declared_bytes", "_default_headers", "_is_body_complete", "_receive", "_received_bytes",
        "_request_id", "_send", "_settings", "_upload_bytes", "answered_bytes", "deadline", "is_reading_body",
        "started_at", "status",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        receive: Receive,
        send: Send,
        *,
        default_headers: Headers,
        request_id: bytes,
        upload_bytes: int | None = None,
    ) -> None:
        self._settings = settings
        self._upload_bytes = upload_bytes
        self._receive = receive
        self._send = send
        self._default_headers = default_headers
        self._request_id = request_id
        self.started_at = time.monotonic()
        self.deadline = Deadline(self.started_at + settings.request_timeout_seconds)
        self.status: int | None = None
        self.answered_bytes = 0
        self.is_reading_body = False

    def expect_body(self, declared_bytes: int, content_types: list[bytes]) -> Receive:
        """The `receive` of a request that announced a body; `declared_bytes` is 0 where its length is not known."""
        self._declared_bytes = declared_bytes
        self._content_types = content_types
        self._received_bytes = 0
        self._is_body_complete = False
        return self._receive_body

    async def _receive_body(self) -> Message:
        if self._is_body_complete:
            return await self._receive()
        if not self.is_reading_body:
            self.is_reading_body = True
            patience = 1 if self._upload_bytes is None else _UPLOAD_PATIENCE
            self._move_deadline(self.started_at + patience * self._settings.body_timeout_seconds)
            self._require_allowed_size(self._declared_bytes)
            self._require_allowed_type()
        message = await self._receive()
        if message["type"] == "http.request":
            self._received_bytes += len(message.get("body", b""))
            self._require_allowed_size(self._received_bytes)
            if not message.get("more_body", False):
                self._is_body_complete = True
                self.is_reading_body = False
                self._move_deadline(time.monotonic() + self._settings.request_timeout_seconds)
        return message

    def _require_allowed_size(self, size: int) -> None:
        most = self._upload_bytes or self._settings.max_body_bytes
        if size > most:
            self.is_reading_body = False
            raise BodyTooLargeError(f"At most {most} bytes are read.")

    def _require_allowed_type(self) -> None:
        try:
            for content_type in self._content_types:
                require_utf8_form(content_type)
        except UnsupportedMediaTypeError:
            self.is_reading_body = False
            raise

    def _move_deadline(self, when: float) -> None:
        if self.status is None:
            self.deadline.when = when

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self._move_deadline(NEVER)
            self.status = message["status"]
            headers: Headers = [*message.get("headers", ()), (b"x-request-id", self._request_id)]
            present = {name for name, _ in headers}
            headers.extend([header for header in self._default_headers if header[0] not in present])
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body":
            self.answered_bytes += len(message.get("body", b""))
        await self._send(message)

    def overdue(self) -> AppError:
        """The refusal that an expired deadline means: for a slow body the caller's fault, otherwise ours."""
        if self.is_reading_body:
            return RequestTimeoutError("The body came too slowly.", headers={"Connection": "close"})
        return DeadlineExceededError("Try again shortly.")

    def duration_ms(self) -> float:
        """Milliseconds since the request's headers were complete."""
        return round((time.monotonic() - self.started_at) * 1000, 2)


class RequestMiddleware:
    """The one middleware, in pure ASGI. It puts `merit.request_id` and `merit.client_address` into the scope, and
    `merit.deadline`, which an answer may move that waits for something on purpose.

    No exception passes it before the answer has begun: the server would close the connection, and with it fail
    requests that a keep-alive client has already sent. Other web origins may read its own refusals too.
    """

    def __init__(self, app: ASGIApp, settings: Settings, observations: Observations | None = None) -> None:
        self._cross_origin = cross_origin(settings)
        self._app = self._cross_origin(app)
        self._observations = observations or Observations()
        self._settings = settings
        self._page_headers = security_headers(settings)
        self._api_headers = [*self._page_headers, _NO_STORE]
        self._uploads = {_IMPORTS: settings.chat_import_max_bytes + _FORM_BYTES}
        self._deadlines = DeadlineWatch()
        self._log = get_logger("app.access").bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = new_request_id().encode()
        scope["merit.request_id"] = request_id.decode()
        scope["merit.client_address"] = client_address(scope, self._settings.trusted_proxy_hops)
        # Not reset at the end: each request runs in a context of its own, and the server's own lines name the id too.
        request_id_var.set(scope["merit.request_id"])
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        default_headers = self._api_headers if scope["path"].startswith("/api/") else self._page_headers
        exchange = _Exchange(
            self._settings,
            receive,
            send,
            default_headers=default_headers,
            request_id=request_id,
            upload_bytes=self._uploads.get(scope["path"]),
        )
        declared = headers.get(b"content-length")
        if b"transfer-encoding" in headers or (declared is not None and declared != b"0"):
            content_types = [value for name, value in scope["headers"] if name == b"content-type"]
            receive = exchange.expect_body(_declared_bytes(declared), content_types)
        scope["merit.deadline"] = exchange.deadline
        self._deadlines.add(exchange.deadline)
        try:
            await self._serve(scope, receive, exchange)
        finally:
            self._deadlines.discard(exchange.deadline)
            self._observations.record(_observation(scope, exchange))
            _log_access(self._log, scope, exchange)

    async def _serve(self, scope: Scope, receive: Receive, exchange: _Exchange) -> None:
        deadline = exchange.deadline
        try:
            await self._app(scope, receive, exchange.send)
        except asyncio.CancelledError:
            if not deadline.is_expired:
                if exchange.status is None:
                    await self._refuse(scope, receive, exchange, ServiceUnavailableError("The service is stopping."))
                raise
        except Exception as exception:
            if exchange.status is not None:
                raise
            if not deadline.is_expired:
                await self._refuse(scope, receive, exchange, error_of(exception))
        if deadline.is_expired and exchange.status is None:
            if deadline.task is not None:
                deadline.task.uncancel()
            await self._refuse(scope, receive, exchange, exchange.overdue())

    async def _refuse(self, scope: Scope, receive: Receive, exchange: _Exchange, error: AppError) -> None:
        answer = self._cross_origin(render_error(error, Request(scope)))
        await answer(scope, receive, exchange.send)


def security_headers(settings: Settings) -> Headers:
    """What every answer says to browsers, whatever it holds."""
    return [*_SECURITY_HEADERS, *([_TRANSPORT_SECURITY] if settings.is_production else [])]


def _declared_bytes(content_length: bytes | None) -> int:
    """The announced length of a body, 0 where it is not known; the server has refused what is no number."""
    digits = (content_length or b"").lstrip(b"0")
    return int(digits) if digits.isdigit() and len(digits) < _LONGEST_LENGTH else 0


def client_address(scope: Scope, trusted_hops: int) -> str | None:
    """The caller's address: the peer's, or behind `trusted_hops` proxies the entry that the outermost of them wrote.

    Each proxy appends the address it was called from to `X-Forwarded-For`, so that only the last `trusted_hops`
    entries are to be believed; whatever stands before them is the caller's own invention.
    """
    peer = scope.get("client")
    peer_address = parse_address(peer[0]) if peer else None
    if not trusted_hops:
        return peer_address
    lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    entries = b",".join(lines).decode("latin-1").rsplit(",", trusted_hops)
    if len(entries) < trusted_hops:
        return peer_address
    return parse_address(_without_port(entries[-trusted_hops].strip())) or peer_address


def _without_port(entry: str) -> str:
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def _log_access(log: FilteringBoundLogger, scope: Scope, exchange: _Exchange) -> None:
    path = _logged_path(scope)
    status = exchange.status
    write: Any = log.info
    if status is not None and status >= _SERVER_ERROR:
        write = log.warning if status == ServiceUnavailableError.status_code else log.error
    elif path == "/health/live":
        write = log.debug
    write(
        "request",
        method=scope["method"],
        path=path,
        status=status,
        duration_ms=exchange.duration_ms(),
        client=scope["merit.client_address"],
        bytes=exchange.answered_bytes,
    )


def _observation(scope: Scope, exchange: _Exchange) -> Observation:
    """What is counted of a request: by the name of its operation and the class of its status, never by its path."""
    name: str | None = getattr(scope.get("route"), "name", None)
    status = exchange.status
    is_success = status is not None and status < _SERVER_ERROR
    return Observation(
        _UNMATCHED if name is None else f"http.{name}",
        exchange.duration_ms(),
        is_success,
        None if is_success else "no_answer" if status is None else str(status),
        _NO_STATUS if status is None else _STATUS_CLASSES[status // 100],
    )


def _logged_path(scope: Scope) -> str:
    """The template of the route, which holds no data of the caller; for unknown paths the path, never the query."""
    template: str | None = getattr(scope.get("route"), "path", None)
    return template or _SECRETS.sub("…", clean_header(scope["path"], _MAX_LOGGED_PATH))

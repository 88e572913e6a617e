"""uvicorn's HTTP protocol with what it leaves out: deadlines for the head of a request, and bounds for each peer."""

import asyncio
from asyncio.events import TimerHandle
from collections import Counter
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.api.drain import Drain
from app.api.middleware import security_headers
from app.api.problem import RequestTimeoutError, problem_document
from app.core.addresses import network_of, parse_address
from app.core.errors import AppError, BadRequestError, ServiceUnavailableError
from app.core.ids import new_request_id
from app.core.logging import get_logger
from app.core.problems import PROBLEM_MEDIA_TYPE
from app.core.settings import Settings

_log = get_logger("app.access")

MAX_HEAD_BYTES = 64 * 1024


class HeadTooLargeError(AppError):
    """The request's headers are longer than the service reads (RFC 6585 section 5)."""

    code = "headers_too_large"
    status_code = 431
    title = "Headers too large"


class TooManyConnectionsError(ServiceUnavailableError):
    """This peer holds as many connections as one may."""

    code = "too_many_connections"
    title = "Too many connections"


class ServerConfig(Config):
    """uvicorn's configuration with the settings that the protocol and the server need."""

    def __init__(self, app: Any, settings: Settings, **options: Any) -> None:
        super().__init__(app, **options)
        self.settings = settings


class PeerCountingState(ServerState):
    """What the connections of a server share: uvicorn's own, the open connections by network, and the drain flag."""

    def __init__(self, drain: Drain) -> None:
        super().__init__()
        self.drain = drain
        self.connections_by_network: Counter[str] = Counter()


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection.

    - The head of a request must be complete `HEADER_TIMEOUT_SECONDS` after the connection was made or the head began;
      so must the rest of a body whose request was already answered.
    - One network (`network_of`) holds at most `MAX_CONNECTIONS_PER_PEER` connections; behind a trusted proxy, which is
      everybody's peer, that is the proxy's duty.
    - While the server drains, every answer closes its connection, so that the next request goes elsewhere.
    """

    server_state: PeerCountingState
    cycle: RequestResponseCycle | None  # type: ignore[assignment] # there is none before the first request

    def __init__(self, config: ServerConfig, server_state: ServerState, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, server_state, *args, **kwargs)
        self._settings = config.settings
        self._head_timer: TimerHandle | None = None
        self._is_in_head = False
        self._head_bytes = 0
        self._network: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn declares it
        """Admit the peer, or answer 503 and close."""
        super().connection_made(transport)
        if not self._admit():
            self._refuse(TooManyConnectionsError("Close some connections first."))
            return
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_head_timer()
        self._release_peer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and start the clock where a head is still incomplete."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HeadTooLargeError())
                return
        if self._head_timer is None and self._owes_us_data():
            self._start_head_timer()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole: start the request."""
        self._is_in_head = False
        self._head_bytes = 0
        self._stop_head_timer()
        self._unset_keepalive_if_required()
        super().on_headers_complete()
        if self.server_state.drain.is_draining and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The body is whole; where its request was answered long ago, the connection is idle from now on."""
        super().on_message_complete()
        if self._head_timer is not None:
            self._stop_head_timer()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the WebSocket protocol, which has its own bounds."""
        self._stop_head_timer()
        self._release_peer()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self._refuse(BadRequestError(msg))

    def _owes_us_data(self) -> bool:
        """Whether the peer began something that it must finish: a head, a stray line, an answered request's body."""
        if self._is_in_head or self.cycle is None:
            return True
        return self.cycle.response_complete and self.timeout_keep_alive_task is None

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self._settings.header_timeout_seconds, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if self._is_in_head and not is_answering:
            self._refuse(RequestTimeoutError("The headers came too slowly."))
        else:
            self.transport.close()

    def _admit(self) -> bool:
        address = parse_address(self.client[0]) if self.client is not None else None
        if address is None or self._settings.trusted_proxy_hops:
            return True
        network = network_of(address)
        counts = self.server_state.connections_by_network
        if counts[network] >= self._settings.max_connections_per_peer:
            return False
        counts[network] += 1
        self._network = network
        return True

    def _release_peer(self) -> None:
        if self._network is None:
            return
        counts = self.server_state.connections_by_network
        counts[self._network] -= 1
        if not counts[self._network]:
            del counts[self._network]
        self._network = None

    def _refuse(self, error: AppError) -> None:
        """Answer without asking the application, and close."""
        if self.transport.is_closing():
            return
        self._stop_head_timer()
        request_id = new_request_id()
        body = problem_document(error, request_id)
        headers = {
            **error.headers,
            "content-type": PROBLEM_MEDIA_TYPE,
            "content-length": str(len(body)),
            "cache-control": "no-store",
            "connection": "close",
            "x-request-id": request_id,
        }
        lines = [
            *self.server_state.default_headers,
            *security_headers(self._settings),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ]
        head = b"".join(b"%b: %b\r\n" % line for line in lines)
        self.transport.write(STATUS_LINE[error.status_code] + head + b"\r\n" + body)
        self.transport.close()
        client = parse_address(self.client[0]) if self.client is not None else None
        _log.info(
            "request_refused",
            status=error.status_code,
            code=error.code,
            client=client,
            bytes=len(body),
            request_id=request_id,
        )

"""The server process: uvicorn with our protocol, a drain phase before it stops, and one or several workers."""

import gc
import math
import multiprocessing
import os
import pkgutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

from uvicorn import Server
from uvicorn._types import ASGIApplication, LifespanStartupFailedEvent
from uvicorn.lifespan.on import LifespanOn, LifespanSendMessage

from app.api.drain import Drain
from app.api.protocol import BoundedHttpProtocol, PeerCountingState, ServerConfig
from app.api.supervisor import supervise
from app.core.errors import ConfigurationError
from app.core.logging import configure_logging, get_logger
from app.core.settings import Settings

APPLICATION_FACTORY = "app.main:create_app"
KEEP_ALIVE_SECONDS = 75  # longer than the 60 s for which reverse proxies keep idle connections
_GRACE_SECONDS = 1
_CUT_SHORT = 1
_GC_THRESHOLDS = (20_000, 50, 100)
_WILDCARD_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 # compared with, not listened on

log = get_logger(__name__)


class StartUpLifespan(LifespanOn):
    """Keeps the refusal of a setting apart from other failures, whose traceback is worth showing."""

    refusal: ConfigurationError | None = None

    async def send(self, message: LifespanSendMessage) -> None:
        """Note why the start failed: the application reports it from within its `except` block."""
        error = sys.exception()
        if message["type"] == "lifespan.startup.failed" and isinstance(error, ConfigurationError):
            self.refusal = error
            message = LifespanStartupFailedEvent(type="lifespan.startup.failed", message="")
        await super().send(message)


class DrainingServer(Server):
    """Told to stop, it first drains: still accepting, but not ready, so that a load balancer can look elsewhere.

    A second signal stops it at once.
    """

    config: ServerConfig
    lifespan: StartUpLifespan

    def __init__(self, config: ServerConfig, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._drain = Drain()
        self._on_started = on_started
        self._supervisor = multiprocessing.parent_process()
        self._stops_at = math.inf
        self.server_state: PeerCountingState = PeerCountingState(self._drain)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application and listen.

        Raises:
            ConfigurationError: the application refused a setting.
        """
        self.lifespan.state["drain"] = self._drain
        try:
            await super().startup(sockets)
        except SystemExit:
            if self.lifespan.refusal is not None:
                raise self.lifespan.refusal from None
            raise
        # What start-up made lives as long as the process: the collector need not visit it, which shortens its pauses.
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        gc.enable()
        self._on_started()

    def handle_exit(self, sig: int, _frame: FrameType | None) -> None:
        """Begin to drain; at the second signal stop at once."""
        if sig == signal.SIGINT and self._supervisor is not None:
            return  # a terminal's Ctrl+C reaches the supervisor too, which then tells its workers
        if self._drain.is_draining:
            self.force_exit = self.should_exit = True
        self._begin_drain()

    def _begin_drain(self) -> None:
        if not self._drain.is_draining:
            self._drain.is_draining = True
            self._stops_at = time.monotonic() + self.config.settings.drain_seconds

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second: drain when the supervisor is gone, stop when the drain is over."""
        if self._supervisor is not None and os.getppid() != self._supervisor.pid:
            self._begin_drain()
        if time.monotonic() >= self._stops_at:
            self.should_exit = True
        return await super().on_tick(counter)


def serve(settings: Settings, factory: str = APPLICATION_FACTORY) -> None:
    """Serve the application that `factory` ("module:function" of the settings) makes, until a signal ends it.

    Raises:
        SystemExit: 78 with one line on standard error where a setting is at fault; 3 where the start failed otherwise.
    """
    configure_logging(settings)
    try:
        listener = _bind(settings)
        if settings.workers == 1:
            run_worker(settings, factory, listener, lambda: _announce(settings, listener))
        else:
            pkgutil.resolve_name(factory)  # imported before the workers are forked
            exit_code = supervise(
                run_worker, (settings, factory, listener), settings.workers, lambda: _announce(settings, listener)
            )
            sys.exit(exit_code)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def run_worker(settings: Settings, factory: str, listener: socket.socket, on_started: Callable[[], None]) -> None:
    """Serve in this process; `on_started` is called when requests are accepted.

    Raises:
        ConfigurationError: a setting is at fault.
        SystemExit: 3 where the start failed otherwise.
    """
    create_app: Callable[[Settings], ASGIApplication] = pkgutil.resolve_name(factory)
    config = ServerConfig(
        create_app(settings),
        settings,
        http=BoundedHttpProtocol,
        interface="asgi3",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.request_timeout_seconds + _GRACE_SECONDS),
    )
    config.load()
    config.lifespan_class = StartUpLifespan
    server = DrainingServer(config, on_started)
    server.run([listener])
    if server.force_exit:
        sys.exit(_CUT_SHORT)


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # connections have it from their listener (RFC 5482, tcp(7))
        milliseconds = round(settings.unread_timeout_seconds * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise ConfigurationError("HOST and PORT", f"cannot be listened on: {error.strerror}") from None
    return listener


def _announce(settings: Settings, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    host = _WILDCARD_HOSTS.get(host, host)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    if settings.is_production:
        log.info("listening", address=url, workers=settings.workers)
        return
    lines = [f"API   {url}/api/v1", *([f"Docs  {url}/docs"] if settings.docs_enabled else []), "Stop with Ctrl+C."]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()

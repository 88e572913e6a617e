"""A real server process on a free port, for tests and drills that need real sockets."""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.core.settings import Settings
from tools.programs import Program, start

START_SECONDS = 20
STOP_SECONDS = 15
_SERVER_PORTS = range(20_000, 32_000)
"""Below those that Linux (32768) and others (49152) give to outgoing connections."""


@dataclass(frozen=True)
class LiveServer:
    """A started server. `environment` is what it was started with."""

    url: str
    process: Program | subprocess.Popen[str]
    log: Path
    environment: dict[str, str]

    @property
    def port(self) -> int:
        """The port it listens on, on 127.0.0.1."""
        return int(self.environment["PORT"])

    def client(self) -> httpx.Client:
        """A client of this server."""
        return httpx.Client(base_url=self.url, timeout=10)

    def wait_until_ready(self) -> None:
        """Return when it answers that it can serve.

        Raises:
            RuntimeError: it ended instead; the message has its log.
            TimeoutError: it is not ready within `START_SECONDS`.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended:\n{self.log.read_text()}")
            try:
                if httpx.get(f"{self.url}/health/ready").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise TimeoutError(f"not ready after {START_SECONDS} s:\n{self.log.read_text()}")

    def stop(self) -> None:
        """End it by SIGTERM, which it must obey.

        Raises:
            RuntimeError: it ended with another exit code than 0; the message has its log.
            subprocess.TimeoutExpired: it did not end within `STOP_SECONDS`.
        """
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(STOP_SECONDS) != 0:
            raise RuntimeError(f"exit code {self.process.returncode}:\n{self.log.read_text()}")

    def kill(self) -> None:
        """End it by SIGKILL, if it has not ended yet."""
        self.process.kill()
        self.process.wait()


def service_environment(**settings: str) -> dict[str, str]:
    """This process's environment with these settings of the service and none of its own."""
    names = {name.upper() for name in Settings.model_fields}
    inherited = {name: value for name, value in os.environ.items() if name not in names}
    quick = {"BCRYPT_ROUNDS": "4", "DRAIN_SECONDS": "0"}
    defaults = {"ENVIRONMENT": "test", "SECRET_KEY": secrets.token_urlsafe(48), **quick}
    return inherited | defaults | settings


def free_port() -> int:
    """A port that nothing uses at this moment, and that no outgoing connection is given by chance before it is."""
    while True:
        port = secrets.choice(_SERVER_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def start_server(folder: Path, **settings: str) -> LiveServer:
    """Start a server with these settings and its data and log in `folder`; it is not ready yet."""
    defaults = {"HOST": "127.0.0.1", "PORT": str(free_port()), "DATA_DIR": str(folder), "LOG_FORMAT": "json"}
    environment = service_environment(**defaults | settings)
    log = folder / "server.log"
    with log.open("ab") as output:
        process = start(("-m", "app.cli", "serve"), env=environment, stdout=output, stderr=output)
    return LiveServer(f"http://127.0.0.1:{environment['PORT']}", process, log, environment)


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[LiveServer]:
    """A server with these settings that is ready, with its data and log in `folder`; it is stopped by SIGTERM."""
    server = start_server(folder, **settings)
    try:
        server.wait_until_ready()
        yield server
        server.stop()
    finally:
        server.kill()

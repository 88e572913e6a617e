"""Starts the three servers as their users would, one worker each, and stops them."""

import http.client
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jose import jwt
from sqlalchemy.engine import URL

from tools.bench.database import text
from tools.bench.machine import CAN_PIN, SERVER_CORE, family, memory_mib, pin
from tools.server import free_port

BACKEND = Path(__file__).resolve().parents[2]
_START_LIMIT_S = 30.0
_SECRET = secrets.token_urlsafe(48)
_SIGNING_KEY = ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    name: str
    port: int
    pid: int
    database: URL
    started_in_s: float

    def worker_mib(self) -> float:
        """Memory of the largest of its processes: the worker."""
        return max(memory_mib(pid) for pid in family(self.pid))

    def pin(self) -> None:
        """Puts threads and processes that appeared since the start on the server's core too."""
        if CAN_PIN:
            for pid in family(self.pid):
                pin(pid, SERVER_CORE)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def _running(
    name: str, command: list[str], environment: Mapping[str, str], *, port: int, database: URL, logs: Path
) -> Iterator[Server]:
    with (logs / f"{name}.log").open("ab") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=BACKEND,
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if CAN_PIN:
                pin(process.pid, SERVER_CORE)
            while not _answers(port):
                if process.poll() is not None or time.perf_counter() - started > _START_LIMIT_S:
                    raise SystemExit(f"bench: {name} does not start; its last lines:\n{_tail(logs / f'{name}.log')}")
                time.sleep(0.005)
            yield Server(name, port, process.pid, database, time.perf_counter() - started)
        finally:
            _stop(process)


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-15:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def peer(name: str, database: URL, logs: Path) -> Iterator[Server]:
    """`limit` or `plain` under uvicorn with its fastest settings."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", f"tools.bench.peers.{name}:app", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--no-access-log", "--loop", "uvloop", "--http", "httptools"]
    environment = {"BENCH_DATABASE_URL": text(database), "BENCH_SECRET": _SECRET}
    environment["BENCH_PUBLIC_KEY"] = _public_pem(_SIGNING_KEY)
    with _running(name, command, environment, port=port, database=database, logs=logs) as server:
        yield server


@contextmanager
def merit(database: URL, logs: Path, *, rate_limits: bool = True) -> Iterator[Server]:
    """This service, as `python -m app.cli serve` starts it."""
    port = free_port()
    environment = merit_environment(database) | {"HOST": "127.0.0.1", "PORT": str(port), "WORKERS": "1"}
    if not rate_limits:
        environment["RATE_LIMITS"] = "off"
    with _running(
        "merit", [sys.executable, "-m", "app.cli", "serve"], environment, port=port, database=database, logs=logs
    ) as server:
        yield server


@contextmanager
def made(folder: Path) -> Iterator[Server]:
    """This service on SQLite, as `make run` starts it."""
    port, database = free_port(), URL.create("sqlite", database=str(folder / "made.db"))
    environment = merit_environment(database) | {"HOST": "127.0.0.1", "PORT": str(port), "WORKERS": "1"}
    environment["DATA_DIR"] = str(folder)
    command = ["make", "--no-print-directory", "-C", str(BACKEND.parent), "run"]
    with _running("make run", command, environment, port=port, database=database, logs=folder) as server:
        yield server


def merit_environment(database: URL) -> dict[str, str]:
    """The settings our service is measured with."""
    settings = {"DATABASE_URL": text(database), "SECRET_KEY": _SECRET, "ENVIRONMENT": "development"}
    return settings | {"PYTHONDONTWRITEBYTECODE": ""}  # the code is compiled once, as where it is installed


def migrate(database: URL) -> None:
    """Makes our tables with our own command."""
    command = [sys.executable, "-m", "app.cli", "db", "upgrade"]
    environment = {**os.environ, **merit_environment(database)}
    done = subprocess.run(command, cwd=BACKEND, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: the migration failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def peer_token(name: str, user_id: int) -> str:
    """A token this peer accepts."""
    claims = {"exp": int(time.time()) + 3600, "sub": str(user_id)}
    if name == "limit":
        return str(jwt.encode(claims, _pem(_SIGNING_KEY), algorithm="ES256"))
    return str(jwt.encode(claims, _SECRET, algorithm="HS256"))


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def _public_pem(key: ec.EllipticCurvePrivateKey) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(encoding, form).decode()

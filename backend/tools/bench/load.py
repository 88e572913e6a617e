"""The load: `wrk` for throughput, threads with blocking sockets for the login storm."""

import http.client
import json
import re
import shutil
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from tools.bench.machine import LOAD_CORE, on_core
from tools.bench.servers import Server

ME = "/api/v1/users/me"
LOGIN = "/api/v1/auth/login"
USERS = "/api/v1/admin/users"
_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
_PAUSE_S = 0.025


@dataclass(frozen=True, slots=True)
class Throughput:
    """One run of wrk: requests, those refused or failed, requests a second, latencies in milliseconds."""

    requests: int
    failed: int
    rate: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Reads:
    """Latencies of paced reads, in milliseconds."""

    latencies_ms: list[float]

    @property
    def p50_ms(self) -> float:
        """Median."""
        return statistics.median(self.latencies_ms)

    @property
    def p99_ms(self) -> float:
        """99th percentile; the largest when there are under 100 reads."""
        return sorted(self.latencies_ms)[int(len(self.latencies_ms) * 0.99)]


@dataclass(frozen=True, slots=True)
class Storm:
    """What readers saw while others logged in, and logins a second."""

    reads: Reads
    logins: int
    login_rate: float


def wrk(server: Server, path: str, token: str, *, connections: int, seconds: float) -> Throughput:
    """Reads one path as fast as the server answers."""
    program = shutil.which("wrk") or "wrk"
    command = [program, "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "--timeout", "10s"]
    command += ["-H", f"Authorization: Bearer {token}", f"http://127.0.0.1:{server.port}{path}"]
    result = subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=lambda: on_core(LOAD_CORE))
    return _parse(result.stdout)


def _parse(output: str) -> Throughput:
    def number(pattern: str) -> float:
        found = re.search(pattern, output)
        return float(found[1]) if found else 0.0

    def latency(percentile: int) -> float:
        found = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m)\b", output, re.MULTILINE)
        return float(found[1]) * _UNITS_MS[found[2]] if found else 0.0

    failed = number(r"Non-2xx or 3xx responses: (\d+)")
    failed += sum(int(n) for n in re.findall(r"(?:connect|read|write|timeout) (\d+)", output))
    requests = int(number(r"(\d+) requests in"))
    return Throughput(requests, int(failed), number(r"Requests/sec:\s+([\d.]+)"), latency(50), latency(99))


def call(
    server: Server, method: str, path: str, *, body: Mapping[str, str] | None = None, token: str = ""
) -> dict[str, Any]:
    """One request that must succeed; its JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status != HTTPStatus.OK:
        raise SystemExit(f"bench: {server.name} answered {response.status} to {method} {path}: {content[:300]!r}")
    answer: dict[str, Any] = json.loads(content)
    return answer


def log_in(server: Server, email: str, password: str) -> str:
    """An access token."""
    return str(call(server, "POST", LOGIN, body={"email": email, "password": password})["access_token"])


def paced_reads(server: Server, token: str, *, readers: int, seconds: float) -> Reads:
    """Readers that ask, wait for the answer and pause, so that they take little of the core themselves."""
    latencies: list[float] = []
    deadline = time.perf_counter() + seconds
    _together([lambda: latencies.extend(_read(server.port, token, deadline)) for _ in range(readers)])
    return Reads(latencies)


def _read(port: int, token: str, deadline: float) -> list[float]:
    request = f"GET {ME} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    latencies: list[float] = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while time.perf_counter() < deadline:
            started = time.perf_counter()
            connection.sendall(request)
            status = _receive(connection)
            latencies.append((time.perf_counter() - started) * 1000)
            if status != b"200":
                raise SystemExit(f"bench: a read during the storm was answered {status.decode()}")
            time.sleep(_PAUSE_S)
    return latencies


def _receive(connection: socket.socket) -> bytes:
    """Reads one whole response and returns its status."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _some(connection)
    found = re.search(rb"content-length: (\d+)", data[:end].lower())
    length = end + 4 + (int(found[1]) if found else 0)
    while len(data) < length:
        data += _some(connection)
    return data[9:12]


def _some(connection: socket.socket) -> bytes:
    chunk = connection.recv(65536)
    if not chunk:
        raise SystemExit("bench: the server closed a connection during the storm")
    return chunk


def storm(server: Server, token: str, emails: list[str], password: str, *, readers: int, seconds: float) -> Storm:
    """Clients that log in without pause, one for each address, beside paced readers."""
    done: list[float] = []
    stop = threading.Event()
    body = {"password": password}

    def client(email: str) -> None:
        while not stop.is_set():
            call(server, "POST", LOGIN, body=body | {"email": email})
            done.append(time.perf_counter())

    def read() -> None:
        time.sleep(1)  # until every client waits for a hash
        server.pin()
        reads.append(paced_reads(server, token, readers=readers, seconds=seconds))
        stop.set()

    reads: list[Reads] = []
    _together([read, *(lambda email=email: client(email) for email in emails)])
    done.sort()
    span = done[-1] - done[0] if len(done) > 1 else 0.0
    return Storm(reads[0], len(done), (len(done) - 1) / span if span else 0.0)


def _together(tasks: list[Callable[[], None]]) -> None:
    """Runs the tasks in threads; the first failure is raised when all have ended."""
    failures: list[BaseException] = []

    def run(task: Callable[[], None]) -> None:
        try:
            task()
        except (OSError, http.client.HTTPException, SystemExit) as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(task,), daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]

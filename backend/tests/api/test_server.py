"""The server process on real sockets: slow and greedy peers, draining, workers, refused starts."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse

import httpx
import pytest

from app.api.protocol import MAX_HEAD_BYTES
from tests.api.server_app import LARGE_BYTES
from tools import programs
from tools.server import service_environment

ADDRESS = re.compile(r"API   (http://127\.0\.0\.1:(\d+))/api/v1")
PROGRAM = ("-m", "tests.api.server_app")
CAP = 12


def environment_of(settings: dict[str, str]) -> dict[str, str]:
    """What a server process is started with."""
    return service_environment(**{"PORT": "0", "LOG_FORMAT": "json", "DRAIN_SECONDS": "0.3"} | settings)


def run_to_its_end(factory: str = "create_app", **settings: str) -> subprocess.CompletedProcess[str]:
    """A server process that ends by itself."""
    return programs.run((*PROGRAM, factory), env=environment_of(settings), timeout=10)


class Running:
    """A server process and what it printed."""

    def __init__(self, **settings: str) -> None:
        self.process = programs.start(
            (*PROGRAM, "create_app"), env=environment_of(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.lines: list[str] = []

    def wait_for_address(self) -> None:
        """Read the output up to the address."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if match := ADDRESS.match(line):
                threading.Thread(target=self.lines.extend, args=(self.process.stdout,), daemon=True).start()
                self.url, self.port = match[1], int(match[2])
                return
        raise AssertionError(f"no address in {self.lines} {self.process.stderr and self.process.stderr.read()}")

    def get(self, path: str) -> tuple[int, str]:
        """The status and the text of one answer, on a connection of its own."""
        with self.connect(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) as connection:
            return read_answer(connection)

    def stop(self) -> int:
        """End it by SIGTERM; returns the exit code."""
        self.process.terminate()
        return self.process.wait(10)

    def connect(self, sent: bytes = b"") -> socket.socket:
        """A bare connection on which something was sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=3)
        if sent:
            connection.sendall(sent)
        return connection


@contextmanager
def running(**settings: str) -> Iterator[Running]:
    with started(**settings) as server:
        server.wait_for_address()
        yield server


@contextmanager
def started(**settings: str) -> Iterator[Running]:
    server = Running(**settings)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()
        for stream in (server.process.stdout, server.process.stderr):
            if stream is not None:
                stream.close()


def read_all(connection: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


def read_answer(connection: socket.socket) -> tuple[int, str]:
    """The status and the text of the next answer."""
    with HTTPResponse(connection) as response:
        response.begin()
        return response.status, response.read().decode()


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer[9:12])


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    limits = {"HEADER_TIMEOUT_SECONDS": "0.3", "BODY_TIMEOUT_SECONDS": "0.3", "REQUEST_TIMEOUT_SECONDS": "0.3"}
    with running(**limits, MAX_CONNECTIONS_PER_PEER=str(CAP), MAX_BODY_BYTES="2048") as server:
        yield server
        assert server.stop() == 0


class TestSlowPeers:
    def test_half_sent_headers_are_answered_408_and_closed(self, server: Running) -> None:
        with ExitStack() as stack:
            connections = [
                stack.enter_context(server.connect(b"GET /pid HTTP/1.1\r\nHost: x\r\nX-Half")) for _ in range(CAP - 2)
            ]
            started = time.monotonic()
            for connection in connections:
                answer = read_all(connection)
                assert status_of(answer) == 408
                assert b"\r\nconnection: close\r\n" in answer
                assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "request_timeout"
            assert time.monotonic() - started < 2.5  # together, not one after the other

    def test_headers_that_trickle_are_cut_off(self, server: Running) -> None:
        with server.connect(b"GET /pid HTTP/1.1\r\n") as connection:
            for _ in range(4):
                time.sleep(0.05)
                connection.sendall(b"X-A: b\r\n")
            assert status_of(read_all(connection)) == 408

    @pytest.mark.parametrize("sent", [b"", b"\r\n"])
    def test_silence_is_closed(self, server: Running, sent: bytes) -> None:
        with server.connect(sent) as connection:
            assert read_all(connection) == b""

    def test_an_idle_connection_that_begins_again_has_its_time_too(self, server: Running) -> None:
        with server.connect(b"GET /pid HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
            assert read_answer(connection)[0] == 200
            connection.sendall(b"GET /pid HT")
            assert status_of(read_all(connection)) == 408

    def test_a_slow_body_is_answered_408_and_closed(self, server: Running) -> None:
        head = b"POST /size HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        with server.connect(head + b'"') as connection:
            answer = read_all(connection)
        assert status_of(answer) == 408
        assert b"connection: close" in answer.lower()

    def test_the_rest_of_a_refused_body_does_not_keep_the_connection(self, server: Running) -> None:
        head = b"POST /size HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
        with server.connect(head) as connection:
            assert status_of(connection.recv(12)) == 413
            connection.sendall(b"x" * 1000)
            assert b"HTTP/1.1" not in read_all(connection)

    def test_slow_work_is_given_up(self, server: Running) -> None:
        status, text = server.get("/sleep/5")
        assert (status, json.loads(text)["code"]) == (503, "deadline_exceeded")

    def test_a_stream_may_take_its_time(self, server: Running) -> None:
        assert server.get("/stream") == (200, "part " * 5)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this platform has no TCP_USER_TIMEOUT")
def test_whoever_takes_nothing_of_an_answer_is_cut_off_and_a_slow_reader_is_not() -> None:
    """The one who never reads holds the second of two connections, until it is given to the next."""
    request = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
    with running(UNREAD_TIMEOUT_SECONDS="0.8", MAX_CONNECTIONS_PER_PEER="2") as server, ExitStack() as stack:
        slow, deaf = (stack.enter_context(server.connect(sent)) for sent in (request, request * 20))
        received, is_free, deadline = 0, False, time.monotonic() + 10
        while not is_free:
            assert time.monotonic() < deadline
            received += len(slow.recv(65536))
            time.sleep(0.05)
            is_free = server.get("/pid")[0] == 200
        while received < LARGE_BYTES:
            part = slow.recv(1_000_000)
            assert part
            received += len(part)
        assert deaf.fileno() > 0


class TestGreedyPeers:
    def test_connections_of_one_peer_are_bounded(self, server: Running) -> None:
        with ExitStack() as stack:
            for _ in range(CAP):
                stack.enter_context(server.connect(b"GET"))
            time.sleep(0.1)
            with server.connect() as surplus:
                answer = read_all(surplus)
        assert status_of(answer) == 503
        assert b'"code":"too_many_connections"' in answer
        time.sleep(0.1)
        assert server.get("/pid")[0] == 200

    def test_endless_headers_are_cut_off(self, server: Running) -> None:
        with server.connect(b"GET /pid HTTP/1.1\r\nX-Long: ") as connection:
            answer = b""
            try:
                for _ in range(MAX_HEAD_BYTES // 65536 + 16):
                    connection.sendall(b"x" * 65536)
                answer = connection.recv(65536)
            except ConnectionError:  # the rest of what was sent may be refused before the answer is read
                pass
        assert not answer or status_of(answer) == 431
        assert server.get("/pid")[0] == 200

    def test_ten_megabytes_are_answered_413(self, server: Running) -> None:
        content = b'"' + b"x" * 10_000_000 + b'"'
        response = httpx.post(f"{server.url}/size", content=content, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")

    @pytest.mark.parametrize(
        "sent", [b"\x16\x03\x01\x02\x00", b"GET /\xff HTTP/1.1\r\n\r\n", b"GET /a b HTTP/1.1\r\n\r\n"]
    )
    def test_what_is_not_http_is_a_problem_too(self, server: Running, sent: bytes) -> None:
        with server.connect(sent) as connection:
            answer = read_all(connection)
        assert status_of(answer) == 400
        head, _, body = answer.partition(b"\r\n\r\n")
        request_id = json.loads(body)["request_id"]
        assert {b"content-type: application/problem+json", b"x-content-type-options: nosniff"} <= set(
            head.split(b"\r\n")
        )
        assert f"\r\nx-request-id: {request_id}".encode() in head
        deadline = time.monotonic() + 3
        while not (lines := [json.loads(line) for line in server.lines if request_id in line]):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert (lines[0]["event"], lines[0]["status"], lines[0]["code"]) == ("request_refused", 400, "bad_request")


def test_a_connection_survives_a_fault(server: Running) -> None:
    with httpx.Client(base_url=server.url) as client:
        for _ in range(3):
            response = client.get("/boom")
            assert response.status_code == 500
            assert "Connection" not in response.headers
    with server.connect(b"GET /boom HTTP/1.1\r\nHost: x\r\n\r\n" * 2) as connection:
        time.sleep(0.2)
        assert connection.recv(65536).count(b"HTTP/1.1 500") == 2


def test_two_requests_at_once_on_one_connection_are_both_answered(server: Running) -> None:
    head = b"GET /sleep/0.1 HTTP/1.1\r\nHost: x\r\n\r\nGET /pid HTTP/1.1\r\nHost: x\r\n\r\n"
    with server.connect(head) as connection:
        time.sleep(0.4)
        assert connection.recv(65536).count(b"HTTP/1.1 200") == 2


class TestDrain:
    def test_a_stopping_server_serves_what_came_and_says_that_it_goes(self) -> None:
        with running(DRAIN_SECONDS="0.5") as server, httpx.Client(base_url=server.url) as client:
            assert client.get("/health/ready").json()["status"] == "ready"
            in_flight = threading.Thread(target=lambda: answers.append(server.get("/sleep/1.0")))
            answers: list[tuple[int, str]] = []
            in_flight.start()
            time.sleep(0.1)
            server.process.send_signal(signal.SIGINT)
            time.sleep(0.1)
            response = client.get("/health/ready")
            assert (response.status_code, response.json()["checks"]["draining"]) == (503, True)
            assert response.headers["Connection"] == "close"
            assert client.get("/health/live").status_code == 200
            assert client.get("/pid").status_code == 200, "still accepting"
            assert server.process.wait(5) == 0
            in_flight.join()
            assert answers == [(200, '"rested"')]
            with pytest.raises(ConnectionRefusedError):
                server.get("/pid")

    def test_a_second_signal_stops_it_at_once(self) -> None:
        with running(DRAIN_SECONDS="30") as server:
            server.process.terminate()
            time.sleep(0.1)
            server.process.terminate()
            assert server.process.wait(3) == 1


class TestWorkers:
    def test_they_share_the_port_are_replaced_and_drain_together(self) -> None:
        with running(WORKERS="2") as server:
            pids = self._pids(server, 2)
            os.kill(min(pids), signal.SIGKILL)
            assert len(self._pids(server, 2, without=min(pids))) == 2
            assert server.stop() == 0
        log = [line for line in server.lines if line.startswith("{")]
        assert sum("worker_died" in line for line in log) == 1
        assert sum(line.startswith("API ") for line in server.lines) == 1

    def test_they_end_when_their_supervisor_is_gone(self) -> None:
        with running(WORKERS="2") as server:
            server.process.kill()
            deadline = time.monotonic() + 5
            while self._is_listening(server):
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def _is_listening(self, server: Running) -> bool:
        try:
            server.connect().close()
        except ConnectionRefusedError:
            return False
        return True

    def _pids(self, server: Running, count: int, without: int = 0) -> set[int]:
        pids: set[int] = set()
        deadline = time.monotonic() + 8
        while len(pids) < count and time.monotonic() < deadline:
            pids |= {int(server.get("/pid")[1])} - {without}
        assert len(pids) == count
        return pids


class TestRefusedStart:
    @pytest.mark.parametrize(
        ("factory", "workers", "reason"),
        [
            ("create_app_with_refused_setting", "1", "DATABASE_URL names no database"),
            ("create_app_refused_at_start", "1", "DATABASE_URL needs migrations"),
            ("create_app_refused_at_start", "2", "DATABASE_URL needs migrations"),
        ],
    )
    def test_a_refused_setting_is_one_line_and_exit_78(self, factory: str, workers: str, reason: str) -> None:
        refused = run_to_its_end(factory, WORKERS=workers)
        assert refused.returncode == 78
        assert set(refused.stderr.splitlines()) == {reason}
        assert "Traceback" not in refused.stdout

    def test_another_failure_is_shown_and_ends_all_workers(self) -> None:
        failed = run_to_its_end("create_app_that_fails", WORKERS="2")
        assert failed.returncode == 3
        assert 1 <= failed.stdout.count("LookupError: no such luck") <= 2

    def test_a_taken_port_is_named(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            refused = run_to_its_end(PORT=str(taken.getsockname()[1]))
        assert refused.returncode == 78
        assert refused.stderr == "HOST and PORT cannot be listened on: Address already in use\n"


def test_production_announces_itself_in_the_log_and_ipv6_is_spoken() -> None:
    with started(ENVIRONMENT="production", HOST="::1", BCRYPT_ROUNDS="12") as server:
        assert server.process.stdout is not None
        line = json.loads(server.process.stdout.readline())
        assert httpx.get(f"{line['address']}/pid").status_code == 200
    assert (line["event"], line["workers"]) == ("listening", 1)
    assert line["address"].startswith("http://[::1]:")

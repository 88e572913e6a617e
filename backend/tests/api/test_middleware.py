"""What surrounds every request: id, address, deadlines, headers, log line, and the net under everything."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import structlog
from fastapi import Body, FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs

from app.api.middleware import RequestMiddleware, client_address
from app.api.problem import install_error_handlers
from app.core.logging import request_id_var
from app.core.settings import Environment, Settings
from app.routing import api_router, serve

MAX_BODY = 2048


def settings(**overrides: Any) -> Settings:
    values: dict[str, Any] = {
        "environment": Environment.TEST,
        "request_timeout_seconds": 0.15,
        "body_timeout_seconds": 0.3,
        "max_body_bytes": MAX_BODY,
        **overrides,
    }
    return Settings(_env_file=None, secret_key=SecretStr("b3" * 32), **values)


class Rolled:
    """Remembers whether the work was undone."""

    is_back = False


def create_app(settings: Settings) -> FastAPI:
    app = FastAPI()
    app.add_middleware(RequestMiddleware, settings=settings)
    install_error_handlers(app)
    app.state.rolled = Rolled()
    router = api_router("/things")

    @router.get("/{thing_id}")
    async def get_thing(thing_id: str, request: Request) -> dict[str, str | None]:
        return {"id": request.scope["merit.request_id"], "address": request.scope["merit.client_address"]}

    @router.get("/context/id")
    async def get_context() -> str | None:
        return request_id_var.get()

    @router.post("")
    async def create_thing(body: str = Body()) -> int:
        return len(body)

    @router.get("/slow/work")
    async def slow() -> None:
        try:
            await asyncio.sleep(5)
        finally:
            app.state.rolled.is_back = True

    @router.get("/stubborn/work")
    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(5)
        raise LookupError

    @router.get("/stream/long")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(5):
                yield b"part "
                await asyncio.sleep(0.08)

        return StreamingResponse(parts())

    @router.get("/stream/broken")
    async def broken_stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"part "
            raise LookupError("in the middle")

        return StreamingResponse(parts())

    @router.get("/boom/now")
    async def boom() -> None:
        raise LookupError("secret plan")

    serve(app, router)

    @app.get("/page")
    async def page() -> HTMLResponse:
        return HTMLResponse("<p>", headers={"Content-Security-Policy": "default-src 'self'"})

    @app.get("/health/live")
    async def live() -> None: ...

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json([websocket.scope["merit.request_id"], websocket.scope["merit.client_address"]])

    return app


@pytest.fixture(scope="module", autouse=True)
def every_level() -> Iterator[None]:
    """Let every line through, whatever other tests have configured."""
    previous = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(0))
    yield
    structlog.configure(**previous)


@pytest.fixture(scope="module")
def tiny() -> FastAPI:
    return create_app(settings())


@pytest.fixture
async def client(tiny: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(tiny), base_url="http://test") as client:
        yield client


def scope_of(app: ASGIApp, method: str, path: str, **headers: str) -> Scope:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": ("192.0.2.7", 4711),
        "app": app,
    }


class Exchange:
    """A request whose parts come as the test says, and its answer."""

    def __init__(self, app: ASGIApp, *, pauses: float = 0, parts: tuple[bytes, ...] = ()) -> None:
        self.app = app
        self.parts = list(parts)
        self.pauses = pauses
        self.sent: list[Message] = []

    async def run(self, scope: Scope) -> Message:
        await self.app(scope, self.receive, self.send)
        return self.sent[0]

    async def receive(self) -> Message:
        await asyncio.sleep(self.pauses)
        if not self.parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.parts.pop(0), "more_body": bool(self.parts)}

    async def send(self, message: Message) -> None:
        self.sent.append(dict(message))

    def header(self, name: bytes) -> bytes | None:
        return dict(self.sent[0]["headers"]).get(name)


class TestRequestId:
    async def test_a_good_one_is_kept(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/api/v1/things/1", headers={"X-Request-ID": "job-7.a_b"})
        assert response.headers["X-Request-ID"] == response.json()["id"] == "job-7.a_b"

    @pytest.mark.parametrize("offered", ["", "a b", "a\x7fb", "x" * 65, 'a"b', "ä"])
    async def test_another_is_replaced(self, client: httpx.AsyncClient, offered: str) -> None:
        response = await client.get("/api/v1/things/1", headers=[(b"X-Request-ID", offered.encode())])
        assert response.headers["X-Request-ID"] == response.json()["id"] != offered
        assert len(response.headers["X-Request-ID"]) == 36

    async def test_it_is_in_the_log_context_and_in_every_problem(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/api/v1/things/context/id")
        assert response.json() == response.headers["X-Request-ID"]
        response = await client.get("/nowhere")
        assert response.json()["request_id"] == response.headers["X-Request-ID"]


class TestClientAddress:
    @pytest.mark.parametrize(
        ("hops", "forwarded", "address"),
        [
            (0, ["198.51.100.1"], "192.0.2.7"),
            (1, [], "192.0.2.7"),
            (1, ["198.51.100.1"], "198.51.100.1"),
            (1, ["10.0.0.1, 198.51.100.1"], "198.51.100.1"),
            (1, ["10.0.0.1", "198.51.100.1"], "198.51.100.1"),
            (2, ["10.0.0.1,198.51.100.1 , 203.0.113.9"], "198.51.100.1"),
            (2, ["198.51.100.1"], "192.0.2.7"),
            (1, ["::ffff:198.51.100.1"], "198.51.100.1"),
            (1, ["198.51.100.1:8080"], "198.51.100.1"),
            (1, ["[2001:db8::1]:8080"], "2001:db8::1"),
            (1, ["2001:DB8::1"], "2001:db8::1"),
            (1, ["<script>"], "192.0.2.7"),
            (1, ["198.51.100.1,"], "192.0.2.7"),
            (1, ["," * 100_000], "192.0.2.7"),
        ],
    )
    def test_only_what_trusted_proxies_wrote_counts(self, hops: int, forwarded: list[str], address: str) -> None:
        headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
        assert client_address({"headers": headers, "client": ("192.0.2.7", 1)}, hops) == address

    def test_a_peer_may_have_none(self) -> None:
        assert client_address({"headers": [], "client": None}, 0) is None
        assert client_address({"headers": [], "client": ("::ffff:192.0.2.7", 1)}, 0) == "192.0.2.7"

    async def test_it_is_in_the_scope(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/api/v1/things/1")).json()["address"] == "127.0.0.1"


class TestHeaders:
    async def test_every_answer_has_them(self, client: httpx.AsyncClient) -> None:
        for path in ("/api/v1/things/1", "/nowhere", "/api/v1/things/boom/now"):
            with capture_logs():
                headers = (await client.get(path)).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert headers["Cache-Control"] == "no-store"
            assert "Strict-Transport-Security" not in headers

    async def test_a_page_keeps_its_own_policy_and_may_be_stored(self, client: httpx.AsyncClient) -> None:
        headers = (await client.get("/page")).headers
        assert headers.get_list("Content-Security-Policy") == ["default-src 'self'"]
        assert "Cache-Control" not in headers

    async def test_production_insists_on_tls(self) -> None:
        app = create_app(settings(environment=Environment.PRODUCTION))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            assert (await client.get("/page")).headers["Strict-Transport-Security"] == "max-age=31536000"


class TestDeadlines:
    async def test_slow_work_is_cancelled_and_answered_503(self, tiny: FastAPI, client: httpx.AsyncClient) -> None:
        response = await client.get("/api/v1/things/slow/work")
        assert (response.status_code, response.json()["code"]) == (503, "deadline_exceeded")
        assert response.headers["Retry-After"] == "1"
        assert tiny.state.rolled.is_back

    async def test_work_that_ignores_its_cancellation_fails_as_slow(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/api/v1/things/stubborn/work")).json()["code"] == "deadline_exceeded"

    async def test_an_answer_that_has_begun_may_take_its_time(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/api/v1/things/stream/long")
        assert (response.status_code, response.text) == (200, "part " * 5)

    async def test_the_body_has_its_own_time(self, tiny: FastAPI) -> None:
        exchange = Exchange(tiny, pauses=0.09, parts=(b'"a', b"b", b'c"'))
        scope = scope_of(tiny, "POST", "/api/v1/things", content_length="5", content_type="application/json")
        assert (await exchange.run(scope))["status"] == 200

    async def test_a_body_that_trickles_is_answered_408_and_cut_off(self, tiny: FastAPI) -> None:
        exchange = Exchange(tiny, pauses=0.1, parts=(b'"', *[b"x"] * 20))
        scope = scope_of(tiny, "POST", "/api/v1/things", content_length="22", content_type="application/json")
        assert (await exchange.run(scope))["status"] == 408
        assert exchange.header(b"connection") == b"close"

    async def test_when_the_server_stops_the_caller_is_told(self, tiny: FastAPI) -> None:
        exchange = Exchange(tiny)
        task = asyncio.create_task(exchange.run(scope_of(tiny, "GET", "/api/v1/things/slow/work")))
        await asyncio.sleep(0.03)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert exchange.sent[0]["status"] == 503

    async def test_the_watch_outlives_an_event_loop(self) -> None:
        app = create_app(settings())

        async def ask() -> Any:
            return (await Exchange(app).run(scope_of(app, "GET", "/api/v1/things/slow/work")))["status"]

        for _ in range(2):
            assert await asyncio.to_thread(lambda: asyncio.run(ask())) == 503


class TestBodyLimit:
    @pytest.mark.parametrize("length", [MAX_BODY, MAX_BODY + 1])
    async def test_a_body_of_known_length(self, client: httpx.AsyncClient, length: int) -> None:
        content = b'"' + b"x" * (length - 2) + b'"'
        response = await client.post("/api/v1/things", content=content, headers={"Content-Type": "application/json"})
        if length <= MAX_BODY:
            assert response.json() == length - 2
        else:
            assert (response.status_code, response.json()["code"]) == (413, "body_too_large")

    async def test_a_body_in_chunks(self, tiny: FastAPI) -> None:
        exchange = Exchange(tiny, parts=(b'"', *[b"x" * 1024] * 20))
        scope = scope_of(tiny, "POST", "/api/v1/things", transfer_encoding="chunked", content_type="application/json")
        assert (await exchange.run(scope))["status"] == 413
        assert len(exchange.parts) >= 17, "the rest was not read"

    async def test_a_long_body_is_refused_before_it_is_read(self, tiny: FastAPI) -> None:
        exchange = Exchange(tiny, parts=(b"x",))
        scope = scope_of(tiny, "POST", "/api/v1/things", content_length="10000000", content_type="application/json")
        assert (await exchange.run(scope))["status"] == 413
        assert exchange.parts == [b"x"]


async def test_after_the_body_the_application_hears_of_the_callers_absence() -> None:
    heard: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        heard.extend([(await receive())["type"] for _ in range(3)])

    exchange = Exchange(RequestMiddleware(application, settings()), parts=(b"a", b"b"))
    await exchange.app(scope_of(exchange.app, "POST", "/", content_length="2"), exchange.receive, exchange.send)
    assert heard == ["http.request", "http.request", "http.disconnect"]


async def test_start_and_stop_pass_untouched() -> None:
    scopes: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)

    exchange = Exchange(RequestMiddleware(application, settings()))
    await exchange.app({"type": "lifespan"}, exchange.receive, exchange.send)
    assert scopes == [{"type": "lifespan"}]


class TestUnexpected:
    async def test_an_exception_is_a_problem_without_its_text(self, client: httpx.AsyncClient) -> None:
        with capture_logs() as lines:
            response = await client.get("/api/v1/things/boom/now")
        assert (response.status_code, response.json()["code"]) == (500, "internal_error")
        assert "secret plan" not in response.text
        assert [line["event"] for line in lines] == ["unhandled_exception", "request"]
        assert lines[1]["log_level"] == "error"

    async def test_after_the_answer_began_only_the_connection_can_tell(self, client: httpx.AsyncClient) -> None:
        with pytest.raises(LookupError, match="in the middle"):
            await client.get("/api/v1/things/stream/broken")

    async def test_a_caller_who_hangs_up_is_no_error(self, tiny: FastAPI) -> None:
        exchange = Exchange(tiny)
        scope = scope_of(tiny, "POST", "/api/v1/things", content_length="22", content_type="application/json")
        with capture_logs() as lines:
            assert (await exchange.run(scope))["status"] == 499
        assert [line["log_level"] for line in lines] == ["info"]


class TestLog:
    async def test_one_line_a_request_with_the_template_of_its_path(self, client: httpx.AsyncClient) -> None:
        with capture_logs() as lines:
            await client.get("/api/v1/things/tok3n", params={"token": "tok3n"}, headers={"X-Request-ID": "a"})
        (line,) = lines
        assert line.pop("duration_ms") >= 0
        assert line == {
            "event": "request",
            "log_level": "info",
            "method": "GET",
            "path": "/api/v1/things/{thing_id}",
            "status": 200,
            "client": "127.0.0.1",
            "bytes": 32,
        }

    async def test_unknown_paths_cannot_forge_lines(self, client: httpx.AsyncClient) -> None:
        with capture_logs() as lines:
            await client.get("/a%0Ab%1B[31m" + "c" * 300, headers={"User-Agent": "x\x1b[2J"})
        assert lines[0]["path"] == ("/a b[31m" + "c" * 300)[:200]
        assert "\x1b" not in str(lines)

    async def test_the_level_follows_the_status(self, client: httpx.AsyncClient) -> None:
        with capture_logs() as lines:
            await client.get("/nowhere")
            await client.get("/api/v1/things/slow/work")
            await client.get("/health/live")
        assert [line["log_level"] for line in lines] == ["info", "warning", "debug"]


async def test_websockets_have_an_id_and_an_address_too(tiny: FastAPI) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {**scope_of(tiny, "GET", "/socket", x_request_id="ws-1"), "type": "websocket", "subprotocols": []}
    await tiny(scope, receive, send)
    assert sent[1]["text"] == '["ws-1","192.0.2.7"]'

"""The generator of requests finds what is wrong, and says nothing where nothing is."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from tools.drill.report import Verdict
from tools.fuzz.__main__ import Tally, _result
from tools.fuzz.generator import Caller, Run, run_generator

ACCOUNT = Caller("account", 1.0, "ada@example.com", "a long passphrase 42")


def small_service(*, is_broken: bool) -> FastAPI:
    """A service of two operations; a broken one fails on large numbers, and answers what it does not document."""
    app = FastAPI()

    @app.post("/api/v1/auth/login")
    def login() -> dict[str, str]:
        return {"access_token": "x"}

    @app.get("/halves/{number}", responses={422: {"description": "no number"}})
    def halve(number: int) -> float:
        if is_broken and abs(number) > 100:
            raise RuntimeError
        return number / 2 if abs(number) < 2**53 else 0.0

    return app


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def test_a_fault_is_found(tmp_path: Path) -> None:
    with served(small_service(is_broken=True)) as url:
        run = run_generator(url, tmp_path / "report.json", ACCOUNT, examples=20, seed=1)
    assert run.cases > 10
    assert run.failures > 0
    assert "/halves/" in run.output
    assert run.called == {"GET /halves/{number}", "POST /api/v1/auth/login"}
    assert run.accepted == run.called


def test_a_service_that_is_away_is_no_success(tmp_path: Path) -> None:
    run = run_generator("http://127.0.0.1:9", tmp_path / "report.json", ACCOUNT, examples=1, seed=1)
    assert run.failures > 0


def test_operations_that_are_never_accepted_are_told_of_and_too_many_are_void() -> None:
    operations = [f"GET /{number}" for number in range(10)]
    tally = Tally()
    tally.add(ACCOUNT, Run(500, 0, "", frozenset(operations[:5]), frozenset(operations)))
    assert tally.refused == operations[5:]
    assert _result("SQLite", 500, tally, []).verdict is Verdict.VOID
    tally.add(ACCOUNT, Run(500, 0, "", frozenset(operations[4:6]), frozenset(operations)))
    assert _result("SQLite", 1_000, tally, []).verdict is Verdict.PASS
    assert _result("SQLite", 1_001, tally, []).verdict is Verdict.VOID
    assert _result("SQLite", 1_000, tally, ["log: fault"]).verdict is Verdict.FAIL
    tally.add(ACCOUNT, Run(1, 1, "500"))
    assert _result("SQLite", 1_000, tally, []).verdict is Verdict.FAIL

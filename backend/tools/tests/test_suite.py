"""What `make test` and `make check` run, and what they say they left out."""

import os
import shutil

import pytest

from tools import suite

POSTGRES = "postgresql://user@host/db"


@pytest.fixture(autouse=True)
def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in suite.SERVERS.values():
        monkeypatch.delenv(variable, raising=False)


def test_sqlite_is_always_there_and_a_missing_server_is_named() -> None:
    assert [step.environment for step in suite.pytest_steps()] == [{"TEST_DATABASE_URL": ""}]
    assert {"PostgreSQL: set TEST_POSTGRES_URL", "MySQL or MariaDB: set TEST_MYSQL_URL"} <= set(suite.left_out())


def test_a_server_gets_a_run_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_POSTGRES_URL", POSTGRES)
    _, run = suite.pytest_steps()
    assert run.environment == {"TEST_DATABASE_URL": POSTGRES}
    assert run.arguments == ("pytest", "-n", suite.TEST_WORKERS, "--dist", "loadfile", "--on-server", "tests")
    assert not any(line.startswith("PostgreSQL") for line in suite.left_out())


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.browser.MAC_APPS", ())
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    programs = {
        "browser tests",
        "the generated TypeScript client",
        "the tests behind a pooler",
        "the tests of TLS to the database",
        "the make targets in a fresh copy",
    }
    for user, further in ((0, {"what runs as another user"}), (1000, set())):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert {line.partition(":")[0] for line in suite.left_out()} - suite.SERVERS.keys() == programs | further


def test_the_full_gate_needs_every_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def gates() -> list[str]:
        return [step.name for step in suite.check_steps() if step.name.endswith("%")]

    assert gates() == ["coverage of all, 95 %"]
    for variable in suite.SERVERS.values():
        monkeypatch.setenv(variable, POSTGRES)
    assert gates() == ["coverage of all, 95 %", "coverage of app/auth and app/db, 100 %"]


@pytest.mark.parametrize(("code", "succeeded"), [("pass", True), ("raise SystemExit(5)", False)])
def test_a_step_succeeds_with_exit_code_0_only(code: str, succeeded: bool) -> None:
    assert suite.Step("x", ("python", "-c", code)).run() is succeeded


def test_the_check_measures_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_POSTGRES_URL", POSTGRES)
    runs = [step for step in suite.check_steps() if step.arguments[0] == "pytest"]
    assert [step.environment for step in runs] == [
        {"TEST_DATABASE_URL": url, "MEASURE_COVERAGE": "1"} for url in ("", POSTGRES)
    ]
    assert [step.arguments for step in runs] == [step.arguments for step in suite.pytest_steps()]


def test_a_step_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(suite, "STEP_SECONDS", 0.2)
    assert not suite.Step("sleep", ("python", "-c", "import time; time.sleep(30)")).run()
    assert "sleep: not done after" in capsys.readouterr().out

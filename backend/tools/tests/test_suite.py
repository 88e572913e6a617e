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
    assert [step.environment for step in suite.pytest_steps(coverage=False)] == [{"TEST_DATABASE_URL": ""}]
    assert {"PostgreSQL: set TEST_POSTGRES_URL", "MySQL or MariaDB: set TEST_MYSQL_URL"} <= set(suite.left_out())


def test_a_server_gets_a_run_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_POSTGRES_URL", POSTGRES)
    _, run = suite.pytest_steps(coverage=True)
    assert run.environment == {"TEST_DATABASE_URL": POSTGRES}
    assert run.arguments[:2] == ("coverage", "run")
    assert not any(line.startswith("PostgreSQL") for line in suite.left_out())


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.browser.MAC_APPS", ())
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    programs = {
        "browser tests",
        "the generated TypeScript client",
        "the tests behind a pooler",
        "the make targets in a fresh copy",
    }
    for user, further in ((0, {"the image's commands as its user"}), (1000, set())):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert {line.partition(":")[0] for line in suite.left_out()} - suite.SERVERS.keys() == programs | further


def test_the_full_gate_needs_every_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def gates() -> list[str]:
        return [step.name for step in suite.check_steps() if step.name.endswith("%")]

    assert gates() == ["coverage of all, 95 %"]
    for variable in suite.SERVERS.values():
        monkeypatch.setenv(variable, POSTGRES)
    assert gates() == ["coverage of all, 95 %", "coverage of app/auth/*,app/db/*, 100 %"]


@pytest.mark.parametrize(("code", "succeeded"), [("pass", True), ("raise SystemExit(5)", False)])
def test_a_step_succeeds_with_exit_code_0_only(code: str, succeeded: bool) -> None:
    assert suite.Step("x", ("python", "-c", code)).run() is succeeded

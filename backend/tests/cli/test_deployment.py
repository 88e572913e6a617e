"""The commands of deployments: administrators, schema, document, examination, a start that refuses bad settings."""

import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from typer.testing import CliRunner, Result

from app.cli import app
from app.cli.running import refusals
from app.core.settings import BACKEND_DIR, Settings
from app.db import migrations
from app.db.url import database_url as database_url_of
from tests.cli.conftest import own_logging
from tests.support import PASSWORD, SECRET_KEY, make_settings
from tools.databases import fresh_database

SCRIPT = BACKEND_DIR.parent / "scripts" / "create_admin.py"
EMAIL = "chief@example.net"
PROMPT_SECONDS = 15
EX_CONFIG = 78


@pytest.fixture(scope="module")
def own_url(server_url: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database that only these tests use."""
    with fresh_database(server_url, is_durable=False) as url:
        migrations.upgrade(make_settings(url, tmp_path_factory.mktemp("migrations")))
        yield url


@pytest.fixture
def environment(own_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings of a deployment without accounts, and nothing else of the service's."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    values = {
        "ENVIRONMENT": "test",
        "SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": own_url,
        "DATA_DIR": str(tmp_path),
        "BCRYPT_ROUNDS": "4",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    forget_accounts(own_url, tmp_path)
    return values


@pytest.fixture(autouse=True)
def _logs_go_back_where_they_went() -> Iterator[None]:
    """A command sets up logging for its own process; here it must not outlive the command."""
    with own_logging():
        yield


def forget_accounts(url: str, data_dir: Path) -> None:
    """Delete all accounts, sessions and events, but keep the schema and the keys."""
    engine = create_engine(database_url_of(make_settings(url, data_dir)).synchronous)
    with engine.begin() as connection:
        for table in ("auth_sessions", "audit_events", "users"):
            connection.execute(text(f"DELETE FROM {table}"))
    engine.dispose()


def run(*arguments: str, stdin: str = "") -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, arguments, input=stdin)


def said(result: Result) -> str:
    """Everything that a command printed."""
    return result.stdout + result.stderr


def test_an_administrator_is_created_from_standard_input(environment: dict[str, str]) -> None:
    """A1: created, found again without a change, a further one by --force only; no secret in any output."""
    created = run("create-admin", "--email", EMAIL, stdin=f"{PASSWORD}\n")
    assert (created.exit_code, created.stdout) == (0, f"Administrator {EMAIL}: created.\n"), said(created)
    again = run("create-admin", "--email", EMAIL, stdin="another passphrase 43\n")
    assert (again.exit_code, again.stdout) == (0, f"Administrator {EMAIL}: already there.\n")
    second = run("create-admin", "--email", "second@example.net", stdin=f"{PASSWORD}\n")
    assert second.exit_code == 1
    assert "--force" in second.stderr
    forced = run("create-admin", "--email", "second@example.net", "--force", stdin=f"{PASSWORD}\n")
    assert (forced.exit_code, forced.stdout) == (0, "Administrator second@example.net: created.\n")
    for result in (created, again, second, forced):
        assert PASSWORD not in said(result)
        assert SECRET_KEY not in said(result)


@pytest.mark.parametrize("password", ["short", "qwertyuiop", "correct horse battery", EMAIL, ""])
def test_a_password_that_can_be_guessed_is_refused(environment: dict[str, str], password: str) -> None:
    """A1: weak, default and example passwords end the command with one line and no account."""
    refused = run("create-admin", "--email", EMAIL, stdin=f"{password}\n")
    assert (refused.exit_code, refused.stdout) == (1, "")
    (line,) = [line for line in refused.stderr.splitlines() if not line.startswith("{")]
    assert "assword" in line
    assert not password or password not in said(refused)
    ensured = run("ensure-admin")
    assert (ensured.exit_code, ensured.stderr) == (EX_CONFIG, "FIRST_SUPERUSER_EMAIL is not set\n")


def test_the_first_administrator_comes_from_the_environment(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A1: FIRST_SUPERUSER_EMAIL and FIRST_SUPERUSER_PASSWORD, as a deployment runs it each time."""
    monkeypatch.setenv("FIRST_SUPERUSER_EMAIL", EMAIL)
    missing = run("ensure-admin")
    assert (missing.exit_code, missing.stderr) == (EX_CONFIG, "FIRST_SUPERUSER_PASSWORD is not set\n")
    monkeypatch.setenv("FIRST_SUPERUSER_PASSWORD", "changethis")
    assert run("ensure-admin").exit_code == 1
    monkeypatch.setenv("FIRST_SUPERUSER_PASSWORD", PASSWORD)
    first, second, by_hand = run("ensure-admin"), run("ensure-admin"), run("create-admin")
    assert (first.exit_code, first.stdout) == (0, f"Administrator {EMAIL}: created.\n")
    assert (second.exit_code, second.stdout) == (0, "An administrator is there.\n")
    assert (by_hand.exit_code, by_hand.stdout) == (0, f"Administrator {EMAIL}: already there.\n")
    assert PASSWORD not in said(first) + said(second) + said(by_hand)
    for arguments, email in ((["ensure-admin"], None), (["create-admin"], EMAIL)):
        told = json.loads(run(*arguments, "--json").stdout)
        assert told == {"email": email, "outcome": "already there"}
    forced = run("create-admin", "--email", "second@example.net", "--force", "--json")
    assert json.loads(forced.stdout) == {"email": "second@example.net", "outcome": "created"}


def test_the_script_asks_at_a_terminal(environment: dict[str, str]) -> None:
    """A1: `scripts/create_admin.py` prompts for address and password, twice and without showing it."""
    master, slave = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name not in environment}
    with subprocess.Popen(
        [sys.executable, SCRIPT],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=inherited | environment,
        cwd="/",
        start_new_session=True,
    ) as process:
        os.close(slave)
        try:
            shown = answer(master, {"E-mail address": EMAIL, "Password": PASSWORD, "Repeat for": PASSWORD})
            assert process.wait(PROMPT_SECONDS) == 0, shown
        finally:
            process.kill()
    os.close(master)
    assert f"Administrator {EMAIL}: created." in shown
    assert PASSWORD not in shown


def answer(terminal: int, replies: dict[str, str]) -> str:
    """Type the reply to each prompt in turn; returns all that the terminal showed."""
    shown, seen, waiting = "", 0, list(replies.items())
    deadline = time.monotonic() + PROMPT_SECONDS
    while time.monotonic() < deadline:
        # What is typed at a password prompt before it has turned the echo off is thrown away.
        is_hidden = not termios.tcgetattr(terminal)[3] & termios.ECHO
        if waiting and waiting[0][0] in shown[seen:] and is_hidden == (waiting[0][1] == PASSWORD):
            seen = len(shown)
            os.write(terminal, f"{waiting.pop(0)[1]}\n".encode())
        if not select.select([terminal], [], [], 0.05)[0]:
            continue
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # the program closed its end
            break
        if not chunk:
            break
        shown += chunk.decode()
    return shown


def test_the_schema_goes_up_and_down(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`db upgrade|check|current|downgrade`: what they print, and how `check` ends."""
    head = migrations.head_revision()
    assert (run("db", "check").exit_code, run("db", "current").stdout) == (0, f"{head}\n")
    assert json.loads(run("db", "check", "--json").stdout) == {"revision": head, "newest": head, "is_current": True}
    assert json.loads(run("db", "upgrade", "--json").stdout) == {"revision": head}
    assert json.loads(run("db", "downgrade", "base", "--json").stdout) == {"revision": None}
    checked, told = run("db", "check"), run("db", "check", "--json")
    assert (checked.exit_code, checked.stdout) == (1, f"empty (newest: {head})\n")
    assert told.exit_code == 1
    assert json.loads(told.stdout) == {"revision": None, "newest": head, "is_current": False}
    assert json.loads(run("db", "current", "--json").stdout) == {"revision": None}
    too_new = run("users", "list")
    assert (too_new.exit_code, too_new.stdout) == (EX_CONFIG, "")
    assert too_new.stderr.endswith("run: python -m app.cli db upgrade\n")
    grades = grades_of(run("doctor", "--json"), exit_code=1)
    assert (grades["schema"], grades["jobs"]) == ("failed", "failed")
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("BCRYPT_ROUNDS", "12")
    too_old = run("create-admin", "--email", EMAIL, stdin=f"{PASSWORD}\n")
    assert too_old.exit_code == EX_CONFIG
    assert "db upgrade" in too_old.stderr
    monkeypatch.setenv("ENVIRONMENT", "development")
    assert run("ensure-admin").exit_code == EX_CONFIG  # for want of an address; but it has migrated
    assert run("db", "check").exit_code == 0


def test_a_downgrade_in_production_is_confirmed(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Reliability, Alembic: `downgrade` drops data, so production needs --yes."""
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("BCRYPT_ROUNDS", "12")
    refused = run("db", "downgrade", "base")
    assert refused.exit_code == EX_CONFIG
    assert "--yes" in refused.stderr
    assert run("db", "check").exit_code == 0
    assert run("db", "downgrade", migrations.head_revision(), "--yes").exit_code == 0
    assert run("db", "check").exit_code == 0


def test_a_database_that_is_away_is_one_line(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Start-up: whatever command meets it, a line without the URL and no traceback."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://merit:a-pass-word@127.0.0.1:1/merit")
    started = (
        ["ensure-admin"],
        ["create-admin", "--email", EMAIL],
        ["users", "list"],
        ["jobs", "run"],
        ["audit", "head"],
    )
    for arguments in (["db", "check"], ["db", "upgrade"], *started):
        result = run(*arguments, stdin=f"{PASSWORD}\n")
        lines = [line for line in result.stderr.splitlines() if not line.startswith("{")]
        assert (result.exit_code in {1, EX_CONFIG}, len(lines)) == (True, 1), (arguments, said(result))
        assert "a-pass-word" not in said(result)
    examined = run("doctor", "--json")
    grades = grades_of(examined, exit_code=1)
    assert (grades["secret"], grades["database"], grades["schema"], grades["jobs"]) == ("ok", *["failed"] * 3)
    assert "a-pass-word" not in said(examined)


def test_a_healthy_deployment_is_found_healthy(environment: dict[str, str]) -> None:
    """`doctor`: nothing fails on a fresh database; people get a table."""
    grades = grades_of(run("doctor", "--json"), exit_code=0)
    assert grades == {
        "secret": "ok", "database": grades["database"], "schema": "ok", "clock": "ok", "hashing": "warning",
        "proxies": "ok", "data folder": "ok", "mail": "ok", "jobs": "ok",
    }  # fmt: skip
    shown = run("doctor")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert all(name in shown.stdout for name in ("finding", *grades))


def grades_of(result: Result, *, exit_code: int) -> dict[str, str]:
    """What `doctor --json` found."""
    assert result.exit_code == exit_code, said(result)
    return {finding["check"]: finding["grade"] for finding in map(json.loads, result.stdout.splitlines())}


def test_a_fault_of_the_program_is_not_dressed_up() -> None:
    """Whatever is no refusal keeps its traceback."""
    with pytest.raises(ZeroDivisionError), refusals():
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", ""),
        ("SECRET_KEY", "too short"),
        ("SECRET_KEY", "a" * 64),
        ("SECRET_KEY", "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"),
        ("SECRET_KEY", "please-changeme-please-changeme-please"),
        ("PORT", "eighty"),
        ("CORS_ORIGINS", "*"),
        ("DATABASE_URL", "nonsense"),
    ],
)
def test_a_bad_setting_stops_the_start(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """T5: `serve` ends with 78 and one line that names the setting and not its value."""
    monkeypatch.setenv(name, value)
    refused = run("serve")
    assert refused.exit_code == EX_CONFIG, said(refused)
    (line,) = refused.stderr.splitlines()
    assert line.startswith(name)
    assert len(value) < 10 or value not in line


def test_the_document_needs_no_settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`export-openapi`: valid JSON on standard output and nothing else, without SECRET_KEY or a database."""
    for name in environment:
        monkeypatch.delenv(name)
    exported = run("export-openapi")
    assert exported.exit_code == 0, said(exported)
    document = json.loads(exported.stdout)
    assert document["openapi"].startswith("3.1")
    assert "/api/v1/users/me" in document["paths"]
    monkeypatch.setenv("PORT", "eighty")
    assert run("export-openapi").exit_code == EX_CONFIG


def test_without_a_command_the_commands_are_listed(environment: dict[str, str]) -> None:
    """A newcomer who types the bare program sees what there is, at once: what commands need, they import."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "app.cli"],
        cwd=BACKEND_DIR,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    commands = ("serve", "worker", "create-admin", "ensure-admin", "doctor", "export-openapi")
    for command in (*commands, "users", "roles", "keys", "jobs", "audit", "db"):
        assert command in result.stdout + result.stderr
    imported = {
        line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if line.startswith("import time")
    }
    assert "app.cli.users" in imported
    assert not imported & {"alembic", "fastapi", "sqlalchemy", "structlog", "app.main"}

"""The scripts for the embedded database: a backup of a busy service is a whole service again."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import BACKEND, LiveServer, service_environment, serving
from tests.support import PASSWORD
from tools import programs

SCRIPTS = BACKEND.parent / "scripts"


def run(script: str, *arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the repository to its end."""
    return programs.run((SCRIPTS / script, *arguments), env=service_environment(**settings))


@contextmanager
def registering(server: LiveServer) -> Iterator[list[str]]:
    """Register account after account until the block ends; gives the addresses that were accepted."""
    accepted: list[str] = []
    stop = threading.Event()

    def register() -> None:
        with server.client() as client:
            while not stop.is_set():
                email = f"person{len(accepted)}@example.com"
                answer = client.post("/api/v1/auth/register", json={"email": email, "password": PASSWORD})
                if answer.status_code == httpx.codes.CREATED:
                    accepted.append(email)

    thread = threading.Thread(target=register)
    thread.start()
    try:
        yield accepted
    finally:
        stop.set()
        thread.join()


def can_log_in(server: LiveServer, email: str) -> bool:
    """Whether the service knows the account."""
    with server.client() as client:
        login = {"email": email, "password": PASSWORD}
        return client.post("/api/v1/auth/login", json=login).status_code == httpx.codes.OK


def test_a_backup_taken_under_load_restores_to_a_service_with_every_account_of_that_moment(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "second")]
    urls = [f"sqlite:///{folder}/merit.db" for folder in folders]
    for folder in folders:
        folder.mkdir()
    copy = tmp_path / "backups" / "merit.db"
    with serving(folders[0], DATABASE_URL=urls[0]) as server, registering(server) as accepted:
        while len(accepted) < 10:
            threading.Event().wait(0.02)
        before = list(accepted)
        made = run("backup.py", copy, DATABASE_URL=urls[0])
        assert made.returncode == 0, made.stderr
        refused = run("restore.py", copy, DATABASE_URL=urls[0])
        assert "stop the service first" in refused.stderr
        secret_key = server.environment["SECRET_KEY"]
    restored = run("restore.py", copy, DATABASE_URL=urls[1])
    assert restored.returncode == 0, restored.stderr
    assert "verified" in made.stdout
    assert "verified" in restored.stdout
    with serving(folders[1], DATABASE_URL=urls[1], SECRET_KEY=secret_key) as server:
        assert [email for email in before if not can_log_in(server, email)] == []


@pytest.mark.parametrize("script", ["backup.py", "restore.py"])
def test_a_script_says_in_one_line_why_it_does_nothing(script: str, tmp_path: Path) -> None:
    without_file = run(script)
    assert without_file.returncode == 1
    assert f"Usage: {script} FILE" in without_file.stderr
    missing = run(script, tmp_path / "copy.db", DATABASE_URL=f"sqlite:///{tmp_path}/none.db")
    assert missing.returncode == 1
    assert len(missing.stderr.splitlines()) == 1
    unset = run(script, tmp_path / "copy.db", SECRET_KEY="short")
    assert unset.returncode == 78
    assert unset.stderr.startswith("SECRET_KEY ")


def test_waiting_for_the_database_ends_when_it_answers_or_when_time_is_up(tmp_path: Path) -> None:
    assert run("wait_for_db.py", "1", DATABASE_URL=f"sqlite:///{tmp_path}/x.db").returncode == 0
    never = run("wait_for_db.py", "0.1", DATABASE_URL=f"sqlite:///{tmp_path}/no/such/folder/x.db")
    assert (never.returncode, len(never.stderr.splitlines())) == (1, 1)
    assert run("wait_for_db.py", SECRET_KEY="short").returncode == 78

"""`make admin` and `make run` in a fresh copy of what git knows, with these packages and none installed."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tools.programs import BACKEND
from tools.server import free_port, service_environment

ROOT = BACKEND.parent
EMAIL, PASSWORD = "first@example.org", "a long quiet passphrase"
PATIENCE_SECONDS = 40
LOG = "make.log"


@dataclass(frozen=True)
class Copy:
    """A copy of the project, and what its commands see of the environment."""

    root: Path
    environment: dict[str, str]

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.environment['PORT']}"

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """`make run`, up to its first 200; whatever is left of it at the end is killed."""
        with (self.root / LOG).open("wb") as log:
            command = ("make", "run")
            make = subprocess.Popen(
                command, cwd=self.root, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not self._answers():
                assert make.poll() is None, self.said()
                assert time.monotonic() < deadline, self.said()
                time.sleep(0.02)
            yield make
        finally:
            if make.poll() is None:
                os.killpg(make.pid, signal.SIGKILL)
                make.wait()

    def said(self) -> str:
        """What `make run` printed."""
        return (self.root / LOG).read_text()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready").is_success
        except httpx.TransportError:
            return False


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """What a clone would have, and a virtual environment that is this one under another name."""
    if not all(map(shutil.which, ("git", "make", "ps"))) or not (ROOT / ".git").exists():
        pytest.skip("needs make, git, ps and a clone")
    here = Path(sys.prefix)
    if not (here / "pyvenv.cfg").exists():
        pytest.skip("needs to run from a virtual environment")
    root = tmp_path / "merit"
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    venv = root / "backend" / ".venv"
    venv.mkdir()
    for entry in here.iterdir():
        if entry.name not in {".runtime", ".dev"}:
            (venv / entry.name).symlink_to(entry)
    for stamp in (".runtime", ".dev"):
        (venv / stamp).touch()
    # What an outer make or a measured run hands on is not meant for this one.
    outer = ("MAKE", "MFLAGS", "MEASURE_COVERAGE", "PYTHON", "TEST_", "VIRTUAL_ENV")
    environment = {name: value for name, value in service_environment().items() if not name.startswith(outer)}
    for name in ("SECRET_KEY", "ENVIRONMENT"):  # .env's, and the default
        del environment[name]
    return Copy(root, environment | {"PORT": str(free_port()), "BCRYPT_ROUNDS": "4", "DRAIN_SECONDS": "0"})


def children_of(pid: int) -> list[int]:
    """The processes that one has started."""
    listed = subprocess.run(("ps", "-A", "-o", "pid=,ppid="), capture_output=True, text=True, check=True).stdout
    return [int(child) for child, parent in (line.split() for line in listed.splitlines()) if int(parent) == pid]


@pytest.mark.timeout(150)  # a dozen programs one after the other, each started from nothing
def test_two_commands_give_an_administrator_and_a_service(copy: Copy) -> None:
    """`make admin` on a database that does not exist yet, then `make run` twice, as a newcomer would."""
    credentials = {"FIRST_SUPERUSER_EMAIL": EMAIL, "FIRST_SUPERUSER_PASSWORD": PASSWORD}
    environment = copy.environment | credentials
    for outcome in ("created", "already there"):
        made = subprocess.run(
            ("make", "admin"),
            cwd=copy.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        assert f"Administrator {EMAIL}: {outcome}." in made.stdout
        assert PASSWORD not in made.stdout + made.stderr
        assert "Installing" not in made.stdout
    settings = copy.root / ".env"
    written = settings.read_bytes()
    (key,) = [line.partition(b"=")[2] for line in written.splitlines() if line.startswith(b"SECRET_KEY=")]
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    assert len(key) >= 43
    assert len(set(key)) > 16

    for _ in range(2):
        with copy.running() as make:
            login = httpx.post(f"{copy.url}/api/v1/auth/login", json={"email": EMAIL, "password": PASSWORD})
            assert login.status_code == 200, login.text
            assert {f"{copy.url}/api/v1", f"{copy.url}/docs"} <= set(copy.said().split())
            (server,) = children_of(make.pid)
            os.kill(server, signal.SIGTERM)
            assert make.wait(PATIENCE_SECONDS) == 0, copy.said()
            assert "Installing" not in copy.said()
    assert settings.read_bytes() == written

"""The commands of the image, run by hand: the files it copies, which nobody may write, a data folder, another user."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.deployment.dockerfile import ROOT, Stage, read_stages
from tests.e2e.server import free_port
from tests.support import skip_or_fail

IMAGE = read_stages()[-1]
USER, GROUP = (int(number) for number in IMAGE.arguments("USER")[-1].split(":"))
ADMIN = {"FIRST_SUPERUSER_EMAIL": "first@example.org", "FIRST_SUPERUSER_PASSWORD": "a long quiet passphrase"}


@dataclass(frozen=True)
class Container:
    """What a container would see: its folder, its data, its environment, and what makes it another user."""

    workdir: Path
    data: Path
    environment: dict[str, str]
    as_user: tuple[str, ...]

    def run(self, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*self.as_user, *command],
            cwd=self.workdir,
            env=self.environment | settings,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    def start(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        """Start a command that goes on."""
        with log.open("wb") as output:
            return subprocess.Popen(
                [*self.as_user, *command], cwd=self.workdir, env=self.environment, stdout=output, stderr=output
            )


def lay_out(stage: Stage, root: Path) -> Path:
    """Copy what the stage copies to where it would stand, compile it so, and let nobody write it; give the folder."""
    workdir = root / stage.workdir.lstrip("/")
    for source, destination in stage.copies:
        target = workdir / destination
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, target)
    program, *arguments = stage.arguments("RUN")[-1].split()
    assert arguments[:2] == ["-m", "compileall"]
    subprocess.run([Path(sys.executable).with_name(program), *arguments], cwd=workdir, env={}, check=True)
    for path in [root, *root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return workdir


def another_user() -> tuple[str, ...]:
    """What turns root into the image's user, who may still read the interpreter wherever it is installed."""
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        skip_or_fail("setpriv is needed to run as another user", "REQUIRE_SETPRIV")
    reading = "+dac_read_search"
    rights = (f"--inh-caps={reading}", f"--ambient-caps={reading}", f"--bounding-set=-all,{reading}")
    return (setpriv, f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups", "--no-new-privs", *rights)


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        folder = Path(name)
        folder.chmod(0o755)
        yield prepare(folder)
        for path in (folder / "root").rglob("*"):
            if path.is_dir():
                path.chmod(0o755)


def prepare(folder: Path) -> Container:
    """Lay out the image and its data in a folder."""
    data = folder / "data"
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(data, USER, GROUP)
    workdir = lay_out(IMAGE, folder / "root")
    own = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "DATA_DIR": str(data),
        "DRAIN_SECONDS": "0",
        "SECRET_KEY": secrets.token_urlsafe(48),
    }
    return Container(workdir, data, IMAGE.environment | own, another_user())


def test_the_user_can_write_nothing_but_the_data(container: Container) -> None:
    written = container.run(
        "sh", "-c", "id -u; touch app/x; touch ../x; touch $DATA_DIR/x && rm $DATA_DIR/x && echo ok"
    )
    uid, result = written.stdout.split()
    assert int(uid) != 0
    assert result == "ok"
    assert len(written.stderr.splitlines()) == 2


def test_without_a_secret_it_stops_with_one_line(container: Container) -> None:
    before = set(container.data.iterdir())
    refused = container.run(*IMAGE.command, SECRET_KEY="")
    assert refused.returncode == 78
    assert "SECRET_KEY" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert set(container.data.iterdir()) == before


@pytest.mark.timeout(150)  # a dozen programs one after the other, each started from nothing
def test_migrate_make_the_admin_twice_and_serve(container: Container, tmp_path: Path) -> None:
    for command in ("db upgrade", "ensure-admin", "ensure-admin"):
        done = container.run("python", "-m", "app.cli", *command.split(), **ADMIN)
        assert done.returncode == 0, done.stderr
        assert ADMIN["FIRST_SUPERUSER_PASSWORD"] not in done.stdout + done.stderr
    log = tmp_path / "log"
    server = container.start(IMAGE.command, log)
    try:
        deadline = time.monotonic() + 20
        while (check := container.run(*IMAGE.health_check)).returncode != 0:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, check.stderr + log.read_text()
            time.sleep(0.2)
        url = f"http://127.0.0.1:{container.environment['PORT']}"
        with httpx.Client(base_url=url) as client:
            login = {"email": ADMIN["FIRST_SUPERUSER_EMAIL"], "password": ADMIN["FIRST_SUPERUSER_PASSWORD"]}
            token = client.post("/api/v1/auth/login", json=login).json()["access_token"]
            me = client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
            assert me.json()["is_superuser"] is True
            assert client.get("/docs").status_code == 404
        server.send_signal(signal.SIGTERM)
        assert server.wait(15) == 0, log.read_text()
    finally:
        server.kill()
        server.wait()
    assert container.run(*IMAGE.health_check).returncode != 0

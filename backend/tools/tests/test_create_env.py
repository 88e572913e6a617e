"""`make run` writes `.env` once, with a key of its own."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "create_env.py"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder laid out like a fresh clone."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / SCRIPT.name).write_bytes(SCRIPT.read_bytes())
    (tmp_path / ".env.example").write_text("# Signs tokens.\nSECRET_KEY=\nPORT=8000\n")
    return tmp_path


def create(clone: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(clone / "scripts" / SCRIPT.name)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_key_is_random_and_only_the_owner_reads_it(clone: Path) -> None:
    keys = []
    for _ in range(2):
        done = create(clone)
        comment, key, port = (clone / ".env").read_text().splitlines()
        assert (comment, port) == ("# Signs tokens.", "PORT=8000")
        assert key.removeprefix("SECRET_KEY=") not in done.stdout
        assert stat.S_IMODE((clone / ".env").stat().st_mode) == 0o600
        keys.append(key)
        (clone / ".env").unlink()
    assert len(set(keys)) == 2
    assert all(len(key) > len("SECRET_KEY=") + 60 for key in keys)


def test_an_existing_file_is_left_alone(clone: Path) -> None:
    (clone / ".env").write_text("SECRET_KEY=mine\n")
    assert create(clone).returncode == 0
    assert (clone / ".env").read_text() == "SECRET_KEY=mine\n"


@pytest.mark.parametrize("template", [None, "PORT=8000\n"])
def test_a_useless_template_is_said_in_one_line(clone: Path, template: str | None) -> None:
    (clone / ".env.example").unlink()
    if template is not None:
        (clone / ".env.example").write_text(template)
    done = create(clone)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert not (clone / ".env").exists()

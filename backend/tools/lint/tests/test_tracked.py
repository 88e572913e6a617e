"""Secrets, traces of one machine and addresses in lock files."""

import secrets
import subprocess
from pathlib import Path

import pytest

from tools.lint.tracked import check_text, check_tracked, tracked_files

RANDOM = "aZ3" + secrets.token_urlsafe(32)
LOCK = "backend/requirements/runtime.txt"


def messages(name: str, text: str) -> list[str]:
    return [finding.message for finding in check_text(name, text)]


@pytest.mark.parametrize(
    "line",
    [
        "SECRET_KEY=RANDOM",
        '"api_key": "RANDOM"',
        "db_password: 'RANDOM'",
        "AK" + "IA" + "ABCDEFGHIJKLMNOP",
        "gh" + "p_" + "a1" * 20,
        "ey" + "JhbGciOiJIUzI1NiJ9." + "ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0." + "c2lnbmF0dXJlc2lnbmF0dXJl",
        "-----BEGIN EC PRIVATE " + "KEY-----",
        "pat" + "_" + "a1" * 11 + "_" + "Z9" * 30,
        "sas" + "_" + "a1" * 11 + "_" + "Z9" * 30,
    ],
)
def test_a_secret_is_found_and_never_printed(line: str) -> None:
    line = line.replace("RANDOM", RANDOM)
    (message,) = messages("README.md", line)
    assert RANDOM not in message
    assert messages("README.md", f"{line} # not a secret: an example") == []


@pytest.mark.parametrize(
    "line",
    [
        "SECRET_KEY=",
        "SECRET_KEY=change-me-to-something-random",
        "access_token = self.tokens.create_access_token2(user)",
        'password = "correct horse battery staple"',
        'token_url="/api/v1/auth/token"',
    ],
)
def test_a_name_or_a_phrase_is_no_secret(line: str) -> None:
    assert messages("app/auth/service.py", line) == []


@pytest.mark.parametrize("folder", ["work", "root", "Users/ann", "home/ann"])
def test_a_path_of_one_machine_is_found(folder: str) -> None:
    assert messages("Makefile", f"cd /{folder}/project") == ["a path of one machine"]


@pytest.mark.parametrize(
    "path", ["./work/x", "docs/work/x", "~/work", "https://example.org/work/x", "/srv/work", "mysql://root@x"]
)
def test_other_paths_are_fine(path: str) -> None:
    assert messages("Makefile", f"cd {path}") == []


@pytest.mark.parametrize("host", ["pypi" + ".org", "files.python" + "hosted.org", "registry.npm" + "js.org"])
def test_the_address_of_a_registry_is_found(host: str) -> None:
    assert messages("README.md", f"see {host}/x") == ["the address of a package registry"]


@pytest.mark.parametrize(
    "line",
    ["-i x", "--index-url x", "--extra-index-url x", "--find-links x", "-f x", "--trusted-host x", "-e .", "-r y.txt"],
)
def test_a_lock_file_has_no_option_but_hashes(line: str) -> None:
    assert messages(LOCK, line) == ["a lock file names no address and no option but --hash"]


@pytest.mark.parametrize("line", ["a @ file:wheels/a.whl", "a @ https://example.org/a.whl", '"resolved": "http://h/x"'])
def test_a_lock_file_names_no_address(line: str) -> None:
    assert messages(LOCK, line) == ["a lock file names no address and no option but --hash"]


def test_a_lock_file_names_versions_and_hashes() -> None:
    text = "six==1.17.0 ; sys_platform != 'win32' \\\n    --hash=sha256:" + "a" * 64 + "\n    # via -r x\n"
    assert messages(LOCK, text) == []


def test_only_what_git_would_publish_is_looked_at(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text(".env\n")
    (tmp_path / ".env").write_text(f"SECRET_KEY={RANDOM}\n")
    (tmp_path / "new.txt").write_text(f"fine\nSECRET_KEY={RANDOM}\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    assert tracked_files(tmp_path) == [".gitignore", "new.txt", "picture.png"]
    assert [(finding.path, finding.line) for finding in check_tracked(tmp_path)] == [("new.txt", 2)]

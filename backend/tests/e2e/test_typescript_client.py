"""A TypeScript client generated from the exported OpenAPI document: it type-checks, works, and refuses mistakes."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.e2e.server import BACKEND, LiveServer, service_environment
from tests.support import skip_or_fail

SOURCES = Path(__file__).with_name("typescript")
CACHE = BACKEND / "var" / "typescript"


def run(*arguments: str | Path, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program and keep what it says; the caller looks at the exit code."""
    return subprocess.run(arguments, cwd=cwd, env=env, capture_output=True, text=True, timeout=50, check=False)


@pytest.fixture(scope="module")
def node_modules() -> Path:
    """The packages that `package.json` pins, installed once and kept for later runs."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        skip_or_fail("npm and node are not installed", "REQUIRE_NODE", "REQUIRE_BROWSER")
    package = SOURCES / "package.json"
    kept = CACHE / hashlib.sha256(package.read_bytes()).hexdigest()[:16]
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=CACHE))
        shutil.copy(package, folder)
        options = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
        installed = run(npm, "install", *options, cwd=folder)
        if installed.returncode != 0:
            shutil.rmtree(folder)
            skip_or_fail(f"npm cannot install the packages: {installed.stderr}", "REQUIRE_NODE", "REQUIRE_BROWSER")
        try:
            folder.rename(kept)
        except OSError:  # another run was quicker
            shutil.rmtree(folder)
    return kept / "node_modules"


@pytest.fixture(scope="module")
def project(node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's sources beside the types generated from the document that the command line exports."""
    folder = tmp_path_factory.mktemp("typescript") / "client"
    shutil.copytree(SOURCES, folder)
    (folder / "node_modules").symlink_to(node_modules)
    exported = run(sys.executable, "-m", "app.cli", "export-openapi", cwd=BACKEND, env=service_environment())
    assert exported.returncode == 0, exported.stderr
    (folder / "openapi.json").write_text(exported.stdout, encoding="utf-8")
    # Fields with a default may be left out of what is sent.
    options = ("--default-non-nullable=false", "--output", "schema.d.ts")
    generated = run("node_modules/.bin/openapi-typescript", "openapi.json", *options, cwd=folder)
    assert generated.returncode == 0, generated.stderr
    return folder


def compile_client(project: Path) -> subprocess.CompletedProcess[str]:
    """Type-check the program and write its JavaScript."""
    return run("node_modules/.bin/tsc", "--project", ".", cwd=project)


def test_the_generated_client_type_checks_and_logs_in(project: Path, live_server: LiveServer) -> None:
    compiled = compile_client(project)
    assert compiled.returncode == 0, compiled.stdout
    address = f"{os.urandom(6).hex()}@example.com"
    ran = run("node", "build/client.js", live_server.url, address, "a long quiet passphrase", cwd=project)
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said["me"]["email"] == address
    assert said["me"]["full_name"] == "Ada Lovelace"
    assert said["me"]["id"] == said["id"]
    assert said["refusal"] == "email_taken"


def test_the_type_check_catches_every_deliberate_mistake(project: Path) -> None:
    mistakes = project / "mistakes.ts"
    text = mistakes.read_text(encoding="utf-8")
    expectations = re.findall(r"^// @ts-expect-error.*\n", text, re.MULTILINE)
    try:
        mistakes.write_text(text.replace("@ts-expect-error", ""), encoding="utf-8")
        compiled = compile_client(project)
    finally:
        mistakes.write_text(text, encoding="utf-8")
    errors = re.findall(r"^mistakes\.ts\(\d+,\d+\): error TS\d+", compiled.stdout, re.MULTILINE)
    assert compiled.returncode != 0
    assert len(errors) >= len(expectations) >= 5
    assert "client.ts" not in compiled.stdout

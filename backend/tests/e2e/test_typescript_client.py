"""A TypeScript client generated from the exported OpenAPI document: it type-checks, works, and refuses mistakes."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.e2e.server import BACKEND, LiveServer, service_environment
from tests.support import skip_or_fail
from tools import programs

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
    exported = programs.run(("-m", "app.cli", "export-openapi"), env=service_environment())
    assert exported.returncode == 0, exported.stderr
    (folder / "openapi.json").write_text(exported.stdout, encoding="utf-8")
    # The same document gives the same types: they are generated when it has changed, which takes a while.
    kept = node_modules.parent / f"{hashlib.sha256(exported.stdout.encode()).hexdigest()[:16]}.d.ts"
    if not kept.exists():
        # Fields with a default may be left out of what is sent.
        options = ("--default-non-nullable=false", "--output", "schema.d.ts")
        generated = run("node_modules/.bin/openapi-typescript", "openapi.json", *options, cwd=folder)
        assert generated.returncode == 0, generated.stderr
        for outdated in node_modules.parent.glob("*.d.ts"):
            outdated.unlink(missing_ok=True)
        shutil.copy(folder / "schema.d.ts", kept)
    shutil.copy(kept, folder / "schema.d.ts")
    return folder


def test_the_generated_client_type_checks_works_and_refuses_mistakes(project: Path, live_server: LiveServer) -> None:
    """The compiler fails at an expectation that no error meets: that it succeeds proves each mistake to be caught."""
    compiled = run("node_modules/.bin/tsc", "--project", ".", cwd=project)
    assert compiled.returncode == 0, compiled.stdout
    mistakes = (project / "mistakes.ts").read_text(encoding="utf-8")
    assert len(re.findall(r"^// @ts-expect-error", mistakes, re.MULTILINE)) >= 5
    assert (project / "build" / "mistakes.js").exists(), "it was compiled too"
    address = f"{os.urandom(6).hex()}@example.com"
    ran = run("node", "build/client.js", live_server.url, address, "a long quiet passphrase", cwd=project)
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said["me"]["email"] == address
    assert said["me"]["full_name"] == "Ada Lovelace"
    assert said["me"]["id"] == said["id"]
    assert said["refusal"] == "email_taken"

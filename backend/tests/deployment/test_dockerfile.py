"""The image's recipe: what a linter says of it, and the promises that a linter does not know."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment.dockerfile import DOCKERFILE, ROOT, read_stages

BUILD, IMAGE = read_stages()


def test_the_linter_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    linted = subprocess.run(
        [hadolint, "--failure-threshold=info", DOCKERFILE], capture_output=True, text=True, check=False
    )
    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_linter_would_have_something_to_say(tmp_path: Path) -> None:
    careless = tmp_path / "Dockerfile"
    careless.write_text("FROM python:latest\nRUN cd /tmp && pip install x\n", encoding="utf-8")
    hadolint = Path(sys.executable).with_name("hadolint")
    linted = subprocess.run([hadolint, careless], capture_output=True, text=True, check=False)
    assert linted.returncode != 0
    assert "DL3007" in linted.stdout


def test_requirements_are_installed_by_their_hashes_in_a_stage_of_their_own() -> None:
    (install,) = [line for line in BUILD.arguments("RUN") if "pip install" in line]
    assert "--require-hashes" in install
    assert "--only-binary :all:" in install
    assert "pip" not in " ".join(IMAGE.arguments("RUN"))
    assert [line for line in IMAGE.arguments("COPY") if line.startswith("--from")] == [
        "--from=requirements /opt/venv /opt/venv"
    ]


def test_both_stages_stand_on_the_same_pinned_python() -> None:
    assert BUILD.base == IMAGE.base
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", IMAGE.base)


def test_it_does_not_run_as_root() -> None:
    user, group = IMAGE.arguments("USER")[-1].split(":")
    assert int(user) > 0
    assert int(group) > 0
    keywords = [keyword for keyword, _ in IMAGE.instructions]
    assert not {"RUN", "COPY", "ADD"} & set(keywords[keywords.index("USER") :])


def test_it_holds_no_secret_and_runs_by_the_rules_of_production() -> None:
    assert IMAGE.environment["ENVIRONMENT"] == "production"
    assert [name for name in IMAGE.environment if re.search("SECRET|PASSWORD|TOKEN|KEY", name)] == []


def test_it_says_whether_it_is_well_and_how_it_wants_to_stop() -> None:
    assert "/health/ready" in IMAGE.health_check[-1]
    assert IMAGE.arguments("STOPSIGNAL") == ["SIGTERM"]
    assert IMAGE.command == ["python", "-m", "app.cli", "serve"]


@pytest.mark.parametrize(("source", "destination"), [*BUILD.copies, *IMAGE.copies])
def test_the_builder_is_sent_what_the_recipe_copies_and_nothing_else(source: str, destination: str) -> None:
    assert (ROOT / source).exists()
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "**"
    assert f"!{source}" in rules
    copied = {copy for copy, _ in [*BUILD.copies, *IMAGE.copies]}
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied

"""The gate of coverage: what was not run is told, and too much of it fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.core.settings import BACKEND_DIR
from tools import coverage

PROJECT = """
[tool.coverage]
exclude_also = ["raise NotImplementedError"]
"""
CODE = """
def choose(is_left: bool) -> str:
    if is_left:
        return "left"
    return "right"


def not_yet() -> None:
    raise NotImplementedError
"""
TEST = """
from tools.coverage import Measurement

measurement = Measurement()

from app.rooms.choice import choose

for word in {words!r}:
    choose(word == "left")
measurement.write()
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program with a branch, and a line that is not there to be run."""
    rooms = tmp_path / "app" / "rooms"
    rooms.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "app/__init__.py").touch()
    for name, code in (("__init__", ""), ("choice", CODE), ("unseen", "first = 1\nsecond = 2\n")):
        (rooms / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(project: Path, *words: str) -> None:
    """Run the program in a process that is measured."""
    test = [sys.executable, "-c", TEST.format(words=words)]
    subprocess.run(test, cwd=project, env={"PYTHONPATH": str(BACKEND_DIR)}, check=True)


def test_what_no_process_has_run_is_missing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(project, "left")
    assert coverage.read()["files"]["app/rooms/choice.py"]["missing_branches"] == [[3, 5]]
    assert coverage.main(["--under", "100"]) == 1
    told = capsys.readouterr().out
    assert ("choice.py" in told, "unseen.py" in told) == (True, True), "what was never imported counts too"
    run(project, "right")
    assert coverage.read()["files"]["app/rooms/choice.py"]["missing_lines"] == []
    assert coverage.main(["--under", "50"]) == 0
    assert coverage.main(["--under", "100"]) == 1, "the file that nothing imports"
    (project / "app/rooms/unseen.py").unlink()
    coverage.forget()
    run(project, "left", "right")
    assert coverage.main(["--under", "100", "app/rooms"]) == 0


@pytest.mark.parametrize("folder", ["app/room", "app/halls"])
def test_a_folder_that_is_not_there_is_no_success(project: Path, folder: str) -> None:
    run(project, "left", "right")
    with pytest.raises(SystemExit):
        coverage.main(["--under", "0", folder])


def test_a_run_that_measured_nothing_is_no_success(project: Path) -> None:
    with pytest.raises(FileNotFoundError):
        coverage.main([])
    coverage.forget()
    assert coverage.main(["--forget"]) == 0

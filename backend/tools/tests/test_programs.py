"""Forked programs: as alike to `python …` as what uses them needs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tools import programs

SCRIPT = """
import atexit, os, signal, sys, threading
atexit.register(print, "at exit")
print(__name__, sys.argv[1:], os.getcwd(), os.environ["OWN"], "HOME" in os.environ, "app.main" in sys.modules)
print(sys.stdin.read() == "", sys.path[0], file=sys.stderr)
threading.Timer(0.05, print, ["thread"]).start()
{end}
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "program.py"


def run(script: Path, end: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    script.write_text(SCRIPT.format(end=end))
    return programs.run((script, *arguments), env={"OWN": "1"}, cwd=script.parent)


def test_a_program_has_its_own_arguments_folder_environment_and_streams(script: Path) -> None:
    done = run(script, "", "a", "b c")
    name, folder = "__main__", script.parent
    is_preloaded = sys.platform == "linux"
    assert done.stdout == f"{name} ['a', 'b c'] {folder} 1 False {is_preloaded}\nthread\nat exit\n"
    assert done.stderr == f"True {folder}\n"
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit('no')", 1, "no\n"),
        ("raise LookupError('lost')", 1, "LookupError: lost\n"),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
        ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT, "KeyboardInterrupt\n"),
    ],
)
def test_it_ends_as_any_program_does(script: Path, end: str, code: int, said: str) -> None:
    done = run(script, end)
    assert done.returncode == code
    assert done.stderr.endswith(said)


def test_a_module_is_found_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("import sys; print('hello', sys.argv[1:])")
    program = programs.start(("-m", "hello", "you"), env={}, cwd=tmp_path, stdout=subprocess.PIPE)
    assert program.stdout is not None
    with program.stdout:
        assert program.stdout.read() == "hello ['you']\n"
    assert program.wait(10) == program.poll() == 0


def test_it_is_waited_for_and_killed(script: Path) -> None:
    script.write_text("import signal; signal.pause()")
    first, second = (programs.start((script,), env={}) for _ in range(2))
    assert first.pid != second.pid
    assert first.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        first.wait(0.01)
    first.kill()
    assert first.wait(10) == -signal.SIGKILL
    second.terminate()
    assert second.wait(10) == -signal.SIGTERM
    second.kill()  # nothing happens to whoever has its number now
    with pytest.raises(subprocess.TimeoutExpired):
        programs.run((script,), env={}, timeout=0.01)


def test_no_descriptor_of_another_program_is_left_open(script: Path) -> None:
    """A pipe ends when its program ends, although others were started meanwhile."""
    if sys.platform != "linux":
        pytest.skip("tells open files by /proc")
    script.write_text("import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])")
    sleeper = script.with_name("sleeper.py")
    sleeper.write_text("import signal; signal.pause()")
    other = programs.start((sleeper,), env=dict(os.environ))
    try:
        assert programs.run((script,), env={}).stdout == "[0, 1, 2]\n"
    finally:
        other.kill()

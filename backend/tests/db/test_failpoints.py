"""Named places at which a test can make the process fail."""

import os
import signal
import subprocess
import sys

import pytest

from app.core.errors import ConfigurationError, ServiceUnavailableError
from app.core.settings import BACKEND_DIR
from app.db.failpoints import Failpoints


def test_without_a_spec_nothing_happens() -> None:
    for failpoints in (Failpoints(), Failpoints(" , ")):
        failpoints.hit("before_commit")


def test_an_armed_place_fails_each_time_or_at_the_named_time() -> None:
    failpoints = Failpoints("a:error, b:error:2")
    for _ in range(2):
        with pytest.raises(ServiceUnavailableError):
            failpoints.hit("a")
    failpoints.hit("b")
    with pytest.raises(ServiceUnavailableError):
        failpoints.hit("b")
    failpoints.hit("b")
    failpoints.hit("c")


@pytest.mark.parametrize("spec", ["a", "a:explode", "a:kill:x", "a:error:-1", ":"])
def test_a_spec_that_means_nothing_is_refused(spec: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^FAILPOINTS"):
        Failpoints(spec)


def test_kill_sends_the_signal_that_nothing_can_catch(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    with pytest.raises(ServiceUnavailableError):
        Failpoints("a:kill").hit("a")
    assert sent == [(os.getpid(), signal.SIGKILL)]


def test_kill_ends_the_process_at_once_at_the_nth_passing() -> None:
    """As `kill -9` does: no handler, no cleanup, nothing flushed."""
    program = (
        "import sys; from app.db.failpoints import Failpoints\n"
        "points = Failpoints('after_commit:kill:3')\n"
        "for passing in range(1, 9): print(passing, flush=True); points.hit('after_commit')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=BACKEND_DIR, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "1\n2\n3\n")

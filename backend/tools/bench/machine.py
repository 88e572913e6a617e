"""Which core runs what, and what a process uses. Linux only."""

import os
import re
import subprocess
import sys
from pathlib import Path

SERVER_CORE = 0
LOAD_CORE = 1
# Read before this process is pinned itself.
CAN_PIN = {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0)


def pin(pid: int, core: int) -> bool:
    """Puts a process with all its threads on one core; False where the system refuses."""
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})
    except OSError:
        return False
    return True


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    children = {pid}
    for stat in sorted(Path("/proc").glob("[0-9]*/stat"), key=lambda path: int(path.parent.name)):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if parent in children:
            children.add(int(stat.parent.name))
    return sorted(children)


def memory_mib(pid: int) -> float:
    """Proportional set size in MiB: shared pages are counted by their share."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


_BCRYPT = """
import bcrypt, time
salt, deadline, done = bcrypt.gensalt(12), time.perf_counter() + {seconds}, 0
started = time.perf_counter()
while time.perf_counter() < deadline:
    bcrypt.hashpw(b"raw speed of this core", salt)
    done += 1
print(done / (time.perf_counter() - started))
"""


def raw_bcrypt_rate(seconds: float) -> float:
    """Hashes a second of bare bcrypt at cost 12 on the server's core."""
    command = [sys.executable, "-c", _BCRYPT.format(seconds=seconds)]
    result = subprocess.run(
        command, check=True, capture_output=True, text=True, preexec_fn=lambda: on_core(SERVER_CORE)
    )
    return float(result.stdout)


def on_core(core: int) -> None:
    """Puts the calling process on one core, where that is possible."""
    if CAN_PIN:
        os.sched_setaffinity(0, {core})

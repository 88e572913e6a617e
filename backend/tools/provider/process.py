"""A provider in a process of its own."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tools.programs import start


@contextmanager
def provider_process(faults: str = "") -> Iterator[str]:
    """A provider in another process, as the `base_url` that it has; it is killed at the end.

    Put faults before its `/v1`, such as `/with/status=500/v1`.
    """
    program = start(
        ("-m", "tools.provider", "--port", "0", "--faults", faults), env=dict(os.environ), stdout=subprocess.PIPE
    )
    try:
        assert program.stdout is not None  # noqa: S101 - it was asked for
        with program.stdout as output:
            yield output.readline().strip()
    finally:
        program.kill()
        program.wait()

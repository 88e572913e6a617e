"""The tests of the service.

Where the environment wants no bytecode beside the sources, it is kept under `var/`: without any, each process of a test
run would compile everything anew, which takes longer than most of the tests.
"""

import os
import sys
from pathlib import Path

if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).resolve().parents[1] / "var" / "pycache")
    del os.environ["PYTHONDONTWRITEBYTECODE"]
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

"""Create the first administrator: the same as `python -m app.cli create-admin`, with the same options."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "backend"))

from app.cli import app

if __name__ == "__main__":
    app(["create-admin", *sys.argv[1:]])

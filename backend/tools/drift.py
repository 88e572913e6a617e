"""Compare the models with a database that the migrations have just built. Run: `python -m tools.drift` in `backend/`.

The database is a temporary SQLite file or, where TEST_DATABASE_URL names a server, one of its own beside the one named.
"""

import os
import secrets
import subprocess
import sys
from pathlib import Path

from tools.databases import fresh_database


def main(url: str | None) -> int:
    """Upgrade an empty database to the newest revision and let Alembic look for differences; 0 if there are none."""
    alembic = Path(sys.executable).with_name("alembic")
    with fresh_database(url) as database_url:
        environment = {"SECRET_KEY": secrets.token_urlsafe(48), **os.environ, "DATABASE_URL": database_url}
        for command in (["upgrade", "head"], ["check"]):
            done = subprocess.run([alembic, *command], env=environment, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                print(done.stdout, done.stderr, sep="", file=sys.stderr)
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ.get("TEST_DATABASE_URL") or None))

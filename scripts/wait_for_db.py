"""Wait until the database of DATABASE_URL lets us in; exit code 1 if not in time. Usage: wait_for_db.py [SECONDS]"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "backend"))

from app.core.errors import ConfigurationError
from app.core.settings import Settings
from app.db.wait import wait_for_database

DEFAULT_SECONDS = 60.0

if __name__ == "__main__":
    try:
        wait_for_database(Settings.load(), float(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_SECONDS)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except TimeoutError as error:
        sys.exit(str(error))

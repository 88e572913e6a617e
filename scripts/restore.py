"""Put a backup in the place of the embedded database; the service must be stopped. Usage: restore.py FILE"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "backend"))

from app.core.errors import ConfigurationError
from app.core.settings import Settings
from app.db.backup import BackupError, embedded_database, restore

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        report = restore(Path(sys.argv[1]), embedded_database(Settings.load()))
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except BackupError as error:
        sys.exit(f"Nothing restored: {error}")
    print(f"{report.path}: {report.rows} rows, revision {report.revision}, verified")

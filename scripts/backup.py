"""Copy the embedded database to a new, verified file while the service runs. Usage: backup.py FILE"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "backend"))

from app.core.errors import ConfigurationError
from app.core.settings import Settings
from app.db.backup import BackupError, back_up, embedded_database

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        report = back_up(embedded_database(Settings.load()), Path(sys.argv[1]))
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except BackupError as error:
        sys.exit(f"No backup: {error}")
    print(f"{report.path}: {report.rows} rows, {report.size_bytes} bytes, revision {report.revision}, verified")

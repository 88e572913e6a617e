"""The folder of the embedded database."""

import stat
from pathlib import Path

from tests.support import make_settings


def test_it_is_for_the_services_own_user_alone(tmp_path: Path) -> None:
    """It holds password hashes."""
    folder = tmp_path / "var"
    settings = make_settings("sqlite:///unused.db", folder)
    settings.make_data_dir()
    settings.make_data_dir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700

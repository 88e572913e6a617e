"""Where the browser of the browser tests is."""

import os
import shutil
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_APPS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


def find_chromium() -> str | None:
    """Return the path of an installed Chromium or Chrome, `CHROMIUM` in the environment first; None without one."""
    candidates = [os.environ.get("CHROMIUM"), *map(shutil.which, NAMES), *MAC_APPS]
    return next((path for path in candidates if path and Path(path).is_file()), None)

"""Write `.env` from `.env.example` with a random SECRET_KEY; an existing `.env` is left alone. Needs no package."""

import os
import re
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEY_LINE = re.compile(r"^#?\s*SECRET_KEY=.*$", re.MULTILINE)


def create_env(root: Path) -> bool:
    """Make `root/.env`, readable by its owner alone, and say whether it was made.

    Raises:
        ValueError: the template has no line for SECRET_KEY.
    """
    template = (root / ".env.example").read_text(encoding="utf-8")
    content, replaced = KEY_LINE.subn(f"SECRET_KEY={secrets.token_urlsafe(48)}", template, count=1)
    if not replaced:
        raise ValueError(".env.example has no line for SECRET_KEY")
    try:
        descriptor = os.open(root / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    return True


if __name__ == "__main__":
    try:
        if create_env(ROOT):
            print("Wrote .env with a random SECRET_KEY.")
    except (OSError, ValueError) as error:
        sys.exit(f"Cannot write .env: {error}")

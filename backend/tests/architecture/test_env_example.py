"""`.env.example` shows every setting a person may set, and nothing else."""

import re
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.core.settings import BACKEND_DIR, Settings

EXAMPLE = BACKEND_DIR.parent / ".env.example"
ENTRY = re.compile(r"^(#?)([A-Z][A-Z0-9_]*)=(.*)$")


def entries() -> dict[str, tuple[str, str, str]]:
    """Each name with the line above it, its comment sign, and its value."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    found: dict[str, tuple[str, str, str]] = {}
    for above, line in pairwise(lines):
        if match := ENTRY.match(line):
            assert match[2] not in found, f"{match[2]} is there twice"
            found[match[2]] = (above, match[1], match[3])
    return found


def shown(default: Any) -> str:
    """A default as an environment file has it; what depends on the machine is empty."""
    match default:
        case SecretStr():
            return default.get_secret_value()
        case Enum():
            return str(default.value)
        case bool():
            return str(default).lower()
        case None | () | Path():
            return ""
        case _:
            return str(default)


def test_every_setting_is_there_with_its_default_and_nothing_else() -> None:
    expected = {
        name.upper(): ("" if field.is_required() else shown(field.default))
        for name, field in Settings.model_fields.items()
    }
    assert {name: value for name, (_, _, value) in entries().items()} == expected


def test_every_setting_has_one_comment_line_that_says_something() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    for name, (above, _, _) in entries().items():
        assert re.fullmatch(r"# \S.{10,110}[.]", above), name
        assert lines[lines.index(above) - 1] == "", f"{name} has more than one comment line"


def test_only_the_key_is_set_and_it_is_empty() -> None:
    """The file is no default secret: as it is, the service refuses to start with it."""
    active = {name: value for name, (_, sign, value) in entries().items() if not sign}
    assert active == {"SECRET_KEY": ""}


def test_every_line_taken_as_it_is_gives_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes away every `#` changes nothing."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    text = re.sub(r"^#(?=[A-Z])", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    file = tmp_path / ".env"
    file.write_text(text.replace("SECRET_KEY=", f"SECRET_KEY={'k' * 40}"), encoding="utf-8")
    loaded = Settings(_env_file=file)
    assert loaded == Settings(_env_file=None, secret_key=SecretStr("k" * 40))

"""A database server that hangs up while a connection is made."""

from pathlib import Path
from typing import Any, NoReturn

import pytest

from app.core.errors import ServiceUnavailableError
from app.db.engine import Database
from app.db.errors import to_app_error
from app.db.failpoints import Failpoints
from tests.support import make_settings


async def test_the_drivers_complaint_becomes_an_honest_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 2: on uvloop asyncmy raises RuntimeError, which would be answered 500."""
    database = Database(make_settings("mysql://nobody@127.0.0.1:9/none", tmp_path), Failpoints())

    def hang_up(*_arguments: Any, **_options: Any) -> NoReturn:
        raise RuntimeError("Transport does not expose socket instance")

    monkeypatch.setattr(database.reader.dialect, "connect", hang_up)
    with pytest.raises(ConnectionResetError) as caught:
        await database.check()
    assert isinstance(to_app_error(caught.value), ServiceUnavailableError)
    await database.close()

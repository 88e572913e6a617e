"""Waiting for a database that is not there yet."""

import socket
import threading
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.core.settings import Settings
from app.db.wait import wait_for_database


def settings_of(url: str) -> Settings:
    """Settings for one database."""
    return Settings(secret_key=SecretStr("s" * 40), database_url=SecretStr(url))


def test_it_returns_as_soon_as_the_database_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "late"
    maker = threading.Timer(0.3, folder.mkdir)
    maker.start()
    started = time.monotonic()
    wait_for_database(settings_of(f"sqlite:///{folder}/x.db"), seconds=10)
    assert time.monotonic() - started < 5
    maker.join()


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_it_gives_up_in_time_and_tells_no_password(scheme: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(TimeoutError, match=r"did not answer within 0\.1 s") as caught:
            wait_for_database(settings_of(f"{scheme}://user:very-secret@127.0.0.1:{port}/x"), seconds=0.1)
    assert "very-secret" not in str(caught.value)

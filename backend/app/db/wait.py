"""Waits for a database that is still starting."""

import time

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from app.core.settings import Settings
from app.db.url import database_url, sync_connect_args

_PAUSE_SECONDS = 0.2


def wait_for_database(settings: Settings, seconds: float) -> None:
    """Return as soon as the database lets us in.

    Raises:
        TimeoutError: it did not within `seconds`; the message has the last reason and no password.
    """
    url = database_url(settings)
    engine = create_engine(url.synchronous, connect_args=sync_connect_args(url, settings), poolclass=NullPool)
    deadline = time.monotonic() + seconds
    while True:
        try:
            engine.connect().close()
        except OperationalError as error:
            if time.monotonic() >= deadline:
                reason = str(error.orig).strip().partition("\n")[0]
                raise TimeoutError(f"the database did not answer within {seconds:g} s: {reason}") from None
            time.sleep(_PAUSE_SECONDS)
        else:
            return

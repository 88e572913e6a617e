"""What may be used where."""

import pytest

from tools.lint import boundaries
from tools.lint.tests.conftest import Check


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("await session.commit()", [1]),
        ("await self.session.rollback()", [1]),
        ("await session.commit()  # commit: ", [1]),
        ("await session.commit()  # because", [1]),
        ("await session.commit()  # commit: security write before a refusal", []),
        ("await session.flush()", []),
    ],
)
def test_a_commit_needs_a_reason(lines_found: Check, line: str, found: list[int]) -> None:
    assert lines_found(boundaries.commits_are_marked, line) == found


def test_the_reason_stands_on_the_last_line_of_the_call(lines_found: Check) -> None:
    text = """
        session.commit(
        )  # commit: the answer waits for it
    """
    assert lines_found(boundaries.commits_are_marked, text) == []


def test_tests_may_commit(lines_found: Check) -> None:
    assert lines_found(boundaries.commits_are_marked, "session.commit()", "tests/test_x.py") == []


@pytest.mark.parametrize(
    "text",
    [
        "from fastapi import HTTPException",
        "from starlette.exceptions import HTTPException",
        "x = fastapi.HTTPException",
    ],
)
def test_http_exceptions_stay_in_api(lines_found: Check, text: str) -> None:
    assert lines_found(boundaries.http_exceptions_stay_in_api, text) == [1]
    assert lines_found(boundaries.http_exceptions_stay_in_api, text, "app/api/problems.py") == []


def test_no_background_tasks(lines_found: Check) -> None:
    assert lines_found(boundaries.no_background_tasks, "from fastapi import BackgroundTasks") == [1]
    assert lines_found(boundaries.no_background_tasks, "from fastapi import APIRouter") == []


def test_no_base_http_middleware(lines_found: Check) -> None:
    text = "from starlette.middleware.base import BaseHTTPMiddleware"
    assert lines_found(boundaries.no_base_http_middleware, text, "app/api/middleware.py") == [1]


@pytest.mark.parametrize(
    ("text", "home"),
    [
        ("from jose import jwt", "app/auth/tokens.py"),
        ("import jose.jws", "app/auth/tokens.py"),
        ("from passlib.hash import bcrypt", "app/auth/passwords.py"),
        ("import bcrypt", "app/auth/passwords.py"),
    ],
)
def test_libraries_stay_behind_their_wrapper(lines_found: Check, text: str, home: str) -> None:
    assert lines_found(boundaries.libraries_stay_behind_their_wrapper, text) == [1]
    assert lines_found(boundaries.libraries_stay_behind_their_wrapper, text, home) == []
    assert lines_found(boundaries.libraries_stay_behind_their_wrapper, text, "tests/auth/test_tokens.py") == []


@pytest.mark.parametrize(
    "text",
    ["datetime.now(UTC)", "datetime.datetime.utcnow()", "date.today()", "time.time()", "from time import time"],
)
def test_time_comes_from_the_clock(lines_found: Check, text: str) -> None:
    assert lines_found(boundaries.time_comes_from_the_clock, text) == [1]
    assert lines_found(boundaries.time_comes_from_the_clock, text, "app/core/clock.py") == []


@pytest.mark.parametrize("text", ["clock.now()", "time.monotonic()", "self.clock.now()"])
def test_the_clock_may_be_asked(lines_found: Check, text: str) -> None:
    assert lines_found(boundaries.time_comes_from_the_clock, text) == []


@pytest.mark.parametrize("text", ["os.environ['X']", "os.getenv('X')", "from os import environ"])
def test_environment_is_read_by_settings(lines_found: Check, text: str) -> None:
    assert lines_found(boundaries.environment_is_read_by_settings, text) == [1]
    assert lines_found(boundaries.environment_is_read_by_settings, text, "app/core/settings.py") == []

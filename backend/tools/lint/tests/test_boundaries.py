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


def test_a_savepoint_needs_a_reason(lines_found: Check) -> None:
    line = "async with session.begin_nested():"
    assert lines_found(boundaries.savepoints_are_marked, f"async def f():\n    {line}\n        pass") == [2]
    assert (
        lines_found(boundaries.savepoints_are_marked, f"async def f():\n    {line}  # savepoint: why\n        pass")
        == []
    )


@pytest.mark.parametrize("method", ["on_conflict_do_nothing", "on_conflict_do_update", "on_duplicate_key_update"])
def test_upserts_are_written_once(lines_found: Check, method: str) -> None:
    text = f"statement = insert(table).{method}()"
    assert lines_found(boundaries.upserts_are_written_once, text, "app/jobs/repository.py") == [1]
    assert lines_found(boundaries.upserts_are_written_once, text, "app/db/upsert.py") == []


@pytest.mark.parametrize("path", ["app/cli/doctor.py", "app/chat/service.py", "app/main.py"])
def test_a_repository_is_private_to_its_domain(lines_found: Check, path: str) -> None:
    for text in (
        "from app.auth.roles.repository import X",
        "from app.auth import repository",
        "import app.auth.repository",
    ):
        assert lines_found(boundaries.repositories_are_private, text, path) == [1]
        assert lines_found(boundaries.repositories_are_private, text, "app/auth/guests/service.py") == []
    assert lines_found(boundaries.repositories_are_private, "from app.db.repository import X", path) == []
    assert lines_found(boundaries.repositories_are_private, "from app.auth.service import X", path) == []


@pytest.mark.parametrize(
    ("module", "found"),
    [
        ("app.auth.models", [1]),
        ("app.auth.password_policy", [1]),
        ("app.chat.service", [1]),
        ("app.auth.types", []),
        ("app.auth.schemas", []),
        ("app.core.text", []),
        ("pydantic", []),
    ],
)
def test_schemas_import_types_only(lines_found: Check, module: str, found: list[int]) -> None:
    text = f"from {module} import X"
    assert lines_found(boundaries.schemas_import_types_only, text, "app/chat/schemas.py") == found
    assert lines_found(boundaries.schemas_import_types_only, text, "app/chat/service.py") == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("update(User).where(x)", [1]),
        ("delete(AuthSession)", [1]),
        ("insert(Job)", [1]),
        ("update(User.__table__)", []),
        ("delete(_POSTINGS)", []),
        ("update(values)", []),
        ("select(User)", []),
    ],
)
def test_writes_are_core_statements(lines_found: Check, text: str, found: list[int]) -> None:
    assert lines_found(boundaries.writes_are_core_statements, text, "app/auth/repository.py") == found
    assert lines_found(boundaries.writes_are_core_statements, text, "tests/auth/test_login.py") == []


def test_statements_stay_in_repositories(lines_found: Check) -> None:
    rule = boundaries.statements_stay_in_repositories
    for text in ("from sqlalchemy import select", "from sqlalchemy.dialects.mysql import insert"):
        assert lines_found(rule, text, "app/chat/service.py") == [1]
        assert lines_found(rule, text, "app/chat/repository.py") == []
        assert lines_found(rule, text, "app/db/upsert.py") == []
        assert lines_found(rule, text, "app/auth/notices.py") == []
    assert lines_found(rule, "from sqlalchemy.exc import IntegrityError", "app/chat/service.py") == []


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

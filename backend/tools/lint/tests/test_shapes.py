"""The size and the form of code."""

import pytest

from tools.lint import shapes
from tools.lint.tests.conftest import Check


@pytest.mark.parametrize(("length", "found"), [(399, []), (400, [400])])
def test_a_file_has_under_400_lines(lines_found: Check, length: int, found: list[int]) -> None:
    assert lines_found(shapes.files_are_short, "x = 1\n" * length) == found


@pytest.mark.parametrize(("length", "found"), [(39, []), (40, [1])])
def test_a_function_has_under_40_lines_besides_its_docstring(lines_found: Check, length: int, found: list[int]) -> None:
    text = 'async def f():\n    """One.\n\n    Two.\n    """\n' + "    x = 1\n" * length
    assert lines_found(shapes.functions_are_short, text) == found
    assert lines_found(shapes.functions_are_short, text, "tests/test_x.py") == []


def test_parameters_are_annotated(lines_found: Check) -> None:
    text = """
        from fastapi import Depends, Query
        from pathlib import Path
        def one(x: int = Depends(f)): ...
        async def two(*, x: int = Query(1)): ...
        def three(x: Annotated[int, Query()] = 1, y: Path = Path("x")): ...
    """
    assert lines_found(shapes.parameters_are_annotated, text) == [3, 4]


def test_public_things_have_docstrings(lines_found: Check) -> None:
    text = '''
        def one(): ...
        def _private(): ...
        class Two:
            def __init__(self): ...
            def three(self): ...
            @x.setter
            def four(self, x): ...
        class Five(Base):
            """Said."""
            def six(self): return 1
            def seven(self):
                a = 1
                b = 1
                c = 1
                d = 1
                e = 1
                return 1
    '''
    assert lines_found(shapes.public_things_have_docstrings, text) == [1, 3, 5, 11]


@pytest.mark.parametrize("caught", ["", " Exception", " BaseException", " (ValueError, Exception)", " Exception as e"])
def test_a_broad_handler_raises_or_logs(lines_found: Check, caught: str) -> None:
    handler = f"try:\n    x()\nexcept{caught}:\n"
    assert lines_found(shapes.broad_handlers_raise_or_log, handler + "    pass") == [3]
    assert lines_found(shapes.broad_handlers_raise_or_log, handler + "    raise") == []
    assert lines_found(shapes.broad_handlers_raise_or_log, handler + "    log.exception('x')") == []


def test_a_narrow_handler_may_do_as_it_likes(lines_found: Check) -> None:
    assert lines_found(shapes.broad_handlers_raise_or_log, "try:\n    x()\nexcept ValueError:\n    pass") == []


@pytest.mark.parametrize(
    ("call", "found"),
    [("relationship()", [1]), ("relationship(lazy='select')", [1]), ("orm.relationship(lazy='raise')", [])],
)
def test_relationships_raise(lines_found: Check, call: str, found: list[int]) -> None:
    assert lines_found(shapes.relationships_raise, call) == found


@pytest.mark.parametrize("path", ["app/db/session.py", "tests/conftest.py", "alembic/env.py"])
def test_tables_come_from_migrations(lines_found: Check, path: str) -> None:
    assert lines_found(shapes.tables_come_from_migrations, "run_sync(Base.metadata.create_all)", path) == [1]

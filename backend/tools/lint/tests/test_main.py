"""All rules together."""

from pathlib import Path

from tools.lint.__main__ import check_sources
from tools.lint.source import Source, read_sources


def test_every_file_is_held_against_every_rule() -> None:
    first = Source("app/auth/one.py", "def f(): ...")
    second = Source("app/auth/two.py", "async def _g():\n    await session.commit()")
    assert [str(finding).partition(": ")[0] for finding in check_sources([first, second])] == [
        "app/auth/one.py:1",
        "app/auth/two.py:2",
    ]


def test_a_file_that_does_not_parse_is_a_finding() -> None:
    (finding,) = check_sources([Source("app/one.py", "x = 1\ndef (:")])
    assert (finding.path, finding.line) == ("app/one.py", 2)


def test_sources_are_read_from_the_folders_named(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "a.py").write_text("x = 1")
    (tmp_path / "other.py").write_text("x = 2")
    assert read_sources(tmp_path, ["app", "absent"]) == [Source("app/a.py", "x = 1")]

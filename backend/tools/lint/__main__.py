"""Print every broken rule of the house as `file:line: message`; the exit code is 1 if there is one."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.lint import boundaries, shapes
from tools.lint.schemas import check_schemas
from tools.lint.source import Finding, Rule, Source, read_sources
from tools.lint.tracked import check_tracked

BACKEND = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("app", "alembic", "tests", "tools")
RULES: tuple[Rule, ...] = (
    boundaries.commits_are_marked,
    boundaries.environment_is_read_by_settings,
    boundaries.http_exceptions_stay_in_api,
    boundaries.libraries_stay_behind_their_wrapper,
    boundaries.no_background_tasks,
    boundaries.no_base_http_middleware,
    boundaries.repositories_are_private,
    boundaries.savepoints_are_marked,
    boundaries.schemas_import_types_only,
    boundaries.statements_stay_in_repositories,
    boundaries.time_comes_from_the_clock,
    boundaries.upserts_are_written_once,
    boundaries.writes_are_core_statements,
    shapes.broad_handlers_raise_or_log,
    shapes.files_are_short,
    shapes.functions_are_short,
    shapes.parameters_are_annotated,
    shapes.public_things_have_docstrings,
    shapes.relationships_raise,
    shapes.tables_come_from_migrations,
)


def check_sources(sources: Iterable[Source]) -> Iterator[Finding]:
    """Hold every rule about Python code against `sources`; a file that does not parse is a finding itself."""
    parsed = []
    for source in sources:
        try:
            _ = source.tree
        except SyntaxError as error:
            yield Finding(source.path, error.lineno or 1, f"not valid Python: {error.msg}")
        else:
            parsed.append(source)
            for rule in RULES:
                yield from rule(source)
    yield from check_schemas(parsed)


def main() -> int:
    """Check the repository this file belongs to; the paths printed are relative to its root."""
    code = (
        Finding(f"{BACKEND.name}/{finding.path}", finding.line, finding.message)
        for finding in check_sources(read_sources(BACKEND, FOLDERS))
    )
    findings = sorted({*code, *check_tracked(BACKEND.parent)})
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

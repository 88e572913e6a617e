"""Rules about what may be used where."""

import ast
import re
from collections.abc import Iterator

from tools.lint.source import Finding, Source, imported_names, name_of

COMMIT_MARKER = "# commit: "
SAVEPOINT_MARKER = "# savepoint: "
UPSERTS = {"on_conflict_do_nothing", "on_conflict_do_update", "on_duplicate_key_update"}
STATEMENTS = {"delete", "exists", "insert", "literal", "select", "text", "union", "union_all", "update"}
WRITES = {"delete", "insert", "update"}
MODEL_NAME = re.compile(r"[A-Z][a-z]\w*")
WHERE_SQL_STANDS = {"repository.py", "models.py"}
SQL_ELSEWHERE = {
    "app/auth/notices.py",  # NOTIFY is no statement about rows
    "app/search/retrieval.py",  # the part of the repository that ranks
}
CLOCK_CALLS = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "time.time",
    "time.time_ns",
}


def commits_are_marked(source: Source) -> Iterator[Finding]:
    """A session is committed or rolled back by its dependency; another place says why on its line: `# commit: why`."""
    yield from _unmarked(source, {"commit", "rollback"}, COMMIT_MARKER)


def savepoints_are_marked(source: Source) -> Iterator[Finding]:
    """A change after an insert that failed is a deadlock on MySQL: `app.db.upsert` does both in one statement."""
    yield from _unmarked(source, {"begin_nested"}, SAVEPOINT_MARKER)


def _unmarked(source: Source, methods: set[str], marker: str) -> Iterator[Finding]:
    if not source.under("app"):
        return
    for node in source.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods:
            line = source.lines[(node.end_lineno or node.lineno) - 1]
            if not line.partition(marker)[2].strip():
                yield source.find(node, f"{node.func.attr}() without a reason on its line ('{marker}why')")


def upserts_are_written_once(source: Source) -> Iterator[Finding]:
    """What databases write in their own ways is written in `app.db`."""
    if not source.under("app") or source.under("app/db"):
        return
    for node in source.nodes:
        if isinstance(node, ast.Attribute) and node.attr in UPSERTS:
            yield source.find(node, f"{node.attr}() outside app/db; take a statement of app.db.upsert")


def writes_are_core_statements(source: Source) -> Iterator[Finding]:
    """A statement that writes names a table: for a model, the ORM would take its share of the time."""
    if not source.under("app"):
        return
    for node in source.nodes:
        if isinstance(node, ast.Call) and node.args and name_of(node.func) in WRITES:
            target = node.args[0]
            if isinstance(target, ast.Name) and MODEL_NAME.fullmatch(target.id):
                yield source.find(node, f"{name_of(node.func)}({target.id}); write to its __table__ by Session.change")


def repositories_are_private(source: Source) -> Iterator[Finding]:
    """A domain's repository is its own; others, the command line too, ask its services."""
    if not source.under("app"):
        return
    domain = _domain_of(source.path.split("/"))
    for node, imported in imported_names(source):
        parts = imported.split(".")
        if parts[0] == "app" and "repository" in parts and _domain_of(parts) not in {domain, "db"}:
            yield source.find(node, f"the repository of {_domain_of(parts)} is private to it; ask its service")


def _domain_of(parts: list[str]) -> str:
    return parts[1].removesuffix(".py")


def schemas_import_types_only(source: Source) -> Iterator[Finding]:
    """What JSON looks like depends on no table and no rule: a bound that both need stands in `types`."""
    if not source.under("app") or not source.path.endswith("/schemas.py"):
        return
    for node in source.nodes:
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("app."):
            continue
        module = node.module or ""
        if not module.startswith("app.core.") and module.rpartition(".")[2] not in {"types", "schemas"}:
            yield source.find(node, f"schemas import types, schemas and app.core, not {module}")


def statements_stay_in_repositories(source: Source) -> Iterator[Finding]:
    """Every SQL statement of a domain is in its repository."""
    is_home = source.path.rpartition("/")[2] in WHERE_SQL_STANDS or source.path in SQL_ELSEWHERE
    if not source.under("app") or source.under("app/db") or is_home:
        return
    for node, imported in imported_names(source):
        package, _, name = imported.rpartition(".")
        if package.partition(".")[0] == "sqlalchemy" and name in STATEMENTS:
            yield source.find(node, f"{name}() outside a repository")


def http_exceptions_stay_in_api(source: Source) -> Iterator[Finding]:
    """Below `api` a refusal is an `AppError`: services know no HTTP."""
    if source.under("app") and not source.under("app/api"):
        yield from _uses(source, "HTTPException", "HTTPException outside app/api; raise an AppError")


def no_background_tasks(source: Source) -> Iterator[Finding]:
    """Work after the answer is lost with the process."""
    if source.under("app"):
        yield from _uses(source, "BackgroundTasks", "BackgroundTasks are lost with the process")


def no_base_http_middleware(source: Source) -> Iterator[Finding]:
    """It breaks context variables and streams, and costs 80 µs a request; middleware is pure ASGI."""
    if source.under("app"):
        yield from _uses(source, "BaseHTTPMiddleware", "BaseHTTPMiddleware; write pure ASGI middleware")


def _uses(source: Source, name: str, message: str) -> Iterator[Finding]:
    for node, imported in imported_names(source):
        if imported.endswith(f".{name}"):
            yield source.find(node, message)
    for attribute in source.nodes:
        if isinstance(attribute, ast.Attribute) and attribute.attr == name:
            yield source.find(attribute, message)


def libraries_stay_behind_their_wrapper(source: Source) -> Iterator[Finding]:
    """A library of tokens or passwords is known to one module alone, so that it can be replaced and audited."""
    homes = {"jose": "app/auth/tokens.py", "passlib": "app/auth/passwords.py", "bcrypt": "app/auth/passwords.py"}
    if not source.under("app"):
        return
    for node, imported in imported_names(source):
        home = homes.get(imported.split(".")[0])
        if home and source.path != home:
            yield source.find(node, f"{imported.split('.')[0]} may be imported by {home} only")


def time_comes_from_the_clock(source: Source) -> Iterator[Finding]:
    """The injected clock is the only one that tells the time, so that a test can set it."""
    if not source.under("app") or source.path == "app/core/clock.py":
        return
    for node in source.nodes:
        if isinstance(node, ast.Call) and name_of(node.func) in CLOCK_CALLS:
            yield source.find(node, f"{name_of(node.func)}() outside app/core/clock.py; take the Clock")
    for statement, imported in imported_names(source):
        if imported in {"time.time", "time.time_ns"}:
            yield source.find(statement, f"{imported} outside app/core/clock.py; take the Clock")


def environment_is_read_by_settings(source: Source) -> Iterator[Finding]:
    """Every setting has one name, one type and one place."""
    message = "the environment is read by app/core/settings.py only"
    if not source.under("app") or source.path == "app/core/settings.py":
        return
    for node in source.nodes:
        if isinstance(node, ast.Attribute) and name_of(node) in {"os.environ", "os.getenv", "os.putenv"}:
            yield source.find(node, message)
    for statement, imported in imported_names(source):
        if imported in {"os.environ", "os.getenv", "os.putenv"}:
            yield source.find(statement, message)

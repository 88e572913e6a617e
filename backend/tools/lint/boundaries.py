"""Rules about what may be used where."""

import ast
from collections.abc import Iterator

from tools.lint.source import Finding, Source, imported_names, name_of

COMMIT_MARKER = "# commit: "
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
    if not source.under("app"):
        return
    for node in source.nodes:
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"commit", "rollback"}
            and not _has_reason(source.lines[(node.end_lineno or node.lineno) - 1])
        ):
            yield source.find(node, f"{node.func.attr}() without a reason on its line ('{COMMIT_MARKER}why')")


def _has_reason(line: str) -> bool:
    return bool(line.partition(COMMIT_MARKER)[2].strip())


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

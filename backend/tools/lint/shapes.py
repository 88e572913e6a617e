"""Rules about the size and the form of code."""

import ast
from collections.abc import Iterator

from tools.lint.source import Finding, Function, Source, body_of, imported_names, last_name_of, name_of

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
TRIVIAL_LINES = 5
LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
LOG_METHODS_ASYNC = {f"a{name}" for name in LOG_METHODS}
PARAMETER_CALLS = {"Depends", "Security", "Query", "Path", "Body", "Header", "Cookie", "Form", "File"}


def files_are_short(source: Source) -> Iterator[Finding]:
    """A file has under 400 lines."""
    if len(source.lines) >= MAX_FILE_LINES:
        yield Finding(source.path, MAX_FILE_LINES, f"the file has {len(source.lines)} lines; split it")


def functions_are_short(source: Source) -> Iterator[Finding]:
    """The body of a function, docstring left out, has under 40 lines."""
    if not source.under("app"):
        return
    for function in _functions(source):
        body = body_of(function)
        length = _length(body)
        if length >= MAX_FUNCTION_LINES:
            yield source.find(function, f"{function.name} has {length} lines; split it")


def _length(body: list[ast.stmt]) -> int:
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def _functions(source: Source) -> list[Function]:
    return [node for node in source.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def parameters_are_annotated(source: Source) -> Iterator[Finding]:
    """`x: Annotated[T, Depends(f)]`, never `x: T = Depends(f)`: the default is then a real one, or none."""
    if not source.under("app"):
        return
    calls = {
        name.rpartition(".")[2]
        for _, name in imported_names(source)
        if name.startswith("fastapi.") and name.rpartition(".")[2] in PARAMETER_CALLS
    }
    calls |= {f"fastapi.{name}" for name in PARAMETER_CALLS}
    for function in _functions(source):
        for default in [*function.args.defaults, *function.args.kw_defaults]:
            if isinstance(default, ast.Call) and name_of(default.func) in calls:
                yield source.find(default, f"{name_of(default.func)}() as a default; write Annotated[...]")


def public_things_have_docstrings(source: Source) -> Iterator[Finding]:
    """Public classes and functions say what they do; a method of five lines that fills in a base class need not."""
    if source.under("app"):
        yield from _undocumented(source, source.tree.body, base_class=False)


def _undocumented(source: Source, body: list[ast.stmt], *, base_class: bool) -> Iterator[Finding]:
    for node in body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node) and not (base_class and _is_trivial(node)) and not _is_variant(node):
            yield source.find(node, f"public {node.name} has no docstring")
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(source, node.body, base_class=bool(node.bases))


def _is_trivial(node: ast.ClassDef | Function) -> bool:
    return _length(node.body) <= TRIVIAL_LINES


def _is_variant(node: ast.ClassDef | Function) -> bool:
    """A variant of something described elsewhere: an overload, an override, the setter of a property."""
    return any(last_name_of(item) in {"overload", "override", "setter"} for item in node.decorator_list)


def broad_handlers_raise_or_log(source: Source) -> Iterator[Finding]:
    """Whoever catches everything raises again or writes it down."""
    if not source.under("app"):
        return
    for node in source.nodes:
        if isinstance(node, ast.ExceptHandler) and _is_broad(node) and not _raises_or_logs(node):
            yield source.find(node, "a broad except that neither raises nor logs")


def _is_broad(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(item is None or name_of(item) in {"Exception", "BaseException"} for item in caught)


def _raises_or_logs(handler: ast.ExceptHandler) -> bool:
    return any(
        isinstance(node, ast.Raise)
        or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LOG_METHODS | LOG_METHODS_ASYNC
        )
        for statement in handler.body
        for node in ast.walk(statement)
    )


def relationships_raise(source: Source) -> Iterator[Finding]:
    """A relationship that loads itself is a hidden query, and fails in an async session; load by name."""
    if not source.under("app"):
        return
    for node in source.nodes:
        if isinstance(node, ast.Call) and last_name_of(node.func) == "relationship":
            lazy = next((keyword.value for keyword in node.keywords if keyword.arg == "lazy"), None)
            if not (isinstance(lazy, ast.Constant) and lazy.value == "raise"):
                yield source.find(node, 'relationship() without lazy="raise"')


def tables_come_from_migrations(source: Source) -> Iterator[Finding]:
    """Every database, those of the tests too, is built by Alembic."""
    for node in source.nodes:
        if isinstance(node, ast.Attribute) and node.attr == "create_all":
            yield source.find(node, "create_all; databases are built by Alembic")

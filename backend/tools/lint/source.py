"""What a rule sees and what it reports."""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True, order=True)
class Finding:
    """One broken rule at one line (counted from 1) of one file."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Source:
    """One Python file: its path relative to `backend/`, with forward slashes, and its text."""

    path: str
    text: str

    @cached_property
    def lines(self) -> list[str]:
        """The file line by line; line n of the file is item n - 1."""
        return self.text.splitlines()

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the syntax tree."""
        return list(ast.walk(self.tree))

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text, filename=self.path)

    def under(self, *folders: str) -> bool:
        """Say whether the file is one of `folders` or lies in one of them."""
        return any(self.path == folder or self.path.startswith(f"{folder}/") for folder in folders)

    def find(self, node: ast.AST, message: str) -> Finding:
        """Make a finding at the line of `node`."""
        return Finding(self.path, getattr(node, "lineno", 1), message)


Rule = Callable[[Source], Iterator[Finding]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def read_sources(root: Path, folders: Iterable[str]) -> list[Source]:
    """Read every Python file under `folders` of `root`, in the order of their paths; absent folders hold none."""
    paths = sorted(path for folder in folders for path in (root / folder).rglob("*.py"))
    return [Source(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def name_of(node: ast.AST | None) -> str:
    """Spell a name or a chain of attributes, such as `datetime.datetime.now`; anything else is an empty string."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            prefix = name_of(node.value)
            return f"{prefix}.{node.attr}" if prefix else node.attr
        case _:
            return ""


def last_name_of(node: ast.AST | None) -> str:
    """Spell the last part of `name_of`: `now` for `datetime.datetime.now`."""
    return name_of(node).rpartition(".")[2]


def body_of(function: Function) -> list[ast.stmt]:
    """Return the statements of a function without its docstring."""
    return function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body


def imported_names(source: Source) -> Iterator[tuple[ast.stmt, str]]:
    """Give every imported thing by its full name: `from a.b import c` gives `a.b.c`, `import a.b` gives `a.b`."""
    for node in source.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node, f"{node.module or ''}.{alias.name}"

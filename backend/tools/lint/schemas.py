"""Rules about Pydantic schemas. They look at all files at once, since a schema's base class may stand elsewhere."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tools.lint.source import Finding, Source, last_name_of

INPUT_SUFFIXES = ("Create", "Update", "Request")
OUTPUT_SUFFIX = "Read"


@dataclass(frozen=True)
class Schema:
    """One class with the file it stands in and the names of its bases."""

    source: Source
    node: ast.ClassDef
    bases: tuple[str, ...]


class SchemaIndex:
    """The classes of `app` by name."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._schemas = {
            node.name: Schema(source, node, tuple(_base_name(base) for base in node.bases))
            for source in sources
            if source.under("app")
            for node in source.nodes
            if isinstance(node, ast.ClassDef)
        }

    def schemas(self) -> Iterator[Schema]:
        """Give every class that descends from Pydantic's `BaseModel`."""
        return (
            schema
            for name, schema in self._schemas.items()
            if any(ancestor == "BaseModel" for ancestor in self._ancestors(name))
        )

    def forbids_extra(self, schema: Schema) -> bool:
        """Say whether the class or one of its bases refuses unknown fields."""
        family = [schema.node.name, *self._ancestors(schema.node.name)]
        return any(_forbids(self._schemas[name].node) for name in family if name in self._schemas)

    def _ancestors(self, name: str) -> Iterator[str]:
        for base in self._schemas[name].bases if name in self._schemas else ():
            yield base
            if base != name:
                yield from self._ancestors(base)


def _base_name(node: ast.expr) -> str:
    return last_name_of(node.value if isinstance(node, ast.Subscript) else node)


def _forbids(node: ast.ClassDef) -> bool:
    in_body = (
        keyword
        for statement in node.body
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Call)
        if last_name_of(statement.value.func) == "ConfigDict"
        for keyword in statement.value.keywords
    )
    return any(
        keyword.arg == "extra" and isinstance(keyword.value, ast.Constant) and keyword.value.value == "forbid"
        for keyword in [*node.keywords, *in_body]
    )


def check_schemas(sources: Iterable[Source]) -> Iterator[Finding]:
    """Inputs refuse unknown fields by their base class; outputs have no defaults, so every field is always there."""
    index = SchemaIndex(sources)
    for schema in index.schemas():
        name = schema.node.name
        if name.endswith(INPUT_SUFFIXES) and not index.forbids_extra(schema):
            yield schema.source.find(schema.node, f'{name} takes unknown fields; its base class needs extra="forbid"')
        if name.endswith(OUTPUT_SUFFIX):
            yield from _defaults(schema)


def _defaults(schema: Schema) -> Iterator[Finding]:
    for statement in schema.node.body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        is_field = statement.target.id != "model_config" and "ClassVar" not in ast.unparse(statement.annotation)
        if is_field and statement.value is not None and _is_default(statement.value):
            yield schema.source.find(statement, f"{schema.node.name}.{statement.target.id} has a default")


def _is_default(value: ast.expr) -> bool:
    if isinstance(value, ast.Call) and last_name_of(value.func) == "Field":
        return bool(value.args) or any(keyword.arg in {"default", "default_factory"} for keyword in value.keywords)
    return True

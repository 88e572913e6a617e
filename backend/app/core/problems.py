"""How refusals are described in the API's document: which codes an operation answers with, each with an example."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from app.core.errors import AppError, InvalidInputError

PROBLEM_MEDIA_TYPE = "application/problem+json"

DependencyT = TypeVar("DependencyT", bound=Callable[..., Any])

_REFUSALS = "merit_refusals"
_EXAMPLE_REQUEST_ID = "0199c2a4-7d1e-7c3a-9f52-6b1d2e8f4a01"
_EXAMPLE_ERRORS = [{"loc": ["body", "email"], "type": "missing", "msg": "Field required"}]


def error_responses(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that can refuse with these errors, as OpenAPI response objects by status."""
    return {
        status: describe_response({error.code: _problem_example(error) for error in group})
        for status, group in by_status(errors).items()
    }


def refuses(*errors: type[AppError]) -> Callable[[DependencyT], DependencyT]:
    """Tell of a dependency how it refuses, so that the document tells it of every operation that has the dependency."""

    def mark(dependency: DependencyT) -> DependencyT:
        setattr(dependency, _REFUSALS, errors)
        return dependency

    return mark


def refusals_of(dependency: object) -> tuple[type[AppError], ...]:
    """The errors that a dependency was marked with."""
    errors: tuple[type[AppError], ...] = getattr(dependency, _REFUSALS, ())
    return errors


def describe_response(
    examples: Mapping[str, dict[str, Any]], *, schema: str = "Problem", media_type: str = PROBLEM_MEDIA_TYPE
) -> dict[str, Any]:
    """An OpenAPI response object with one named example for each error code."""
    return {
        "description": "; ".join(f"{example['summary']} (`{code}`)" for code, example in examples.items()),
        "content": {
            media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}, "examples": dict(examples)},
        },
    }


def by_status(errors: Iterable[type[AppError]]) -> dict[int, list[type[AppError]]]:
    """The errors grouped by their HTTP status."""
    groups: dict[int, list[type[AppError]]] = {}
    for error in errors:
        groups.setdefault(error.status_code, []).append(error)
    return groups


def _problem_example(error: type[AppError]) -> dict[str, Any]:
    members: dict[str, Any] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status_code,
        "code": error.code,
        "request_id": _EXAMPLE_REQUEST_ID,
    }
    if issubclass(error, InvalidInputError):
        members["errors"] = _EXAMPLE_ERRORS
    return {"summary": error.title, "value": members}

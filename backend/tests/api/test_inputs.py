"""What holds for the body of every operation, whichever domain it is of."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel, RootModel, SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from app.core.settings import Settings
from app.main import create_app

# What a lax reader takes for a value of the type.
LAX = {"boolean": (0, 1, 1.0, "true", "false", "on", "0"), "integer": ("1", " 1", True, 1.0, "1e0")}


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """The schemas in an annotation, and those in their members."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for member in annotation.model_fields.values():
            yield from models_of(member.annotation)
    for inner in getattr(annotation, "__args__", ()):
        yield from models_of(inner)


def inputs_of(app: FastAPI) -> list[type[BaseModel]]:
    """Every schema of a JSON body."""
    bodies = [
        parameter.field_info.annotation
        for route in app.routes
        if isinstance(route, APIRoute)
        for parameter in route.dependant.body_params
    ]
    return sorted({model for body in bodies for model in models_of(body)}, key=lambda model: model.__name__)


INPUTS = inputs_of(create_app(Settings(secret_key=SecretStr("an-arbitrary-key-of-more-than-32-bytes"))))
MEMBERS = [
    pytest.param(field, id=f"{model.__name__}.{name}") for model in INPUTS for name, field in model.model_fields.items()
]


def test_all_inputs_are_found() -> None:
    names = {model.__name__ for model in INPUTS}
    assert {"LoginRequest", "UserUpdate", "KeyRotateRequest", "ServiceAccountUpdate"} <= names


@pytest.mark.parametrize("model", INPUTS)
def test_unknown_members_are_refused(model: type[BaseModel]) -> None:
    """A body that is one mapping has no members; it says what its keys may be."""
    assert model.model_config.get("extra") == "forbid" or issubclass(model, RootModel)


@pytest.mark.parametrize("field", MEMBERS)
def test_a_member_takes_no_value_of_another_type(field: FieldInfo) -> None:
    """As the document says: 0 is no boolean and "1" no number, so that a client's mistake is not taken for a wish."""
    adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
    schema = adapter.json_schema()
    types = {branch.get("type") for branch in (schema, *schema.get("anyOf", ()))}
    for value in (value for kind in types & LAX.keys() for value in LAX[kind]):
        with pytest.raises(ValidationError):
            adapter.validate_python(value)

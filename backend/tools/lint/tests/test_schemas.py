"""Inputs refuse unknown fields, outputs have no defaults."""

import pytest

from tools.lint.schemas import check_schemas
from tools.lint.source import Source

BASE = Source(
    "app/core/schema.py",
    """
class InputModel(BaseModel):
    model_config = ConfigDict(extra="forbid")

class Shared(InputModel, Generic[T]): ...
""",
)


def found(*lines: str) -> list[int]:
    return [finding.line for finding in check_schemas([BASE, Source("app/auth/schemas.py", "\n".join(lines))])]


@pytest.mark.parametrize("suffix", ["Create", "Update", "Request"])
def test_an_input_refuses_unknown_fields_by_a_base_class(suffix: str) -> None:
    assert found(f"class User{suffix}(BaseModel): ...") == [1]
    assert found(f"class User{suffix}(InputModel): ...") == []
    assert found(f"class User{suffix}(Shared[int]): ...") == []
    assert found(f'class User{suffix}(BaseModel, extra="forbid"): ...') == []


def test_a_class_that_is_no_schema_is_left_alone() -> None:
    assert found("class LoginRequest: ...", "class UserCreate(Generic[T]): ...") == []


def test_an_output_has_no_defaults() -> None:
    assert found(
        "class UserRead(BaseModel):",
        '    model_config = ConfigDict(title="x")',
        "    limit: ClassVar[int] = 3",
        "    id: UUID",
        '    name: str = Field(description="x")',
        "    age: int | None = None",
        "    tags: list[str] = Field(default_factory=list)",
        "    nick: str = Field('x')",
    ) == [6, 7, 8]

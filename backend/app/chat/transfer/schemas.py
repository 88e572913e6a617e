"""The JSON of imports."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.chat.transfer.types import ImportSource, ImportStatus


def _items(errors: Any) -> Any:
    return errors.get("items", []) if isinstance(errors, dict) else errors


class ImportRead(BaseModel):
    """A file, and how many of its conversations are new, have new messages, were there already, or were refused."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    source: ImportSource | None
    file_sha256: Annotated[str, BeforeValidator(lambda value: value.hex() if isinstance(value, bytes) else value)]
    file_bytes: int
    status: ImportStatus
    found: int
    created: int
    updated: int
    skipped: int
    failed: int
    messages_created: int
    errors: Annotated[list[dict[str, Any]], BeforeValidator(_items), Field(description="The first hundred.")]
    created_at: datetime
    finished_at: datetime | None

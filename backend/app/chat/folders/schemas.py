"""The JSON of folders."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator

from app.chat.schemas import ChatInput
from app.chat.types import MAX_TITLE_LENGTH
from app.core.text import SafeLine

MAX_POSITION = 2**31 - 1

FolderName = Annotated[SafeLine, Field(max_length=MAX_TITLE_LENGTH, examples=["Thesis"])]
Position = Annotated[
    StrictInt, Field(ge=-MAX_POSITION, le=MAX_POSITION, description="Folders are listed by it; ties by their age.")
]


class FolderCreate(ChatInput):
    """A new folder, within another or outermost."""

    name: FolderName
    parent_id: UUID | None = None
    position: Position = 0


class FolderUpdate(ChatInput):
    """The members to change; a null parent makes it outermost."""

    name: FolderName | None = None
    parent_id: UUID | None = None
    position: Position | None = None

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        if any(name in self.model_fields_set and getattr(self, name) is None for name in ("name", "position")):
            raise ValueError("name and position cannot be null")
        return self


class FolderRead(BaseModel):
    """A folder of conversations."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    parent_id: UUID | None
    name: Annotated[str, Field(examples=["Thesis"])]
    position: int
    created_at: datetime
    updated_at: datetime

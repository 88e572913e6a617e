"""The JSON of links to conversations."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator

from app.auth.types import MAX_PASSWORD_LENGTH
from app.chat.sharing.types import ShareMode
from app.chat.types import MessageRole, MessageStatus
from app.core.text import SafeStr

MIN_PASSWORD_LENGTH = 6
_LONGEST_SECONDS = 10 * 365 * 86_400

SharePassword = Annotated[
    SafeStr, Field(min_length=1, max_length=MAX_PASSWORD_LENGTH, examples=["correct horse battery"])
]


class ShareCreate(BaseModel):
    """A new link. A snapshot shows the way to one message and nothing later; a live one whatever is active."""

    model_config = ConfigDict(extra="forbid")

    mode: ShareMode = ShareMode.SNAPSHOT
    leaf_message_id: Annotated[
        UUID | None, Field(description="The last message of a snapshot; by default the active one.")
    ] = None
    expires_in: Annotated[
        StrictInt | None, Field(ge=60, le=_LONGEST_SECONDS, description="Seconds from now.", examples=[604_800])
    ] = None
    password: Annotated[
        SafeStr | None,
        Field(min_length=MIN_PASSWORD_LENGTH, max_length=MAX_PASSWORD_LENGTH, description="Asked of who opens it."),
    ] = None

    @model_validator(mode="after")
    def _require_sense(self) -> Self:
        """Refuse a last message for what has none."""
        if self.mode is ShareMode.LIVE and self.leaf_message_id is not None:
            raise ValueError("a live link has no leaf_message_id")
        return self


class ShareOpen(BaseModel):
    """The password of a link."""

    model_config = ConfigDict(extra="forbid")

    password: SharePassword


class ShareRead(BaseModel):
    """A link to a conversation; `view_count` is a few seconds behind."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    conversation_id: UUID
    mode: ShareMode
    leaf_message_id: UUID | None
    title: str | None
    has_password: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    view_count: int


class ShareCreatedRead(BaseModel):
    """A new link, and its token for `GET /shares/{token}`, which is not shown again: a repetition has null."""

    model_config = ConfigDict(from_attributes=True)

    share: ShareRead
    token: Annotated[str | None, Field(examples=["shr_0351nU68E7tH8pxZBgbaOi_GUnApE…"])]


class SharedMessageRead(BaseModel):
    """A message of a shared conversation."""

    model_config = ConfigDict(from_attributes=True)

    role: MessageRole
    content: str
    model: str | None
    status: MessageStatus
    created_at: datetime


class SharedPageRead(BaseModel):
    """The last messages of a shared conversation, in reading order; `next_cursor` leads to those before them."""

    model_config = ConfigDict(from_attributes=True)

    title: str | None
    mode: ShareMode
    shared_at: datetime
    items: list[SharedMessageRead]
    next_cursor: str | None

"""The JSON of preferences."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel

from app.core.json_values import safe_json
from app.core.text import SafeStr
from app.preferences.types import (
    ACCOUNT_LAYER,
    CUSTOM_PREFIX,
    MAX_BATCH,
    MAX_KEY_LENGTH,
    MAX_VALUE_BYTES,
    MAX_VALUE_DEPTH,
    PreferenceOrigin,
    PreferenceScope,
)


def _require_device(value: UUID) -> UUID:
    if value == ACCOUNT_LAYER:
        raise ValueError("must not be the nil UUID")
    return value


def _require_value(value: Any) -> Any:
    if value is None:
        raise ValueError("must not be null; DELETE unsets a preference")
    return value


PreferenceKey = Annotated[SafeStr, Field(min_length=1, max_length=MAX_KEY_LENGTH, examples=["appearance.theme"])]
DeviceId = Annotated[UUID, AfterValidator(_require_device)]
"""What a client calls the device that it runs on: a UUID that it has made itself, and keeps."""
PreferenceValue = Annotated[Any, safe_json(max_bytes=MAX_VALUE_BYTES, max_depth=MAX_VALUE_DEPTH)]


class PreferencesUpdate(RootModel[dict[PreferenceKey, PreferenceValue]]):
    """Keys with their new values; null unsets."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"appearance.theme": "dark", "language": None}]})

    root: Annotated[dict[PreferenceKey, PreferenceValue], Field(min_length=1, max_length=MAX_BATCH)]


class PreferenceUpdate(BaseModel):
    """The new value of one preference."""

    model_config = ConfigDict(extra="forbid")

    value: Annotated[PreferenceValue, AfterValidator(_require_value), Field(examples=["dark"])]


class PreferenceRead(BaseModel):
    """A preference that is set. `version` is the number of the change that set it, and stands in the `ETag`."""

    model_config = ConfigDict(from_attributes=True)

    value: Annotated[Any, Field(examples=["dark"])]
    version: int
    updated_at: datetime


class PreferencesRead(BaseModel):
    """What is set for every device, or for one. `seq` is the number of your last change, and stands in the `ETag`."""

    model_config = ConfigDict(from_attributes=True)

    seq: int
    device_id: UUID | None
    preferences: dict[str, PreferenceRead]


class EffectivePreferenceRead(BaseModel):
    """The value that holds, and the layer that it comes from."""

    model_config = ConfigDict(from_attributes=True)

    value: Annotated[Any, Field(examples=["dark"])]
    origin: PreferenceOrigin


class EffectivePreferencesRead(BaseModel):
    """The values that hold. Where a value is null, the client decides."""

    model_config = ConfigDict(from_attributes=True)

    seq: int
    device_id: UUID | None
    preferences: dict[str, EffectivePreferenceRead]


class PreferenceDefinitionRead(BaseModel):
    """A preference that there is: the JSON Schema (Draft 2020-12) of its values, and where it can be set."""

    model_config = ConfigDict(from_attributes=True)

    key: str
    description: str
    value_schema: Annotated[dict[str, Any], Field(alias="schema", examples=[{"enum": ["system", "light", "dark"]}])]
    default: Annotated[Any, Field(examples=["system"])]
    scopes: list[PreferenceScope]
    since: Annotated[str, Field(examples=["0.1.0"], description="The release that brought it.")]
    deprecated_by: str | None


class CustomPreferencesRead(BaseModel):
    """What holds for preferences that clients make up."""

    prefix: Annotated[str, Field(examples=[CUSTOM_PREFIX])]
    max_bytes: int
    max_depth: int


class PreferenceSchemaRead(BaseModel):
    """Every preference that there is, by key, and the bounds of those that clients make up."""

    definitions: list[PreferenceDefinitionRead]
    custom: CustomPreferencesRead


class PreferenceChangeRead(BaseModel):
    """A change. Null values are none: the preference was or became unset.

    `changed_by` is the session or the personal token that made it.
    """

    model_config = ConfigDict(from_attributes=True)

    seq: int
    key: str
    device_id: UUID | None
    old_value: Annotated[Any, Field(examples=["light"])]
    new_value: Annotated[Any, Field(examples=["dark"])]
    changed_at: datetime
    changed_by: UUID


class PreferenceFeedRead(BaseModel):
    """The next changes in their order. Go on with `since=` the `seq` of this answer, at once where `has_more`."""

    model_config = ConfigDict(from_attributes=True)

    items: list[PreferenceChangeRead]
    seq: int
    has_more: bool


class PreferenceDeviceRead(BaseModel):
    """A device that something is set for, and how much."""

    model_config = ConfigDict(from_attributes=True)

    device_id: UUID
    preferences: int
    updated_at: datetime

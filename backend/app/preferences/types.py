"""Values of preferences."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.auth.permissions import declare
from app.auth.types import Role

MAX_KEY_LENGTH = 100
MAX_VALUE_BYTES = 8192
MAX_VALUE_DEPTH = 8
MAX_PREFERENCES = 300
"""How many an account keeps, on all its devices together."""
MAX_CHANGES = 500
"""How many of its last changes an account keeps."""
MAX_BATCH = 100
MAX_SEQ = 2**31 - 1
CUSTOM_PREFIX = "x-"
"""What the keys of clients' own preferences begin with: of those nothing is known but their size."""

ACCOUNT_LAYER = UUID(int=0)
"""Stands for "every device": a unique key holds nothing together where one of its columns is null."""

PREFERENCES_READ = declare("preferences:read", "Read your own preferences", to=Role, personal=True)
PREFERENCES_WRITE = declare("preferences:write", "Change your own preferences", to=Role, personal=True)


class PreferenceScope(StrEnum):
    """Where a preference may be set."""

    USER = "user"
    DEVICE = "device"


class PreferenceOrigin(StrEnum):
    """The layer that an effective value comes from; each one hides those before it."""

    DEFAULT = "default"
    USER = "user"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class StoredPreference:
    """A value as it is kept. `version` is the number of the change that set it."""

    value: Any
    version: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PreferenceLayer:
    """What is set for every device (`device_id` is None) or for one. `seq` is the number of the account's last change.

    It may be older than the values, never newer: who changes something on the ground of it is refused rather than let
    through.
    """

    seq: int
    device_id: UUID | None
    preferences: Mapping[str, StoredPreference]


@dataclass(frozen=True, slots=True)
class EffectivePreference:
    """The value that holds, and where it comes from."""

    value: Any
    origin: PreferenceOrigin


@dataclass(frozen=True, slots=True)
class EffectivePreferences:
    """The values that hold on one device, or on none in particular; `seq` as in `PreferenceLayer`."""

    seq: int
    device_id: UUID | None
    preferences: Mapping[str, EffectivePreference]


@dataclass(frozen=True, slots=True)
class PreferenceChangeView:
    """One change. A value of None is none: the preference was or became unset."""

    seq: int
    key: str
    device_id: UUID | None
    old_value: Any
    new_value: Any
    changed_at: datetime
    changed_by: UUID


@dataclass(frozen=True, slots=True)
class PreferenceFeed:
    """The next changes in their order. The next request goes on after `seq`."""

    items: list[PreferenceChangeView]
    seq: int
    has_more: bool


@dataclass(frozen=True, slots=True)
class PreferenceDevice:
    """A device that preferences are set for."""

    device_id: UUID
    preferences: int
    updated_at: datetime

"""`/preferences`: what a person prefers."""

from fastapi import Response, status

from app.core.pagination import MAX_PAGE_SIZE, Page, PageRead
from app.core.problems import error_responses
from app.db.http import DEFAULT_LIMIT, Cursor, IfMatch, Limit, etag
from app.preferences import catalogue  # noqa: F401 - declares what there is
from app.preferences.dependencies import (
    ChangeNumber,
    FeedLimit,
    Key,
    OnDevice,
    PreferenceServiceDep,
    PreferencesReader,
    PreferencesWriter,
    Since,
)
from app.preferences.errors import (
    PreferenceChangedSinceError,
    PreferenceChangeNotFoundError,
    PreferenceChangesGoneError,
    PreferenceDeviceNotFoundError,
    PreferenceNotFoundError,
    TooManyPreferencesError,
)
from app.preferences.registry import all_preferences
from app.preferences.schemas import (
    CustomPreferencesRead,
    DeviceId,
    EffectivePreferencesRead,
    PreferenceChangeRead,
    PreferenceDefinitionRead,
    PreferenceDeviceRead,
    PreferenceFeedRead,
    PreferenceRead,
    PreferenceSchemaRead,
    PreferencesRead,
    PreferencesUpdate,
    PreferenceUpdate,
)
from app.preferences.types import (
    CUSTOM_PREFIX,
    MAX_VALUE_BYTES,
    MAX_VALUE_DEPTH,
    EffectivePreferences,
    PreferenceChangeView,
    PreferenceDevice,
    PreferenceFeed,
    PreferenceLayer,
    StoredPreference,
)
from app.routing import api_router

router = api_router("/preferences", tags=["preferences"])


@router.get("", response_model=PreferencesRead, summary="Get what you have set")
async def get_preferences(
    principal: PreferencesReader, preferences: PreferenceServiceDep, response: Response, device_id: OnDevice = None
) -> PreferenceLayer:
    """What you have set for every device, or only for one. `GET /preferences/effective` puts the layers together."""
    layer = await preferences.list_(principal.user_id, device_id)
    response.headers["ETag"] = etag(layer.seq)
    return layer


@router.patch(
    "",
    response_model=PreferencesRead,
    summary="Change preferences",
    responses=error_responses(TooManyPreferencesError),
)
async def update_preferences(
    body: PreferencesUpdate,
    principal: PreferencesWriter,
    preferences: PreferenceServiceDep,
    response: Response,
    expected_seq: IfMatch,
    device_id: OnDevice = None,
) -> PreferenceLayer:
    """Set the preferences that are given, all of them or none; null unsets. All others stay as they are.

    With `If-Match`, only if nothing at all was changed since; without it the last writer of each key wins.
    """
    layer = await preferences.change(principal, body.root, device_id=device_id, expected_seq=expected_seq)
    response.headers["ETag"] = etag(layer.seq)
    return layer


@router.get("/schema", response_model=PreferenceSchemaRead, summary="List the preferences there are")
async def get_preference_schema(_principal: PreferencesReader) -> PreferenceSchemaRead:
    """Every preference with the JSON Schema of its values and its default; clients make up their own under `x-`."""
    return PreferenceSchemaRead(
        definitions=[PreferenceDefinitionRead.model_validate(one) for one in all_preferences().values()],
        custom=CustomPreferencesRead(prefix=CUSTOM_PREFIX, max_bytes=MAX_VALUE_BYTES, max_depth=MAX_VALUE_DEPTH),
    )


@router.get("/effective", response_model=EffectivePreferencesRead, summary="Get what holds")
async def get_effective_preferences(
    principal: PreferencesReader, preferences: PreferenceServiceDep, device_id: OnDevice = None
) -> EffectivePreferences:
    """The value of every preference and where it comes from: the device, else every device, else the default."""
    return await preferences.effective(principal.user_id, device_id)


@router.get(
    "/changes",
    response_model=PreferenceFeedRead,
    summary="List changes since a point",
    responses=error_responses(PreferenceChangesGoneError),
)
async def list_preference_changes(
    principal: PreferencesReader,
    preferences: PreferenceServiceDep,
    since: Since = 0,
    limit: FeedLimit = MAX_PAGE_SIZE,
) -> PreferenceFeed:
    """The changes of all layers after one that you know, in their order and without gaps: for keeping a copy.

    A client that was away too long gets 410, and reads everything anew.
    """
    return await preferences.changes_since(principal.user_id, since, limit)


@router.post(
    "/changes/{seq}/undo",
    response_model=PreferenceChangeRead,
    summary="Undo a change",
    responses=error_responses(PreferenceChangeNotFoundError, PreferenceChangedSinceError, TooManyPreferencesError),
)
async def undo_preference_change(
    seq: ChangeNumber, principal: PreferencesWriter, preferences: PreferenceServiceDep
) -> PreferenceChangeView:
    """Set a preference to what it was before its last change, and get the change that does so. Twice is a redo."""
    return await preferences.undo(principal, seq)


@router.get("/devices", response_model=list[PreferenceDeviceRead], summary="List devices with preferences of their own")
async def list_preference_devices(
    principal: PreferencesReader, preferences: PreferenceServiceDep
) -> list[PreferenceDevice]:
    """The devices that you have set something for, the last changed first; as few as you may have preferences."""
    return await preferences.devices(principal.user_id)


@router.delete(
    "/devices/{device_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Forget a device's preferences",
    responses=error_responses(PreferenceDeviceNotFoundError),
)
async def forget_preference_device(
    device_id: DeviceId, principal: PreferencesWriter, preferences: PreferenceServiceDep
) -> None:
    """Unset all that is set for one device only."""
    await preferences.forget_device(principal, device_id)


@router.get(
    "/{key}",
    response_model=PreferenceRead,
    summary="Get a preference that you have set",
    responses=error_responses(PreferenceNotFoundError),
)
async def get_preference(
    key: Key,
    principal: PreferencesReader,
    preferences: PreferenceServiceDep,
    response: Response,
    device_id: OnDevice = None,
) -> StoredPreference:
    """What one preference is set to, with its `ETag`."""
    preference = await preferences.get(principal.user_id, key, device_id)
    response.headers["ETag"] = etag(preference.version)
    return preference


@router.put(
    "/{key}",
    response_model=PreferenceRead,
    summary="Set a preference",
    responses=error_responses(PreferenceNotFoundError, TooManyPreferencesError),
)
async def set_preference(
    key: Key,
    body: PreferenceUpdate,
    principal: PreferencesWriter,
    preferences: PreferenceServiceDep,
    response: Response,
    expected_version: IfMatch,
    device_id: OnDevice = None,
) -> StoredPreference:
    """Set one preference. With `If-Match`, only if it was not changed since; `"0"` means: only if it is not set."""
    preference = await preferences.set_(
        principal, key, body.value, device_id=device_id, expected_version=expected_version
    )
    response.headers["ETag"] = etag(preference.version)
    return preference


@router.delete(
    "/{key}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Unset a preference",
    responses=error_responses(PreferenceNotFoundError),
)
async def unset_preference(
    key: Key,
    principal: PreferencesWriter,
    preferences: PreferenceServiceDep,
    expected_version: IfMatch,
    device_id: OnDevice = None,
) -> None:
    """Unset one preference, so that the layer below holds again. With `If-Match`, only if it was not changed since."""
    await preferences.unset(principal, key, device_id=device_id, expected_version=expected_version)


@router.get("/{key}/history", response_model=PageRead[PreferenceChangeRead], summary="List the changes of a preference")
async def list_preference_history(
    key: Key,
    principal: PreferencesReader,
    preferences: PreferenceServiceDep,
    device_id: OnDevice = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[PreferenceChangeView]:
    """How one preference was changed, the newest first. Your last 500 changes are kept."""
    return await preferences.history(principal.user_id, key, device_id=device_id, limit=limit, cursor=cursor)

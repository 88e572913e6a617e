"""Reading and changing one's own preferences."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from app.auth.components import AuthComponents
from app.auth.types import Principal
from app.core.errors import InvalidInputError, PreconditionFailedError
from app.core.pagination import Page
from app.db.engine import Session
from app.preferences.errors import (
    PreferenceChangedSinceError,
    PreferenceChangeNotFoundError,
    PreferenceChangesGoneError,
    PreferenceDeviceNotFoundError,
    PreferenceNotFoundError,
)
from app.preferences.models import PreferenceChange, UserPreference
from app.preferences.registry import Fault, PreferenceDefinition, all_preferences, find_preference
from app.preferences.repository import PreferenceChangeRepository, PreferenceHeadRepository, UserPreferenceRepository
from app.preferences.types import (
    ACCOUNT_LAYER,
    EffectivePreference,
    EffectivePreferences,
    PreferenceChangeView,
    PreferenceDevice,
    PreferenceFeed,
    PreferenceLayer,
    PreferenceOrigin,
    PreferenceScope,
    StoredPreference,
)
from app.preferences.writer import PreferenceWriter

_MAX_FAULTS = 20


class PreferenceService:
    """A person's preferences within one transaction. A `device_id` of None means every device."""

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._session = session
        self._clock = components.clock
        self._cursors = components.cursors
        self._heads = PreferenceHeadRepository(session, components.clock)
        self._preferences = UserPreferenceRepository(session, components.clock)
        self._changes = PreferenceChangeRepository(session, components.clock)

    async def list_(self, user_id: UUID, device_id: UUID | None = None) -> PreferenceLayer:
        """What is set in one layer, whether it is still valid or not."""
        seq = await self._heads.seq_of(user_id)  # first: see PreferenceLayer
        rows = await self._preferences.owned_by(user_id).in_layers(device_id or ACCOUNT_LAYER)
        return PreferenceLayer(seq, device_id, {row.key: _stored(row) for row in rows})

    async def effective(self, user_id: UUID, device_id: UUID | None = None) -> EffectivePreferences:
        """What holds for every declared preference, and for the client's own that are set."""
        seq = await self._heads.seq_of(user_id)
        layers = [ACCOUNT_LAYER] if device_id is None else [ACCOUNT_LAYER, device_id]
        rows = await self._preferences.owned_by(user_id).in_layers(*layers)
        found = {
            key: EffectivePreference(definition.default, PreferenceOrigin.DEFAULT)
            for key, definition in all_preferences().items()
        }
        for row in sorted(rows, key=lambda row: row.device_id != ACCOUNT_LAYER):  # the device's hide the account's
            definition = find_preference(row.key)
            if definition is not None and _is_valid(definition, row):
                found[row.key] = EffectivePreference(row.value, PreferenceOrigin(_scope_of(row.device_id).value))
        return EffectivePreferences(seq, device_id, dict(sorted(found.items())))

    async def value_of(self, user_id: UUID, definition: PreferenceDefinition, device_id: UUID | None = None) -> Any:
        """The value that holds for one preference: what other domains ask for."""
        for layer in dict.fromkeys((device_id or ACCOUNT_LAYER, ACCOUNT_LAYER)):
            row = await self._preferences.owned_by(user_id).find(layer, definition.key)
            if row is not None and _is_valid(definition, row):
                return row.value
        return definition.default

    async def get(self, user_id: UUID, key: str, device_id: UUID | None = None) -> StoredPreference:
        """What one preference is set to in one layer.

        Raises:
            PreferenceNotFoundError: it is not set there, or there is no such preference.
        """
        row = await self._preferences.owned_by(user_id).find(device_id or ACCOUNT_LAYER, key)
        if row is None:
            raise PreferenceNotFoundError
        return _stored(row)

    async def change(
        self, principal: Principal, wanted: Mapping[str, Any], *, device_id: UUID | None, expected_seq: int | None
    ) -> PreferenceLayer:
        """Set preferences of one layer, or unset those that are None: all of them or none.

        Raises:
            InvalidInputError: a key is unknown, or a value is not valid.
            PreconditionFailedError: the number of the account's last change is not `expected_seq`.
            TooManyPreferencesError: the account would have set more than it may.
        """
        layer_id = device_id or ACCOUNT_LAYER
        _require_valid({("body", key): (key, value) for key, value in wanted.items()}, _scope_of(layer_id))
        writer = self._writer(principal)
        layer = await writer.hold(layer_id)
        if expected_seq is not None and expected_seq != layer.seq:
            raise PreconditionFailedError("Preferences were changed since they were read.")
        layer = await writer.write(layer, wanted)
        return PreferenceLayer(layer.seq, device_id, {key: _stored(row) for key, row in layer.rows.items()})

    async def set_(
        self, principal: Principal, key: str, value: Any, *, device_id: UUID | None, expected_version: int | None
    ) -> StoredPreference:
        """Set one preference of one layer.

        Raises:
            PreferenceNotFoundError: there is no such preference.
            InvalidInputError: the value is not valid.
            PreconditionFailedError: the preference is not at `expected_version`.
            TooManyPreferencesError: the account would have set more than it may.
        """
        layer_id = device_id or ACCOUNT_LAYER
        if find_preference(key) is None:
            raise PreferenceNotFoundError
        _require_valid({("body", "value"): (key, value)}, _scope_of(layer_id))
        writer = self._writer(principal)
        layer = await writer.hold(layer_id)
        layer.require_version(key, expected_version)
        layer = await writer.write(layer, {key: value})
        return _stored(layer.rows[key])

    async def unset(
        self, principal: Principal, key: str, *, device_id: UUID | None, expected_version: int | None
    ) -> None:
        """Unset one preference of one layer; also one that this release no longer knows.

        Raises:
            PreferenceNotFoundError: it is not set.
            PreconditionFailedError: it is not at `expected_version`.
        """
        writer = self._writer(principal)
        layer = await writer.hold(device_id or ACCOUNT_LAYER)
        layer.require_version(key, expected_version)
        if key not in layer.rows:
            raise PreferenceNotFoundError
        await writer.write(layer, {key: None})

    async def devices(self, user_id: UUID) -> list[PreferenceDevice]:
        """The devices that something is set for, the one with the latest change first."""
        return await self._preferences.owned_by(user_id).devices()

    async def forget_device(self, principal: Principal, device_id: UUID) -> None:
        """Unset all that is set for one device.

        Raises:
            PreferenceDeviceNotFoundError: nothing is.
        """
        writer = self._writer(principal)
        layer = await writer.hold(device_id)
        if not layer.rows:
            raise PreferenceDeviceNotFoundError
        await writer.write(layer, dict.fromkeys(layer.rows))

    async def changes_since(self, user_id: UUID, since: int, limit: int) -> PreferenceFeed:
        """The first changes after the one with the number `since`, in all layers.

        Numbers have no gaps, so that what is missing is noticed.

        Raises:
            PreferenceChangesGoneError: they are no longer kept, or `since` has never been.
        """
        seq = await self._heads.seq_of(user_id)
        changes = await self._changes.owned_by(user_id).after(since, limit + 1)
        is_complete = changes[0].seq == since + 1 if changes else since == seq
        if not is_complete:
            raise PreferenceChangesGoneError("Read your preferences as a whole and go on from their `seq`.")
        items = [_view(change) for change in changes[:limit]]
        return PreferenceFeed(items, items[-1].seq if items else since, has_more=len(changes) > limit)

    async def history(
        self, user_id: UUID, key: str, *, device_id: UUID | None, limit: int, cursor: str | None
    ) -> Page[PreferenceChangeView]:
        """The changes of one preference in one layer, the newest first."""
        layer_id = device_id or ACCOUNT_LAYER
        scope = f"preference_history {layer_id} {key}"
        [before] = [None] if cursor is None else self._cursors.decode(scope, cursor)
        changes = await self._changes.owned_by(user_id).of_key(layer_id, key, limit=limit + 1, before=before)
        items = [_view(change) for change in changes[:limit]]
        has_more = len(changes) > limit
        return Page(items, self._cursors.encode(scope, [items[-1].seq]) if has_more else None)

    async def undo(self, principal: Principal, seq: int) -> PreferenceChangeView:
        """Set a preference to what it was before a change, which is a change too: undone again it is redone.

        Raises:
            PreferenceChangeNotFoundError: no such change is kept of the account.
            PreferenceChangedSinceError: the preference was changed again.
            InvalidInputError: what it was is not valid in this release.
            TooManyPreferencesError: the account would have set more than it may.
        """
        mine = self._changes.owned_by(principal.user_id)
        change = await mine.find(seq)
        if change is None:
            raise PreferenceChangeNotFoundError
        writer = self._writer(principal)
        layer = await writer.hold(change.device_id)
        if [last.seq for last in await mine.of_key(change.device_id, change.key, limit=1)] != [seq]:
            raise PreferenceChangedSinceError
        _require_valid({("path", "seq"): (change.key, change.old_value)}, _scope_of(change.device_id))
        layer = await writer.write(layer, {change.key: change.old_value})
        return _view(layer.changes[0])

    def _writer(self, principal: Principal) -> PreferenceWriter:
        return PreferenceWriter(self._session, self._clock, principal)


def _require_valid(values: Mapping[tuple[str, str], tuple[str, Any]], scope: PreferenceScope) -> None:
    """Look at each key and value; the place in the request where they stand goes into what is told of their faults.

    Raises:
        InvalidInputError: at least one is not valid.
    """
    faults = [
        {"loc": [*place, *inner], "type": rule, "msg": message}
        for place, (key, value) in values.items()
        for inner, rule, message in _faults_of(key, value, scope)
    ]
    if faults:
        raise InvalidInputError(errors=faults[:_MAX_FAULTS])


def _faults_of(key: str, value: Any, scope: PreferenceScope) -> Iterable[Fault]:
    definition = find_preference(key)
    if definition is None:
        return [((), "preference_unknown", "must be a declared preference, or one of your own under `x-`")]
    if value is None:
        return ()
    if scope not in definition.scopes:
        return [((), "preference_scope", "can only be set for every device at once")]
    return definition.faults(value)


def _is_valid(definition: PreferenceDefinition, row: UserPreference) -> bool:
    """Whether a stored value holds; a release may have become stricter since."""
    return _scope_of(row.device_id) in definition.scopes and definition.accepts(row.value)


def _scope_of(layer_id: UUID) -> PreferenceScope:
    return PreferenceScope.USER if layer_id == ACCOUNT_LAYER else PreferenceScope.DEVICE


def _stored(row: UserPreference) -> StoredPreference:
    return StoredPreference(row.value, row.seq, row.updated_at)


def _view(change: PreferenceChange) -> PreferenceChangeView:
    return PreferenceChangeView(
        seq=change.seq,
        key=change.key,
        device_id=None if change.device_id == ACCOUNT_LAYER else change.device_id,
        old_value=change.old_value,
        new_value=change.new_value,
        changed_at=change.changed_at,
        changed_by=change.changed_by,
    )

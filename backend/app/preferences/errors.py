"""The refusals around preferences."""

from app.core.errors import AppError, ConflictError, NotFoundError


class PreferenceNotFoundError(NotFoundError):
    """No such preference, or it is not set."""

    code = "preference_not_found"
    title = "No such preference, or not set"


class PreferenceChangeNotFoundError(NotFoundError):
    """No such change among those that are kept of the account."""

    code = "preference_change_not_found"
    title = "No such change"


class PreferenceDeviceNotFoundError(NotFoundError):
    """The account has set nothing for this device."""

    code = "preference_device_not_found"
    title = "Nothing is set for this device"


class TooManyPreferencesError(ConflictError):
    """The account has set as many preferences as it may."""

    code = "too_many_preferences"
    title = "Too many preferences"


class PreferenceChangedSinceError(ConflictError):
    """Only the last change of a preference can be undone."""

    code = "preference_changed_since"
    title = "The preference was changed again since"


class PreferenceChangesGoneError(AppError):
    """Changes after `since` are no longer kept, or never were: read the preferences as a whole."""

    code = "preference_changes_gone"
    status_code = 410
    title = "These changes are gone"

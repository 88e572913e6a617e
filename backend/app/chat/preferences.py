"""What people may prefer of conversations besides what every installation has."""

from app.chat.types import MAX_RETENTION_DAYS
from app.preferences.registry import declare_preference
from app.preferences.types import PreferenceScope

CHAT_RETENTION_DAYS = declare_preference(
    "chat.retention_days",
    "Conversations are deleted in which nothing was said for so many days, but for pinned ones; by default none are.",
    schema={"type": "integer", "minimum": 1, "maximum": MAX_RETENTION_DAYS},
    scopes=[PreferenceScope.USER],
    since="0.1.0",
)

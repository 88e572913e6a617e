"""The preferences that every installation has. A domain further up may declare its own the same way."""

from app.preferences.registry import declare_preference
from app.preferences.types import PreferenceScope

_FIRST = "0.1.0"
_SWITCH = {"type": "boolean"}
_END = r"(?!\n)$"  # Python's `$` alone lets a last line feed pass; in JavaScript both are the same

THEME = declare_preference(
    "appearance.theme",
    "Light or dark, or as the system has it.",
    schema={"enum": ["system", "light", "dark"]},
    default="system",
    since=_FIRST,
)
TEXT_SCALE = declare_preference(
    "appearance.text_scale",
    "The size of text, as a factor.",
    schema={"type": "number", "minimum": 0.5, "maximum": 3},
    default=1.0,
    since=_FIRST,
)
REDUCED_MOTION = declare_preference(
    "appearance.reduced_motion",
    "Show as little movement as possible; by default as the system has it.",
    schema=_SWITCH,
    since=_FIRST,
)
LANGUAGE = declare_preference(
    "language",
    "The language of the interface, of mails and of replies, as a BCP 47 tag; by default the client's.",
    schema={"type": "string", "maxLength": 35, "pattern": f"^[A-Za-z]{{2,3}}(-[A-Za-z0-9]{{2,8}})*{_END}"},
    since=_FIRST,
)
TIME_ZONE = declare_preference(
    "time_zone",
    "The name of a time zone in the IANA database; by default the client's.",
    schema={"type": "string", "maxLength": 64, "pattern": f"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){{0,2}}{_END}"},
    since=_FIRST,
)
CHAT_DEFAULT_MODEL = declare_preference(
    "chat.default_model",
    "The model of new conversations; by default the service chooses.",
    schema={"type": "string", "minLength": 1, "maxLength": 200},
    since=_FIRST,
)
CHAT_INSTRUCTIONS = declare_preference(
    "chat.instructions",
    "What every model is told about you and about how to answer, before a conversation's own system prompt.",
    schema={"type": "string", "maxLength": 2000},
    scopes=[PreferenceScope.USER],
    since=_FIRST,
)
CHAT_SEND_ON_ENTER = declare_preference(
    "chat.send_on_enter",
    "The enter key sends a message; a line break takes the shift key too.",
    schema=_SWITCH,
    default=True,
    since=_FIRST,
)
CHAT_SHOW_USAGE = declare_preference(
    "chat.show_usage",
    "Show the tokens and the cost of each reply.",
    schema=_SWITCH,
    default=False,
    since=_FIRST,
)
EDITOR_FONT_SIZE = declare_preference(
    "editor.font_size",
    "The size of code, in pixels.",
    schema={"type": "integer", "minimum": 8, "maximum": 40},
    default=14,
    since=_FIRST,
)
EDITOR_TAB_SIZE = declare_preference(
    "editor.tab_size",
    "How many columns a tab takes.",
    schema={"enum": [2, 3, 4, 8]},
    default=4,
    since=_FIRST,
)
EDITOR_KEY_MAP = declare_preference(
    "editor.key_map",
    "The keys of the code editor.",
    schema={"enum": ["default", "vim", "emacs"]},
    default="default",
    since=_FIRST,
)
NOTIFICATIONS_MAIL = declare_preference(
    "notifications.mail",
    "Mails about what is not security; those are always sent.",
    schema=_SWITCH,
    default=True,
    scopes=[PreferenceScope.USER],
    since=_FIRST,
)
NOTIFICATIONS_DESKTOP = declare_preference(
    "notifications.desktop",
    "Tell of finished replies while the page is in the background.",
    schema=_SWITCH,
    default=False,
    since=_FIRST,
)
NOTIFICATIONS_SOUND = declare_preference(
    "notifications.sound",
    "A sound with each notification.",
    schema=_SWITCH,
    default=False,
    since=_FIRST,
)

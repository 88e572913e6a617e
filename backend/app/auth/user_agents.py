"""What device a session runs on, in words."""

import re
from collections import OrderedDict

UNKNOWN_DEVICE = "Unknown device"

_MAX_PARSED = 10
_MAX_KNOWN = 4096
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PRODUCT_FIRST = re.compile(rf"{_WORD}/{_WORD}(?: |$)")

_known: OrderedDict[str, str] = OrderedDict()  # by user agent, the longest unused first


class DeviceNames:
    """Describes the user agents of one answer.

    A text that no rule of the parser fits costs it milliseconds, and callers choose their texts: what does not begin
    like a list of products (RFC 9110 section 10.1.5) is not parsed, and of the rest no more than ten that are new.
    """

    def __init__(self) -> None:
        self._left = _MAX_PARSED

    def describe(self, user_agent: str | None) -> str:
        """Browser and system of a `User-Agent`, such as `Firefox on Linux`."""
        if not user_agent or not _PRODUCT_FIRST.match(user_agent):
            return UNKNOWN_DEVICE
        if user_agent in _known:
            _known.move_to_end(user_agent)
            return _known[user_agent]
        if not self._left:
            return UNKNOWN_DEVICE
        self._left -= 1
        _known[user_agent] = found = _parse(user_agent)
        if len(_known) > _MAX_KNOWN:
            _known.popitem(last=False)
        return found


def describe_user_agent(user_agent: str | None) -> str:
    """The same for a single one."""
    return DeviceNames().describe(user_agent)


def _parse(user_agent: str) -> str:
    # Imported when the first session list is asked for: its rules cost megabytes that most workers never need.
    from ua_parser import parse_os, parse_user_agent  # noqa: PLC0415

    browser_found, system_found = parse_user_agent(user_agent), parse_os(user_agent)
    browser = browser_found.family if browser_found else None
    system = system_found.family if system_found else None
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or UNKNOWN_DEVICE

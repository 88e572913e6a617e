"""What device a session runs on, in words."""

from functools import lru_cache

_UNKNOWN = "Unknown device"


@lru_cache(maxsize=1024)
def describe_user_agent(user_agent: str | None) -> str:
    """Browser and system of a `User-Agent`, such as `Firefox on Linux`."""
    if not user_agent:
        return _UNKNOWN
    # Imported when the first session list is asked for: its rules cost megabytes that most workers never need.
    from ua_parser import parse_os, parse_user_agent  # noqa: PLC0415

    browser_found, system_found = parse_user_agent(user_agent), parse_os(user_agent)
    browser = browser_found.family if browser_found else None
    system = system_found.family if system_found else None
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or _UNKNOWN

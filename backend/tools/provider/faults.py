"""What a provider does wrong, read from words such as `gap=0.05+cut=3`."""

from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Faults:
    """What the answer to one request is like; see the package."""

    headers: float = 0
    hangup: bool = False
    status: int = 200
    retry_after: str = ""
    html: bool = False
    redirect: str = ""
    json: bool = False
    garbage: bool = False
    words: int = 0
    text: str = ""
    reasoning: int = 0
    pad: int = 0
    huge: int = 0
    empty: bool = False
    finish: str = "stop"
    actual: str = ""
    bytes: int = 0
    pings: bool = False
    first: float = 0
    gap: float = 0
    stall: int = -1
    cut: int = -1
    end: int = -1
    error: int = -1
    malformed: int = -1
    endless: bool = False
    line: bool = False
    nodone: bool = False
    usage: str = ""
    times: int = 0

    def and_then(self, words: str) -> "Faults":
        """These faults, changed by further words.

        Raises:
            ValueError: there is no such fault, or its value is not of its type.
        """
        types: dict[str, Any] = {field.name: field.type for field in fields(self)}
        changes: dict[str, Any] = {}
        for word in filter(None, words.split("+")):
            name, _, value = word.partition("=")
            if name not in types:
                raise ValueError(f"there is no fault {name!r}")
            changes[name] = True if types[name] is bool else types[name](unquote(value))
        return replace(self, **changes)

"""What the generator of requests needs to know of this service: how its caller proves who it is, again and again.

Loaded by schemathesis in a process of its own; see `tools.fuzz.generator`, which sets the environment.
"""

import json
import os
from pathlib import Path
from typing import Any

import httpx
import schemathesis

_API = f"{os.environ['FUZZ_URL']}/api/v1"
_CALLER = os.environ["FUZZ_CALLER"]
_TALLY = Path(os.environ["FUZZ_TALLY"])
_UNAUTHORIZED = 401


def _log_in() -> dict[str, str]:
    login = {"email": os.environ["FUZZ_EMAIL"], "password": os.environ["FUZZ_PASSWORD"]}
    answer = httpx.post(f"{_API}/auth/login", json=login, timeout=30).raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def _become_guest() -> dict[str, str]:
    answer = httpx.post(f"{_API}/guests", timeout=30).raise_for_status()
    return {"Guest-Token": answer.json()["token"]}


_WAYS = {"administrator": _log_in, "account": _log_in, "guest": _become_guest, "anonymous": dict}


class _Caller:
    """Whoever calls; any of the requests may end the session."""

    headers: dict[str, str] | None = None


@schemathesis.auth(refresh_interval=None)
class Login:
    """Signs every request with a token that is alive."""

    def get(self, _case: Any, _context: Any) -> dict[str, str]:
        """The headers."""
        if _Caller.headers is None:
            _Caller.headers = _WAYS[_CALLER]()
        return _Caller.headers

    def set(self, case: Any, data: dict[str, str], _context: Any) -> None:
        """Sign a request."""
        case.headers.update(data)


@schemathesis.serializer("application/x-ndjson")
def write_lines(_context: Any, value: Any) -> bytes:
    """What is generated as one value is sent as one line; texts and bytes as they are."""
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "surrogatepass") + b"\n"


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    """Note the answer, and come back once a request has ended the session."""
    with _TALLY.open("a", encoding="utf-8") as tally:
        tally.write(f"{response.status_code} {case.operation.label}\n")
    if response.status_code == _UNAUTHORIZED:
        _Caller.headers = None

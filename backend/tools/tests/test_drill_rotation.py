"""The drill of key rotations must notice a token that comes before its key, a failure, and that too little happened."""

import base64
import json
from types import SimpleNamespace
from typing import Any

from tools.drill import rotation
from tools.drill.client import Answer
from tools.drill.report import Verdict
from tools.drill.rotation import Tally, Verifier, kid_of


def token_of(kid: str) -> str:
    """Something with the header of a token."""
    return base64.urlsafe_b64encode(json.dumps({"kid": kid}).encode()).rstrip(b"=").decode() + ".e30.x"


class KeyServer:
    """Answers with a key set, and counts how often it is asked."""

    def __init__(self, max_age: int) -> None:
        self.kids = ["a"]
        self.asked = 0
        self._max_age = max_age

    async def request(self, *_: Any, **__: Any) -> Answer:
        """The key set of this moment."""
        self.asked += 1
        body = json.dumps({"keys": [{"kid": kid} for kid in self.kids]}).encode()
        return Answer(200, {"cache-control": f"public, max-age={self._max_age}"}, body, 0.0)


def test_a_tokens_key_is_read_from_its_header() -> None:
    assert kid_of(token_of("some key")) == "some key"


async def test_a_verifier_keeps_the_keys_as_long_as_it_may() -> None:
    """A key that appears too late is unknown: the verifier never asks before its time."""
    for max_age, knows in ((60, False), (0, True)):
        server: Any = KeyServer(max_age)
        verifier = Verifier(server)
        assert await verifier.knows(token_of("a"))
        server.kids.append("b")
        assert await verifier.knows(token_of("b")) is knows
        assert server.asked == (2 if knows else 1)


async def test_a_failed_request_is_a_violation_and_few_requests_are_void() -> None:
    async def removed(_statement: object) -> list[list[int]]:
        return [[0]]

    site: Any = SimpleNamespace(fetch=removed, name="SQLite")
    tally = Tally()
    assert tally.note("login", Answer(200, {}, b"{}", 0.0))
    assert (await rotation._result(site, tally, 2, 10.0)).verdict is Verdict.VOID
    tally.by_kind.update({"GET": 200, "refresh": 1})
    tally.by_key.update({"a": 100, "b": 100})
    assert (await rotation._result(site, tally, 2, 10.0)).verdict is Verdict.PASS
    assert (await rotation._result(site, tally, 2, 200.0)).verdict is Verdict.VOID  # long enough to remove a key
    assert not tally.note("GET", Answer(401, {}, b"{}", 0.0))
    assert (await rotation._result(site, tally, 2, 10.0)).verdict is Verdict.FAIL

"""The generated requests are sent by administrators, by an ordinary account and by a guest."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.auth.types import Role
from tools.drill import inputs
from tools.drill.client import Answer
from tools.drill.inputs import Caller, Tally, _send_all
from tools.drill.requests import Attempt, Operation
from tools.drill.site import API

OPERATION = Operation("look", "GET", "/look", (), None, needs_token=True)
GUEST = {"Guest-Token": "mgt_1"}
Sent = list[tuple[str, str | None, dict[str, str]]]


class Service:
    """Takes every account and guest, and notes everything else; 401 to what it is told to refuse."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.sent: Sent = []
        self.guests = 0
        self._refuses = refuses

    async def __aenter__(self) -> "Service":
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        """One answer."""
        made = b'{"id": "0193b4a0-0000-7000-8000-000000000001", "access_token": "at", "refresh_token": "r.%s.1"}'
        if path.startswith(f"{API}/auth"):
            return Answer(200, {}, made % b"0193b4a0-0000-7000-8000-000000000002", 0.0)
        if path == f"{API}/guests":
            self.guests += 1
            return Answer(201, {}, b'{"token": "mgt_%d"}' % self.guests, 0.0)
        self.sent.append((path, options.get("token"), dict(options.get("headers") or {})))
        return Answer(401 if self._refuses else 200, {}, b"{}", 0.0)


def site(roles: list[Role]) -> Any:
    async def execute(statement: Any) -> None:
        roles.append(statement.compile().params["role"])

    return SimpleNamespace(execute=execute)


@pytest.mark.parametrize("role", [Role.ADMIN, Role.USER, None])
async def test_each_kind_of_caller_shows_what_it_has(role: Role | None) -> None:
    service, roles = Service(), list[Role]()
    caller = Caller(site(roles), cast("Any", service), Tally(), role)
    await caller.prepare()
    await caller.send(Attempt(OPERATION, {}))
    await caller.send(Attempt(OPERATION, {}, is_signed=False))
    signed = ("/look", "at", {}) if role else ("/look", None, GUEST)
    assert service.sent == [signed, ("/look", None, {})]
    assert roles == ([role] if role else [])


async def test_a_guest_who_is_gone_becomes_another_one() -> None:
    service = Service(refuses=True)
    caller = Caller(site([]), cast("Any", service), Tally(), None)
    await caller.prepare()
    await caller.send(Attempt(OPERATION, {}))
    assert [path for path, *_ in service.sent] == ["/look", f"{API}/guests/me"]
    assert service.guests == 2


async def test_the_corpus_is_sent_by_administrators_and_generated_requests_by_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = Service()
    monkeypatch.setattr(inputs, "Client", lambda _: service)
    roles: list[Role] = []
    tally = await _send_all(site(roles), 1, [OPERATION], generated=60, stride=1, seed=1)
    by_guest = [headers for _, _, headers in service.sent if "Guest-Token" in headers]
    assert 5 <= len(by_guest) <= 10
    assert roles.count(Role.USER) == 1
    assert roles.count(Role.ADMIN) == 4
    assert tally.total == len(service.sent) > 60

"""Devices in words: what callers say of themselves must not cost others anything."""

import pytest
import ua_parser

from app.auth import user_agents
from app.auth.user_agents import UNKNOWN_DEVICE, DeviceNames, describe_user_agent
from app.main import Services
from tests.auth.audit.trails import FIREFOX, record
from tests.support import Account

NONE = [None, "", "x" * 256, "Mozilla", "/5.0", "a/", "who knows/1", "a/b;c", "(X11)/1.0 Firefox/140.0", "é/1", " a/1"]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the parser is given; nothing is known before."""
    given: list[str] = []
    genuine = ua_parser.parse_user_agent

    def note(user_agent: str) -> object:
        given.append(user_agent)
        return genuine(user_agent)

    monkeypatch.setattr(ua_parser, "parse_user_agent", note)
    monkeypatch.setattr(user_agents, "_known", type(user_agents._known)())
    return given


@pytest.mark.parametrize("user_agent", NONE)
def test_what_does_not_begin_like_products_is_not_parsed(parsed: list[str], user_agent: str | None) -> None:
    """RFC 9110 section 10.1.5: a product and its version come first."""
    assert describe_user_agent(user_agent) == UNKNOWN_DEVICE
    assert parsed == []


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [(FIREFOX, "Firefox on Linux"), ("curl/8.5.0", "curl"), ("python-requests/2.32.3", "Python Requests"),
     ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile/15E148 [FBAN/FBIOS;FBAV/470.0]",
      "Facebook on iOS")],
)  # fmt: skip
def test_real_ones_are_described(parsed: list[str], user_agent: str, device: str) -> None:
    assert {describe_user_agent(user_agent) for _ in range(3)} == {device}
    assert parsed == [user_agent]


def test_one_answer_parses_ten(parsed: list[str]) -> None:
    """The next one goes on behind them, for those are known by then."""
    texts = [f"curl/8.{number}" for number in range(25)]
    for known in (10, 20, 25):
        devices = DeviceNames()
        assert [devices.describe(text) for text in texts] == ["curl"] * known + [UNKNOWN_DEVICE] * (25 - known)
        assert parsed == texts[:known]


def test_memory_is_bounded(parsed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest unused are forgotten."""
    monkeypatch.setattr(user_agents, "_MAX_KNOWN", 2)
    for text in ("a/1", "b/1", "a/1", "c/1"):
        describe_user_agent(text)
    assert list(user_agents._known) == ["a/1", "c/1"]


async def test_no_page_costs_more(services: Services, account: Account, parsed: list[str]) -> None:
    """A page of events, each of another device, stops the others for no longer than a page of ten."""
    for number in range(25):
        body = {"full_name": "Ada"}
        headers = {"User-Agent": f"curl/8.{number}"}
        assert (await account.request("PATCH", "/users/me", json=body, headers=headers)).is_success
    await record(services)
    answer = await account.get("/users/me/events", params={"limit": 100})
    assert len(answer.json()["items"]) > 25
    assert len(parsed) == 10
    for number in range(12):
        body = {"email": account.email, "password": account.password}
        headers = {"User-Agent": f"wget/1.{number}"}
        assert (await account.client.post("/api/v1/auth/login", json=body, headers=headers)).is_success
    parsed.clear()
    assert len((await account.get("/users/me/sessions", params={"limit": 100})).json()["items"]) == 13
    assert len(parsed) == 10

"""Which price holds: pure rules, without a database."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.auth.guests.types import Owner
from app.chat.usage.administration import price_row
from app.chat.usage.models import ModelPrice
from app.chat.usage.price_files import MAX_FILE_BYTES, read_prices
from app.chat.usage.pricing import find_sheet, highest_cost, matches, names_of, prefixes_of
from app.chat.usage.schemas import PriceCreate
from app.chat.usage.types import PriceUnit, SettledUsage, TokenCounts
from app.core.errors import InvalidInputError
from app.core.ids import new_id
from tests.chat.usage.support import settled

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OWNER = Owner(user_id=new_id())


def price(pattern: str, value: str = "0.000001", unit: str = "input", **members: Any) -> ModelPrice:
    body = {"match_pattern": pattern, "unit": unit, "price": value, **members}
    return price_row(PriceCreate.model_validate(body))


def reply(model: str = "gpt-4o-mini", provider: str = "openai", **members: Any) -> SettledUsage:
    return settled(OWNER, model=model, provider=provider, at=NOW, **members)


@pytest.mark.parametrize(
    ("pattern", "name", "is_match"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o*", "gpt-4o", True),
        ("*", "", True),
        ("*mini", "gpt-4o-mini", True),
        ("*mini", "gpt-4o-minimal", False),
        ("gpt-*-mini*", "gpt-4o-mini-2024", True),
        ("a*b*a", "aba", True),
        ("a*a", "a", False),
        ("ab*ba", "aba", False),
        ("*a*b*c*", "xcxbxax", False),
        ("[a-z]+", "abc", False),
    ],
)
def test_a_pattern_is_text_with_gaps(pattern: str, name: str, is_match: bool) -> None:
    assert matches(pattern, name) is is_match


def test_no_pattern_takes_long() -> None:
    """What makes regular expressions explode."""
    assert not matches("*a" * 60 + "*b", "a" * 128)


@pytest.mark.parametrize(
    ("patterns", "taken"),
    [
        (["*", "gpt-*", "gpt-4o*", "gpt-4o-mini*", "gpt-4o-mini"], "gpt-4o-mini"),
        (["gpt-4o*", "openai/gpt-4o*"], "openai/gpt-4o*"),
        (["gpt-4o-m*", "*gpt-4o-m*"], "gpt-4o-m*"),
        (["gpt-4o-m*", "gpt-4o-*i"], "gpt-4o-m*"),  # as specific as each other: by their letters
        (["claude*"], None),
        ([], None),
    ],
)
def test_the_most_specific_pattern_wins(patterns: list[str], taken: str | None) -> None:
    for order in (patterns, patterns[::-1]):
        sheet = find_sheet([price(pattern) for pattern in order], reply())
        assert (sheet and sheet.pattern) == taken


def test_a_provider_by_name_goes_before_any() -> None:
    prices = [price("gpt*", "1"), price("gpt*", "2", provider="azure"), price("gpt*", "3", provider="openai")]
    sheet = find_sheet(prices, reply())
    assert sheet
    assert sheet.prices == {PriceUnit.INPUT: Decimal(3)}
    fallback = find_sheet(prices, reply(provider="elsewhere"))
    assert fallback
    assert fallback.prices == {PriceUnit.INPUT: Decimal(1)}


def test_units_fall_back_within_their_sheet_only() -> None:
    """A cheap model's cached tokens must not cost what its dear relative's do."""
    prices = [price("gpt*", "9", "cached_input"), price("gpt-4o-mini", "2"), price("gpt-4o-mini", "5", "output")]
    sheet = find_sheet(prices, reply())
    assert sheet
    assert sheet.cost(TokenCounts(prompt=3, cached=1, cache_write=1, completion=2, reasoning=1)) == 3 * 2 + 2 * 5


def test_prices_hold_from_a_moment_to_a_moment() -> None:
    later = NOW + timedelta(days=1)
    prices = [
        price("gpt*", "1"),
        price("gpt*", "2", valid_from=NOW),
        price("gpt*", "3", valid_from=later),
        price("gpt*", "7", "request", valid_to=NOW),
    ]
    for moment, expected in ((NOW - timedelta(microseconds=1), 1), (NOW, 2), (later, 3)):
        usage = settled(OWNER, model="gpt", provider="x", at=moment)
        sheet = find_sheet(reversed(prices), usage)
        assert sheet
        assert sheet.prices[PriceUnit.INPUT] == expected
        assert (PriceUnit.REQUEST in sheet.prices) is (moment < NOW)


def test_a_tier_holds_where_its_conditions_are_met() -> None:
    prices = [
        price("gpt*", "1"),
        price("gpt*", "2", tier="long", tokens_prompt_above=1000),
        price("gpt*", "3", tier="longer", tokens_prompt_above=9000),
        price("gpt*", "4", tier="fast", service_tier=["fast", "priority"]),
    ]
    for prompt, expected in ((1000, 1), (1001, 2), (9001, 3)):
        sheet = find_sheet(prices, reply(prompt=prompt))
        assert sheet
        assert sheet.prices[PriceUnit.INPUT] == expected
    fast = SettledUsage(new_id(), OWNER, None, "gpt", "x", TokenCounts(), reply().source, NOW, service_tier="fast")
    sheet = find_sheet(prices, fast)
    assert sheet
    assert sheet.tier == "fast"


def test_the_highest_cost_holds_whoever_answers() -> None:
    prices = [
        price("gpt*", "1"),
        price("gpt*", "2", "output"),
        price("gpt*", "3", "cache_write"),
        price("gpt*", "5", "request"),
        price("gpt*", "11", "output", provider="dear"),
        price("gpt*", "30", "output", provider="dear", tier="fast", service_tier=["fast"]),
        price("claude", "100"),
        price("o3", "1", tier="fast", service_tier=["fast"]),
        price("o*", "2"),
        price("*", "1", tokens_prompt_above=5),
    ]
    assert highest_cost(prices, ["gpt-4o"], NOW, prompt=10, completion=2) == 2 * 30
    assert highest_cost(prices[:4], ["gpt-4o"], NOW, prompt=10, completion=2) == 30 + 4 + 5
    assert highest_cost(prices, ["gpt-4o", "claude"], NOW, prompt=10, completion=2) == 1000
    assert highest_cost(prices, ["u"], NOW, prompt=10, completion=2) == 10
    assert highest_cost(prices, ["o3"], NOW, prompt=10, completion=2) == 20, "a tier that may not hold"
    assert highest_cost([], ["o3"], NOW, prompt=10, completion=2) == 0


def test_a_model_is_known_with_and_without_its_provider() -> None:
    assert names_of("openai/gpt", "openai") == names_of("gpt", "openai") == ("gpt", "openai/gpt")
    assert names_of("openai/gpt", None) == ("openai/gpt", "gpt")
    assert names_of("gpt", None) == ("gpt",)
    assert prefixes_of(["ab"]) == {"", "a", "ab"}


CSV = b"""match_pattern,unit,price,per,provider,tier,valid_from,valid_to,service_tier,tokens_prompt_above
gpt-4o-mini*,input,0.15,1000000,,,2024-07-18T00:00:00Z,,,
gpt-4o-mini*,output,0.60,1000000,openai,fast,,,fast|priority,1000
"""


def test_a_csv_file_is_read() -> None:
    first, second = read_prices(b"\xef\xbb\xbf" + CSV)
    assert (first.unit_price, first.provider, first.tier, first.conditions) == (Decimal("1.5E-7"), "*", "standard", {})
    assert first.valid_from == datetime(2024, 7, 18, tzinfo=UTC)
    assert second.conditions == {"service_tier": ["fast", "priority"], "tokens_prompt_above": 1000}
    assert read_prices(b' [{"match_pattern": "a", "unit": "request", "price": "1"}]')[0].unit_price == 1


@pytest.mark.parametrize(
    "content",
    [
        b"[",
        b"[1]",
        b"\xff\xfe",
        b'match_pattern,unit,price\n"a,input,1',
        b"match_pattern,unit,price\na,input,1,2\n",
        b"match_pattern,unit,price\na,input,-1\n",
        b"match_pattern,unit,price\na,input,NaN\n",
        b"match_pattern,unit,price\na,input,1e-16\n",
        b"match_pattern,unit,price,per\na,input,1e-10,1000000\n",
        b"match_pattern,unit,price\na,input,1001\n",
        b"match_pattern,unit,price\na,words,1\n",
        b"match_pattern,unit,price,valid_from,valid_to\na,input,1,2026-01-02T00:00:00Z,2026-01-01T00:00:00Z\n",
        b"match_pattern,unit,price\n*a*b*c*d*,input,1\n",
        b"match_pattern,unit,price\n" + b"a,input,1\n" * 5001,
        b" " * (MAX_FILE_BYTES + 1),
    ],
    ids=range(15),
)
def test_what_is_no_file_of_prices_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInputError):
        read_prices(content)

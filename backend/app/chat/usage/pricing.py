"""Which price holds for a response, and what the response costs. Everything here is exact but for one rounding.

A pattern's prices are one sheet: the most specific sheet that matches is taken whole, and units that it does not name
fall back within it, so that a cheap model never pays a dear relative's price for its cached tokens.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from app.chat.usage.models import ModelPrice
from app.chat.usage.types import ANY_PROVIDER, COST_DECIMALS, PriceUnit, SettledUsage, TokenCounts

_NANO = Decimal(1).scaleb(-COST_DECIMALS)
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)  # 18 digits of tokens times 19 of a price, and room for sums
_FREE = Decimal(0)
_IN = (PriceUnit.INPUT, PriceUnit.CACHED_INPUT, PriceUnit.CACHE_WRITE)
_OUT = (PriceUnit.OUTPUT, PriceUnit.REASONING)


@dataclass(frozen=True, slots=True)
class PriceSheet:
    """The prices of one pattern, provider and tier at one moment, by unit."""

    pattern: str
    provider: str
    tier: str
    conditions: Mapping[str, Any]
    prices: Mapping[PriceUnit, Decimal]

    @property
    def rank(self) -> tuple[int, int, bool]:
        """How specific the pattern is: its letters, then how few gaps, then whether it names a provider."""
        gaps = self.pattern.count("*")
        return (len(self.pattern) - gaps, -gaps, self.provider != ANY_PROVIDER)

    @property
    def precedence(self) -> tuple[tuple[int, int, bool], int, int, str, str]:
        """The sheet with the highest one is taken; no two sheets have the same."""
        above = int(self.conditions.get("tokens_prompt_above", -1))
        return (self.rank, len(self.conditions), above, self.tier, self.pattern)

    @property
    def told(self) -> dict[str, Any]:
        """The sheet as it is kept with a response that was paid by it; the rows of its prices may be replaced."""
        return {
            "match_pattern": self.pattern,
            "provider": self.provider,
            "tier": self.tier,
            "prices": {unit.value: format(price, "f") for unit, price in self.prices.items()},
        }

    def applies_to(self, tokens: TokenCounts, service_tier: str) -> bool:
        """Whether the conditions of the tier are met."""
        tiers, above = self.conditions.get("service_tier"), self.conditions.get("tokens_prompt_above")
        return (tiers is None or service_tier in tiers) and (above is None or tokens.prompt > above)

    def cost(self, tokens: TokenCounts) -> Decimal:
        """What a response costs, to the last decimal of the prices.

        Cached and written tokens are taken out of the prompt, reasoning ones out of the completion; one with no price
        of its own costs what the rest of them costs.
        """
        price = self.prices
        into, out = price.get(PriceUnit.INPUT, _FREE), price.get(PriceUnit.OUTPUT, _FREE)
        cached = min(tokens.cached, tokens.prompt)
        written = min(tokens.cache_write, tokens.prompt - cached)
        reasoning = min(tokens.reasoning, tokens.completion)
        parts = (
            (tokens.prompt - cached - written, into),
            (cached, price.get(PriceUnit.CACHED_INPUT, into)),
            (written, price.get(PriceUnit.CACHE_WRITE, into)),
            (tokens.completion - reasoning, out),
            (reasoning, price.get(PriceUnit.REASONING, out)),
            (1, price.get(PriceUnit.REQUEST, _FREE)),
        )
        return _sum(_EXACT.multiply(Decimal(count), each) for count, each in parts)

    def highest_cost(self, prompt: int, completion: int) -> Decimal:
        """What a response of at most these tokens costs at most, whatever part of them is cached or reasoning."""
        into = max(self.prices.get(unit, _FREE) for unit in _IN)
        out = max(self.prices.get(unit, _FREE) for unit in _OUT)
        parts = ((prompt, into), (completion, out), (1, self.prices.get(PriceUnit.REQUEST, _FREE)))
        return _sum(_EXACT.multiply(Decimal(count), each) for count, each in parts)


def names_of(model: str, provider: str | None) -> tuple[str, ...]:
    """The names under which patterns may know a model: with its provider's prefix and without.

    Where nobody knows the provider, what stands before a slash is taken for its prefix.
    """
    if not provider:
        return (model, model.partition("/")[2]) if "/" in model else (model,)
    bare = model.removeprefix(f"{provider}/")
    return (bare, f"{provider}/{bare}")


def prefixes_of(names: Iterable[str]) -> set[str]:
    """Every text that a matching pattern may begin with, up to its first `*`."""
    return {name[:length] for name in names for length in range(len(name) + 1)}


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern matches a whole name; `*` stands for any text. Takes time in proportion to both lengths."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == name
    *middle, last = rest
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def find_sheet(prices: Iterable[ModelPrice], usage: SettledUsage) -> PriceSheet | None:
    """The sheet that a response is paid by, or None where nobody has given its model a price."""
    names = names_of(usage.model, usage.provider)
    providers = {usage.provider, ANY_PROVIDER}
    fitting = (sheet for sheet in _sheets(prices, names, usage.at) if sheet.provider in providers)
    applying = (sheet for sheet in fitting if sheet.applies_to(usage.tokens, usage.service_tier))
    return max(applying, key=lambda sheet: sheet.precedence, default=None)


def highest_cost(
    prices: Collection[ModelPrice], models: Iterable[str], at: datetime, *, prompt: int, completion: int
) -> Decimal:
    """What a reply of one of these models costs at most, whichever provider and tier serve it in the end."""
    costs = (sheet.highest_cost(prompt, completion) for model in models for sheet in _possible(prices, model, at))
    return max(costs, default=_FREE)


def _possible(prices: Collection[ModelPrice], model: str, at: datetime) -> Iterator[PriceSheet]:
    """The sheets that may come to hold: of each provider the most specific ones, down to one without conditions."""
    sheets = _sheets(prices, names_of(model, None), at)
    for provider in {sheet.provider for sheet in sheets}:
        usable = [sheet for sheet in sheets if sheet.provider in {provider, ANY_PROVIDER}]
        certain = max((sheet.rank for sheet in usable if not sheet.conditions), default=None)
        yield from (sheet for sheet in usable if certain is None or sheet.rank >= certain)


def round_cost(cost: Decimal) -> Decimal:
    """A response's cost in whole nano-dollars: rounded once, half to even (IEEE 754 section 4.3.1)."""
    return cost.quantize(_NANO, rounding=ROUND_HALF_EVEN, context=_EXACT)


def _sheets(prices: Iterable[ModelPrice], names: Collection[str], at: datetime) -> list[PriceSheet]:
    """The sheets whose pattern matches, each with the newest of its prices that hold at this moment."""
    found: dict[tuple[str, str, str], dict[PriceUnit, ModelPrice]] = defaultdict(dict)
    for price in sorted(prices, key=lambda row: row.valid_from):
        holds = price.valid_from <= at and (price.valid_to is None or at < price.valid_to)
        if holds and any(matches(price.match_pattern, name) for name in names):
            found[(price.match_pattern, price.provider, price.tier)][price.unit] = price
    return [
        PriceSheet(
            pattern,
            provider,
            tier,
            max(units.values(), key=lambda row: row.valid_from).conditions,
            {unit: row.price for unit, row in units.items()},
        )
        for (pattern, provider, tier), units in found.items()
    ]


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = _FREE
    for amount in amounts:
        total = _EXACT.add(total, amount)
    return total

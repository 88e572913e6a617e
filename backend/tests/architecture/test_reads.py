"""Every GET of the document: as many statements for a page as for one row, and none that reads a table from end to end.

A new operation needs nothing here but the parameters that it cannot do without, and its rows in `estates`.
"""

import asyncio
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.core.ids import new_id
from app.main import Services
from tests.api.operations import OPERATIONS
from tests.architecture.estates import KEY, OPERATION, SESSION, TAG, Estate, crowd, settle
from tests.chat.stage import Caller, GuestCaller, converse, make_guest, owner_of, say
from tests.db.rows import MOMENT
from tests.statements import Reading, Sent, analyze, read_from_end_to_end, readings, recorded_sql
from tests.support import Account

PAGE = 6
OTHERS = 150
MOST_STATEMENTS = 7
BETWEEN_REQUESTS = "FROM revocations"  # what a process reads once a second, whoever calls

Query = dict[str, Any]
START = MOMENT.replace(hour=0, minute=0, second=0, microsecond=0)
DAY = {"start": START.isoformat(), "end": (START + timedelta(days=1)).isoformat()}
SORTS: list[Query] = [{"sort": f"{sign}{column}"} for sign in ("", "-") for column in ("created_at", "last_message_at")]
REPORT = {**DAY, "bucket": "1d", "group_by": "model"}

# The parameters of each operation's requests, besides `limit`; braces hold what is in paths too.
QUERIES: dict[str, list[Query]] = {
    "list_conversations": [
        {}, *SORTS, {"is_archived": True}, {"is_pinned": True}, {"tag": TAG}, {"folder_id": "{folder_id}"},
    ],
    "list_folders": [{}, {"parent_id": "{folder_id}"}],
    "list_messages": [{}, {"leaf": "{leaf_id}"}],
    "read_response": [{}, {"stream": True}],
    "get_conversation_history": [{"session_id": SESSION}],
    "search_messages": [{"q": "needle"}],
    "get_usage": [REPORT],
    "get_everyones_usage": [REPORT, {**REPORT, "user_id": "{user_id}"}],
    "query_metrics": [{"operation": OPERATION, "from": DAY["start"], "to": DAY["end"]}],
}  # fmt: skip

# More statements than others, and why.
MANY_STATEMENTS = {
    "get_dashboard": 15,  # a page of many figures, for administrators
    "search_messages": 9,  # the collection, its figures, the words, the documents, their places, messages and ways
    "export_chat": 99,  # a stream of everything: one conversation after the other, a page of its messages at a time
}
GROWING = {"export_chat"}
FIXED = {"list_permissions"}  # what is in code

# Tables that are read as a whole.
SMALL = {
    "metric_retention": "rules that administrators write by hand",
    "signing_keys": "one or two a rotation",
    "usage_limits": "limits that administrators write by hand",
    **dict.fromkeys(
        ("search_collections", "search_documents", "search_postings"), "tests/search/test_plans.py has more"
    ),
}
# Lists of what no caller owns: without a filter their first page begins at the end of an index, but where MariaDB would
# rather sort a few rows (with thousands: `test_query_plans`).
WALKED = {"audit_events", "jobs", "model_prices", "roles", "service_accounts", "usage_limits", "users"}


@dataclass(frozen=True)
class Get:
    """One GET request, of an account or a guest, and whether it answers with a page."""

    name: str
    path: str
    query: Query
    is_page: bool
    has_cursor: bool


class Visitor:
    """Someone who calls every operation open to them, and has what they show."""

    def __init__(self, services: Services, caller: Caller, *, number: int) -> None:
        self._services = services
        self._caller = caller
        self._estate = Estate(owner_of(caller), services.chat.share_tokens.new(new_id()), number)

    async def grow(self, count: int) -> None:
        """Have more of everything, and say more that can be found."""
        await settle(self._services.database, self._estate, count=count)
        for _ in range(count):
            conversation = await converse(self._caller)
            await say(self._services, self._caller, conversation["id"], "needle")

    def may(self, get: Get) -> bool:
        """Whether the request is one for such a caller."""
        operation = OPERATIONS[get.name]
        if isinstance(self._caller, GuestCaller):
            return operation.guests and "{folder_id}" not in get.query.values()
        return not operation.for_guests_only

    async def send(self, get: Get, **more: Any) -> tuple[Any, list[Sent]]:
        """Call it: the answer, and the queries it took."""
        values = self._values()
        query = {name: value.format(**values) if isinstance(value, str) else value for name, value in get.query.items()}
        headers = self._caller.headers
        with recorded_sql(self._services.database) as sent:
            path = get.path.format(**values)
            answer = await self._caller.client.get(path, params=query | more, headers=headers)
            await asyncio.sleep(0)  # asyncpg tells of a query in the loop's next turn
        assert answer.status_code == httpx.codes.OK, (get, answer.text)
        is_json = answer.headers["content-type"] == "application/json"
        return answer.json() if is_json else None, [one for one in sent if one.is_query and BETWEEN_REQUESTS not in one]

    def _values(self) -> dict[str, Any]:
        """What stands in paths and parameters."""
        tables = {
            "conversation": "conversations", "response": "responses", "folder": "folders", "role": "roles",
            "service": "service_accounts", "job": "jobs", "import": "imports",
            "limit": "usage_limits",
        }  # fmt: skip
        messages, link = self._estate.keys["messages.id"], self._estate.link
        return {
            **{f"{name}_id": self._estate.first(table) for name, table in tables.items()},
            "message_id": messages[1],
            "leaf_id": messages[-2],
            "user_id": self._estate.owner.user_id,
            "key": KEY,
            "token": link and link.text,
        }


def gets(app: FastAPI) -> Iterator[Get]:
    """Every GET of the document, once for each set of parameters."""
    for path, item in app.openapi()["paths"].items():
        if (operation := item.get("get")) is None:
            continue
        name, names = operation["operationId"], {one["name"] for one in operation.get("parameters", [])}
        schema = operation["responses"]["200"].get("content", {}).get("application/json", {}).get("schema", {})
        is_page = schema.get("type") == "array" or re.search(r"Page(Read)?_|/\w+PageRead$", schema.get("$ref", ""))
        for query in QUERIES.get(name, [{}]):
            limit = {"limit": PAGE} if "limit" in names else {}
            yield Get(name, path, limit | query, bool(is_page), "cursor" in names)


def items_of(answer: Any) -> int:
    """How many rows a page shows; buckets of a report are as many whatever is in them, and their groups count."""
    if isinstance(answer, dict) and "data" in answer:
        return max(len(bucket["results"]) for bucket in answer["data"])
    return len(answer if isinstance(answer, list) else answer["items"])


def excused(reading: Reading, *, is_first_page: bool) -> bool:
    """Whether a table may be read from end to end."""
    return reading.table in SMALL or (is_first_page and reading.table in WALKED)


async def counted(app: FastAPI, visitors: list[Visitor], expected: range) -> dict[tuple[Visitor, str], list[Sent]]:
    """The queries of every request, each of which shows so many rows."""
    found = {}
    for get in gets(app):
        for visitor in filter(lambda one: one.may(get), visitors):
            answer, sent = await visitor.send(get)
            if get.is_page and get.name not in FIXED:
                assert items_of(answer) in expected, (get, answer)
            found[visitor, repr(get)] = sent
    return found


@pytest.mark.timeout(120)
async def test_reading_costs_the_same_for_a_page_and_seeks_what_it_shows(
    app: FastAPI, services: Services, admin: Account
) -> None:
    guest = await make_guest(admin.client)
    visitors = [Visitor(services, admin, number=0), Visitor(services, guest, number=100)]
    for visitor in visitors:
        await visitor.grow(1)
    few = await counted(app, visitors, range(1, PAGE))
    for visitor in visitors:
        await visitor.grow(PAGE)
    await crowd(services.database, OTHERS, first=1_000)
    await analyze(services.database)
    many = await counted(app, visitors, range(PAGE, sys.maxsize))
    for request, sent in many.items():
        name = request[1].split("'")[1]
        assert len(sent) <= MANY_STATEMENTS.get(name, MOST_STATEMENTS), (request, sent)
        assert len(sent) == len(few[request]) or name in GROWING, (request, few[request], sent)
    await check_plans(services, many, is_first_page=True)
    await check_plans(services, await following(app, visitors), is_first_page=False)


async def following(app: FastAPI, visitors: list[Visitor]) -> dict[tuple[Visitor, str], list[Sent]]:
    """The queries of the second page of every list."""
    found = {}
    for get in gets(app):
        for visitor in filter(lambda one: one.may(get), visitors):
            if get.has_cursor:
                first, _ = await visitor.send(get, limit=2)
                assert first["next_cursor"], get
                _, found[visitor, repr(get)] = await visitor.send(get, limit=2, cursor=first["next_cursor"])
    return found


async def check_plans(services: Services, found: dict[tuple[Visitor, str], list[Sent]], *, is_first_page: bool) -> None:
    """That no statement reads a table from end to end that belongs to more than its caller."""
    whose = {sent: request[1] for request, some in found.items() for sent in some}
    for sent, plan in (await read_from_end_to_end(services.database, whose)).items():
        wrong = [reading for reading in plan if not excused(reading, is_first_page=is_first_page)]
        assert not wrong, (whose[sent], sent, wrong)


PLANS = [
    ("sqlite", "SCAN messages", {Reading("messages", is_by_index=False)}),
    ("sqlite", "SCAN messages_1 USING COVERING INDEX x", {Reading("messages", is_by_index=True)}),
    ("sqlite", "SEARCH messages USING INDEX x (id=?)\nSCAN way", set()),
    ("postgresql", '[{"Plan": {"Node Type": "Limit", "Plans": [{"Node Type": "Seq Scan", "Relation Name": "jobs"}]}}]',
     {Reading("jobs", is_by_index=False)}),
    ("postgresql", '[{"Plan": {"Node Type": "Index Scan", "Relation Name": "jobs"}}]',
     {Reading("jobs", is_by_index=True)}),
    ("postgresql", '[{"Plan": {"Node Type": "Index Scan", "Relation Name": "jobs", "Index Cond": "(x = 1)"}}]', set()),
    ("mysql", '{"query_block": {"table": {"table_name": "jobs", "access_type": "ALL"}}}',
     {Reading("jobs", is_by_index=False)}),
    ("mysql", '{"query_block": {"table": {"table_name": "jobs", "access_type": "index"}}}',
     {Reading("jobs", is_by_index=True)}),
    ("mysql", '{"query_block": {"table": {"table_name": "<derived2>", "access_type": "ALL"}}}', set()),
]  # fmt: skip


@pytest.mark.parametrize(("backend", "plan", "expected"), PLANS)
def test_the_rule_would_notice(backend: str, plan: str, expected: set[Reading]) -> None:
    """What each database says of tables and indexes that are read from end to end."""
    assert readings(backend, plan) == expected

"""C1 in rows, not in time: what a search reads does not grow with what there is (`make bench` has the times)."""

import sqlite3
from itertools import chain

import pytest

from app.auth.guests.types import Owner
from app.main import Services
from app.search import repository, retrieval
from tests.chat.stage import owner_of
from tests.statements import Sent, recorded_sql
from tests.support import Account
from tools.bench.corpus import Corpus
from tools.bench.search import COPIES, Library
from tools.bench.service import Service

TEXT, FEW, BOUND = "some common and usual words", 60, 20
QUERIES = ["common", "common usual", '"and usual"', "common -rare", "common absent usual", "co*"]


def service_of(services: Services, account: Account) -> Service:
    """The running application, as the bench sees it."""
    account.client.headers.update(account.headers)
    owner: Owner = owner_of(account)
    return Service(services, account.client, owner)


def steps(services: Services, sent: list[Sent]) -> int:
    """The steps of SQLite's machine that statements take: each row that is looked at costs some."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1

    with sqlite3.connect(services.database.url.synchronous.database or "") as connection:
        connection.execute("SELECT count(*) FROM messages").fetchall()  # reading the schema takes steps too
        connection.set_progress_handler(tick, 1)
        for statement in sent:
            connection.execute(statement, statement.parameters).fetchall()
    return count


async def cost(services: Services, library: Library, query: str) -> int:
    """The steps of one search."""
    with recorded_sql(services.database) as sent:
        await library.search(query)
    assert sent
    assert len(sent) <= 9, (query, sent)
    return steps(services, sent)


async def test_the_bench_finds_every_copy(services: Services, account: Account) -> None:
    """What the figures rest on: each message is indexed, is the account's, and is found with a snippet."""
    service, corpus = service_of(services, account), Corpus()
    library = Library(service, corpus)
    await library.fill(2 * COPIES)
    assert await library.count() == 2 * COPIES
    some = (await service.call("GET", "/conversations"))["items"]
    assert len(some) == COPIES
    path = await service.call("GET", f"/conversations/{some[0]['id']}/messages")
    word = path["items"][0]["content"].split()[0]
    found = await service.call("GET", "/search", params={"q": word, "limit": 100})
    assert {item["conversation_id"] for item in found["items"]} == {one["id"] for one in some}
    for query in chain.from_iterable(corpus.queries(1).values()):
        assert await library.search(query) > 0
        assert await library.scan(query) > 0


async def test_a_search_reads_no_more_of_more_messages(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the newest documents that are counted and ranked; a scan with LIKE reads them all."""
    if services.database.url.backend != "sqlite":
        return  # counts the steps of SQLite's machine; the statements are the same
    monkeypatch.setattr(retrieval, "MAX_CANDIDATES", BOUND)
    monkeypatch.setattr(repository, "COUNTED_DOCUMENTS", BOUND)
    service = service_of(services, account)
    library, costs = Library(service, Corpus()), []
    for count in (FEW, 3 * FEW):
        conversation_id, texts = await service.converse(), [TEXT] * count
        ids = await service.fill(conversation_id, texts)
        await library.put(service.owner, zip(ids, texts, strict=True), conversation_id)
        costs.append([await cost(services, library, query) for query in QUERIES])
    for query, few, many in zip(QUERIES, *costs, strict=True):
        assert many <= 1.2 * few, (query, few, many)

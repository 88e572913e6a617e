"""Putting documents in, replacing, deleting and handing them over."""

import asyncio
import threading
from uuid import UUID

import pytest
from sqlalchemy import delete, event, select

from app.auth.guests.models import Guest
from app.auth.guests.types import Owner
from app.auth.models import User
from app.core.ids import new_id
from app.main import Services
from app.search import analysis
from app.search.models import SearchDocument, SearchPosting
from app.search.types import (
    MAX_BODY_LENGTH,
    MAX_TITLE_LENGTH,
    Document,
    EmbeddingState,
    Language,
    Segment,
    Target,
)
from tests.search.stage import Library
from tests.support import Account


async def test_nobody_finds_what_somebody_else_owns(library: Library, owner: Owner) -> None:
    other = await library.guest()
    (mine,) = await library.put(owner, "the quick brown fox")
    (theirs,) = await library.put(other, "a quick grey fox")
    assert await library.find(owner, "fox") == [mine.id]
    assert await library.find(other, "fox") == [theirs.id]
    assert await library.find(Owner(user_id=owner.id), "fox") == [], "a guest is no account of the same id"
    assert await library.find(await library.guest(), "fox") == []


async def test_scores_do_not_tell_how_many_others_use_a_word(library: Library, owner: Owner) -> None:
    """Otherwise anybody could learn what words others write, by putting them in and looking at the score."""
    await library.put(owner, "launch codes", "other things", "and more")
    alone = (await library.query(owner, "launch")).items[0].score
    await library.put(await library.guest(), *(["launch"] * 20))
    assert (await library.query(owner, "launch")).items[0].score == alone


async def test_domains_are_apart(library: Library, owner: Owner) -> None:
    (mine,) = await library.put(owner, "shared words")
    await Library(library.services, "another").put(owner, "shared words")
    assert await library.find(owner, "shared") == [mine.id]
    assert (await library.counts())[0] == 2


async def test_what_is_put_again_replaces_what_was_there(library: Library, owner: Owner) -> None:
    target = Target("text", new_id())
    await library.put_documents(owner, [Document(target, "apples and pears")])
    before = await library.counts()
    await library.put_documents(owner, [Document(target, "apples and pears")])
    assert await library.counts() == before
    await library.put_documents(owner, [Document(target, "cherries", title="Fruit", group_id=new_id())])
    assert await library.find(owner, "apples") == []
    (hit,) = (await library.query(owner, "cherries")).items
    assert (hit.target, hit.group_id is not None, hit.title[0].text) == (target, True, "Fruit")


async def test_the_last_document_of_a_target_counts(library: Library, owner: Owner) -> None:
    target = Target("text", new_id())
    await library.put_documents(owner, [Document(target, "first"), Document(target, "second")])
    assert await library.find(owner, "first") == []
    assert await library.find(owner, "second") == [target.id]


async def test_one_id_may_have_several_types(library: Library, owner: Owner) -> None:
    same = new_id()
    await library.put_documents(owner, [Document(Target("a", same), "word"), Document(Target("b", same), "word")])
    assert {hit.target.type for hit in (await library.query(owner, "word")).items} == {"a", "b"}
    async with library.session() as session:
        assert await library.index.delete(session, owner, [Target("a", same)]) == 1
    assert [hit.target.type for hit in (await library.query(owner, "word")).items] == ["b"]


async def test_nothing_is_put_without_documents(library: Library, owner: Owner) -> None:
    await library.put_documents(owner, [])
    assert await library.counts() == (0, 0, 0)


@pytest.mark.parametrize("body", ["", "  ", "...", "____", "\U0001f600"])
async def test_a_text_without_words_is_there_and_never_found(library: Library, owner: Owner, body: str) -> None:
    await library.put(owner, body)
    assert await library.counts() == (1, 1, 0)
    assert await library.find(owner, body or "x") == []


async def test_many_documents_go_in_at_once(library: Library, owner: Owner) -> None:
    targets = await library.put(owner, *(f"common word{number}" for number in range(230)))
    assert await library.find(owner, "word229") == [targets[229].id]
    assert len((await library.query(owner, "common", limit=100)).items) == 100


async def test_putting_costs_a_constant_number_of_statements(library: Library, owner: Owner) -> None:
    await library.put(owner, "first")
    counts = []
    for bodies in (["short"], ["long " + " ".join(f"word{n}" for n in range(900))], ["many"] * 90):
        sent: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_: object, sent: list[str] = sent) -> None:
            if "search_" in statement:
                sent.append(statement)

        engine = library.services.database.writer.sync_engine
        event.listen(engine, "before_cursor_execute", note)
        await library.put(owner, *bodies)
        event.remove(engine, "before_cursor_execute", note)
        counts.append(len(sent))
    assert counts == [5, 5, 5]


async def test_only_the_beginning_of_a_huge_text_is_kept(library: Library, owner: Owner) -> None:
    body = "early " + "x" * MAX_BODY_LENGTH + " late"
    await library.put(owner, body, title="t" * 10_000)
    assert len(await library.find(owner, "early")) == 1
    assert await library.find(owner, "late") == []
    columns = SearchDocument.__table__.c
    (row,) = await library.services.database.read_session().rows(select(columns.body, columns.title))
    assert (len(row.body), len(row.title)) == (MAX_BODY_LENGTH, MAX_TITLE_LENGTH)


async def test_deleting_takes_the_words_along(library: Library, owner: Owner) -> None:
    kept, gone = await library.put(owner, "one word", "another word")
    other = await library.guest()
    async with library.session() as session:
        assert await library.index.delete(session, owner, []) == 0
        assert await library.index.delete(session, other, [gone]) == 0
        assert await library.index.delete(session, owner, [gone, Target("text", new_id())]) == 1
    assert await library.find(owner, "word") == [kept.id]
    assert await library.counts() == (1, 1, 2)


async def test_nobody_deletes_by_the_target_of_somebody_else(library: Library, owner: Owner) -> None:
    other = await library.guest()
    (mine,) = await library.put(owner, "word")
    await library.put(other, "word")
    async with library.session() as session:
        assert await library.index.delete(session, other, [mine]) == 0
    assert await library.find(owner, "word") == [mine.id]


async def test_groups_go_together(library: Library, owner: Owner) -> None:
    group = new_id()
    await library.put(owner, "one", "two", group_id=group)
    (kept,) = await library.put(owner, "one two", group_id=new_id())
    async with library.session() as session:
        assert await library.index.delete_groups(session, []) == 0
        assert await library.index.delete_groups(session, [group, new_id()]) == 2
    assert await library.find(owner, "two") == [kept.id]
    assert await library.counts() == (1, 1, 2)


async def test_nothing_is_left_of_an_owner_who_is_deleted(library: Library, owner: Owner, account: Account) -> None:
    user = Owner(user_id=UUID(account.id))
    await library.put(user, "the words of an account")
    await library.put(owner, "the words of a guest")
    async with library.services.database.writer.begin() as connection:
        await connection.execute(delete(User).where(User.id == user.user_id))
    assert await library.counts() == (1, 1, 5)
    async with library.services.database.writer.begin() as connection:
        await connection.execute(delete(Guest).where(Guest.id == owner.guest_id))
    assert await library.counts() == (0, 0, 0)


async def test_what_is_rolled_back_is_not_found(library: Library, owner: Owner) -> None:
    async with library.services.database.session() as session:
        await library.index.put(session, owner, Document(Target("text", new_id()), "unsaid"))
        assert len((await library.index.query(session, owner, "unsaid", limit=5)).items) == 1
        await session.rollback()
    assert await library.find(owner, "unsaid") == []


async def test_a_guests_documents_become_the_accounts(library: Library, owner: Owner, account: Account) -> None:
    user = Owner(user_id=UUID(account.id))
    (old,) = await library.put(user, "old word")
    guests = await library.put(owner, "new word", "newer word")
    async with library.session() as session:
        await library.index.change_owner(session, owner, user)
    assert set(await library.find(user, "word")) == {old.id, *(target.id for target in guests)}
    assert await library.find(owner, "word") == []
    assert await library.counts() == (1, 3, 6)
    async with library.session() as session:
        await library.index.change_owner(session, owner, user)
    assert await library.counts() == (1, 3, 6)


async def test_an_account_without_documents_takes_them_over_too(
    library: Library, owner: Owner, account: Account
) -> None:
    user = Owner(user_id=UUID(account.id))
    (target,) = await library.put(owner, "word")
    async with library.session() as session:
        await library.index.change_owner(session, owner, user)
    assert await library.find(user, "word") == [target.id]


async def test_documents_wait_for_their_vectors(library: Library, owner: Owner) -> None:
    """A new text makes an old vector useless."""
    await library.put(owner, "text")
    rows = await library.services.database.read_session().rows(select(SearchDocument.embedding_state))
    assert [row.embedding_state for row in rows] == [EmbeddingState.PENDING]


async def test_writers_of_one_owner_do_not_lose_each_others_documents(library: Library, owner: Owner) -> None:
    """The first ones also make the collection."""
    await asyncio.gather(*(library.put(owner, f"word number{number}") for number in range(8)))
    assert len(await library.find(owner, "word")) == 8
    assert await library.counts() == (1, 8, 16)


async def test_writers_of_one_target_leave_one_text(library: Library, owner: Owner, services: Services) -> None:
    target = Target("text", new_id())
    texts = [f"alpha beta gamma{number}" for number in range(6)]
    await asyncio.gather(*(library.put_documents(owner, [Document(target, text)]) for text in texts))
    session = services.database.read_session()
    (row,) = await session.rows(select(SearchDocument.body))
    terms = {row.term for row in await session.rows(select(SearchPosting.term))}
    assert terms == set(row.body.split()), "the words are those of the text that stayed"


async def test_long_texts_are_read_in_threads_and_for_a_page_only_where_their_words_are(
    library: Library, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[bool] = []
    find = analysis.term_of

    def note(word: str, language: Language) -> str:
        looked_up.append(threading.current_thread() is threading.main_thread())
        return find(word, language)

    monkeypatch.setattr(analysis, "term_of", note)
    text = "needle " + " ".join(
        f"n{number:x}ing".translate(str.maketrans("0123456789", "ghijklmopq")) for number in range(900)
    )
    await library.put(owner, text, text, title="A needle")
    assert len(looked_up) > 1_800
    assert not any(looked_up), "the event loop does not look words up"
    looked_up.clear()
    hits = await library.query(owner, "needle")
    assert [hit.snippet[0] for hit in hits.items] == [Segment("needle", is_match=True)] * 2
    assert len(looked_up) < 20
    assert looked_up.count(True) == 1, "the event loop reads what is searched for, and nothing else"

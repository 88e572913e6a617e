"""What the parts of a query find."""

from app.auth.guests.types import Owner
from app.search.repository import MAX_EXPANSIONS
from app.search.types import Language
from tests.search.stage import Library

TEXTS = {
    "fox": "The quick brown fox jumps over the lazy dog.",
    "foxes": "Brown foxes, and a quick dog: they authenticate users.",
    "code": "def getUserName(user_id): return authentication.user_name",
    "mail": "Write to ada@example.com or see https://example.com/path",
    "japanese": "東京都に行く予定です。ＡＰＩを使う",
    "german": "Die Straße führt in das Café",
    "apostrophe": "Don't panic, it's the user's manual",
}


FOUND: dict[str, set[str]] = {
    "fox": {"fox", "foxes"},
    "FOXES": {"fox", "foxes"},
    "quick dog": {"fox", "foxes"},
    "lazy fox": {"fox"},
    '"brown fox"': {"fox", "foxes"},
    '"fox brown"': set(),
    '"quick dog"': {"foxes"},
    '"the lazy dog': {"fox"},
    "fox -lazy": {"foxes"},
    'fox -"lazy dog"': {"foxes"},
    'dog -"dog lazy"': {"fox", "foxes"},
    "-fox": set(),
    "authenticat*": {"foxes", "code"},
    "authent*": {"foxes", "code"},
    "exam*": {"mail"},
    "exam* fox*": {"fox", "foxes", "mail"},  # nothing has both
    "qu* fo*": {"fox", "foxes"},
    "zzz*": set(),
    "fox zzz*": {"fox", "foxes"},
    "a*": {"foxes"},  # a word of its own: too short to begin others
    "getUserName": {"code"},
    "get_user_name": {"code"},
    "getusername": {"code"},
    "user_name": {"code"},
    "username": {"code"},
    "ada@example.com": {"mail"},
    "example.com/path": {"mail"},
    "example.org": {"mail"},  # not side by side, but some of the words
    '"example.org"': set(),
    "東京": {"japanese"},
    "京東": set(),
    "京都": {"japanese"},  # pairs do not know words
    "東": {"japanese"},
    "定": {"japanese"},
    "東京都に": {"japanese"},
    "api": {"japanese"},
    "strasse": {"german"},
    "STRASSE": {"german"},
    "cafe": {"german"},
    "fuhrt": {"german"},
    "don't": {"apostrophe"},
    "user's": {"apostrophe"},
    "*": set(),
    '""': set(),
    "- -- *-": set(),
    "%' OR 1=1 --": {"mail"},
}


async def test_what_a_query_finds(library: Library, owner: Owner) -> None:
    targets = {name: (await library.put(owner, body))[0].id for name, body in TEXTS.items()}
    names = {id_: name for name, id_ in targets.items()}
    found = {text: {names[id_] for id_ in await library.find(owner, text)} for text in FOUND}
    assert found == FOUND


async def test_some_of_the_words_are_an_answer_only_where_nothing_has_all(library: Library, owner: Owner) -> None:
    both, one = await library.put(owner, "apples and pears", "apples only")
    hits = await library.query(owner, "apples pears")
    assert (hits.is_any, [hit.target for hit in hits.items]) == (False, [both])
    hits = await library.query(owner, "apples pears plums")
    assert (hits.is_any, [hit.target for hit in hits.items]) == (True, [both, one])
    hits = await library.query(owner, "apples plums -pears")
    assert (hits.is_any, [hit.target for hit in hits.items]) == (True, [one])
    assert (await library.query(owner, 'apples "plums"')).items == []
    assert (await library.query(owner, 'apples plums -"b c"')).items == []


async def test_a_beginning_stands_for_a_bounded_number_of_words(library: Library, owner: Owner) -> None:
    targets = await library.put(owner, *(f"pre{number:03}" for number in range(MAX_EXPANSIONS + 5)))
    assert set(await library.find(owner, "pre*", limit=100)) == {target.id for target in targets[:MAX_EXPANSIONS]}


async def test_a_beginning_knows_only_its_owners_words(library: Library, owner: Owner) -> None:
    await library.put(await library.guest(), "prefix aaa", "prelude zzz")
    (mine,) = await library.put(owner, "present")
    await library.put(await library.guest(), "premise")
    assert await library.find(owner, "pre*") == [mine.id]


async def test_a_word_that_is_said_more_often_than_places_are_kept(library: Library, owner: Owner) -> None:
    (target,) = await library.put(owner, "very " * 40_000)
    assert await library.find(owner, '"very very"') == [target.id]


async def test_stems_are_those_of_the_language(library: Library, owner: Owner) -> None:
    (german,) = await library.put(owner, "Häuser am Wasser", language=Language.GERMAN)
    assert await library.find(owner, "Haus", language=Language.GERMAN) == [german.id]
    assert await library.find(owner, "Häusern", language=Language.GERMAN) == [german.id]
    assert await library.find(owner, "Häusern") == []


async def test_what_is_found_says_where(library: Library, owner: Owner) -> None:
    await library.put(owner, "start " * 60 + "<script>alert('Foxes')</script> & " + "end " * 60, title="A fox")
    (hit,) = (await library.query(owner, "fox")).items
    assert [(segment.text, segment.is_match) for segment in hit.title] == [("A ", False), ("fox", True)]
    assert [segment.text for segment in hit.snippet if segment.is_match] == ["Foxes"]
    assert "<script>" in "".join(segment.text for segment in hit.snippet), "text as it is; whoever shows it escapes it"


async def test_a_cursor_survives_new_words(library: Library, owner: Owner) -> None:
    """What a beginning stands for may change between two pages."""
    await library.put(owner, *["fox"] * 5)
    first = await library.query(owner, "fox zzz*", limit=2)
    await library.put(owner, "zzzz")
    rest = await library.query(owner, "fox zzz*", limit=9, after=first.next_position)
    assert len({hit.target for hit in (*first.items, *rest.items)}) == 5

"""What is remembered of searches is bounded, whatever shapes somebody makes up."""

from typing import Any

from app.main import Services
from app.search import retrieval
from app.search.models import SearchPosting
from app.search.ranking import Weights
from app.search.repository import SearchRepository
from app.search.retrieval import Search


def search(words: int, excluded: int = 0) -> Search:
    """A search for so many words."""
    wanted = tuple((f"word{number}",) for number in range(words))
    weights = Weights((1.0,) * words, 1.0, 1.0)
    return Search(1, wanted, weights, excluded=tuple(f"no{number}" for number in range(excluded)))


def test_small_shapes_are_put_together_once_and_large_ones_are_not_kept() -> None:
    for find in (retrieval.having_all, retrieval.having_any):
        assert find(search(2), None)[0] is find(search(2), None)[0]
        assert find(search(2), None)[0] is not find(search(2, excluded=1), None)[0]
        assert find(search(2), None)[0] is not find(search(2), (1, 1))[0], "a later page is another statement"
        assert find(search(16), None)[0] is not find(search(16), None)[0]


def test_no_number_of_shapes_fills_the_memory() -> None:
    for words in range(1, 9):
        for excluded in range(9):
            retrieval.having_all(search(words, excluded), None)
            retrieval.having_any(search(words, excluded), None)
    for cache in (retrieval._having_all, retrieval._having_any):
        assert cache.cache_info().currsize <= 32


def test_words_are_parameters_and_no_part_of_the_statement() -> None:
    """One person's words do not stay in a statement that another's search uses."""
    statement, values = retrieval.having_all(search(2), None)
    assert {"word0", "word1"} <= set(values.values())
    assert not {"word0", "word1"} & set(map(str, statement.compile().params.values()))


async def test_sqlalchemy_does_not_keep_large_ones_either(services: Services) -> None:
    compiled: Any = services.database.reader.sync_engine._compiled_cache

    def count() -> int:
        """How many statements of searches are kept; whatever else the application asks meanwhile is, too."""
        return sum(SearchPosting.__tablename__ in str(statement) for statement in compiled.values())

    async def run(words: int) -> list[int]:
        """The count before and after two searches of each kind."""
        sizes = []
        async with services.database.read_session() as session:
            repository = SearchRepository(session)
            for find in (repository.having_all, repository.having_any) * 2:
                sizes.append(count())
                assert await find(search(words), None, 10) == []
        return [*sizes, count()]

    compiled.clear()
    assert await run(words=2) == [0, 1, 2, 2, 2]
    assert await run(words=20) == [2, 2, 2, 2, 2]

"""Small drills on real server processes; `make drill` does the same at length (see `docs/reliability.md`)."""

from collections.abc import Iterator

import pytest

from tools.drill import inputs, kills, outages, races
from tools.drill.proxy import Fault
from tools.drill.report import Result, Verdict
from tools.drill.site import Site, site

SEED = 7


@pytest.fixture(scope="module")
def place(server_url: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A database of its own for the drills."""
    with site(server_url, tmp_path_factory.mktemp("drill")) as lent:
        yield lent


def assert_passed(result: Result) -> None:
    """Show everything that was wrong, not only the first of it."""
    problems = result.violations + result.shortfalls
    assert result.verdict is Verdict.PASS, (result, problems)


async def test_acknowledged_writes_survive_kill_9(place: Site) -> None:
    """Promise 1: one kill between a commit and its answer, one right before a commit."""
    assert_passed(await kills.drill(place, kills=2, seed=SEED))


async def test_a_lost_database_gives_honest_refusals_and_a_quick_return(place: Site) -> None:
    """Promise 2: the database's port refuses, then cuts every connection. `make drill` holds the half second."""
    if place.backend == "sqlite":
        return  # its database is a file
    for result in await outages.drill(place, {Fault.REFUSED: 0.8, Fault.CUT: 0.8}, recovery_seconds=5):
        assert_passed(result)


async def test_no_input_breaks_the_service(place: Site) -> None:
    """Promise 3: a part of the nasty corpus and generated requests, over real sockets."""
    assert_passed(await inputs.drill(place, generated=200, seed=SEED, stride=17))


async def test_parallel_registrations_and_refreshes_happen_once(place: Site) -> None:
    """Promise 5, R2, F1, F5: 100 registrations of one address, 50 refreshes of one token, 40 against a logout.

    Two workers serve them. One registration is answered 201 and the others 409 with the reason, and the account works;
    every refresh is answered 200 with the same successor, which works; nothing works after the logout.
    """
    for result in await races.drill(place):
        assert_passed(result)

"""The hasher: any text, any hash, a bounded queue and a free event loop (P2, P3, P4, P10, P11, P12)."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from passlib.context import CryptContext
from passlib.hash import (
    bcrypt,
    bcrypt_sha256,
    django_pbkdf2_sha256,
    pbkdf2_sha256,
    pbkdf2_sha512,
    sha256_crypt,
    sha512_crypt,
)

from app.auth import passwords
from app.auth.errors import HashQueueFullError
from app.auth.passwords import PasswordCheck, PasswordHasher

PASSWORD = "vexed-otter-juggles-9-plums"  # not a secret: an example
INVALID = PasswordCheck(is_valid=False, needs_rehash=False)
SLOW_ROUNDS = 11  # about a tenth of a second


@pytest.fixture(scope="module")
def hasher() -> Iterator[PasswordHasher]:
    made = PasswordHasher(rounds=4, workers=2, queue_size=64)
    yield made
    made.close()


@pytest.fixture
def slow_hasher() -> Iterator[PasswordHasher]:
    made = PasswordHasher(rounds=SLOW_ROUNDS, workers=1, queue_size=1)
    yield made
    made.close()


class HashCounter:
    """Counts what the library is asked to compute, and still lets it compute."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashes: list[str] = []
        self.cpu_seconds: list[float] = []
        original = CryptContext.verify

        def verify(context: CryptContext, secret: bytes, hash: str) -> bool:  # noqa: A002 - the library's name
            self.hashes.append(hash)
            start = time.thread_time()
            try:
                return bool(original(context, secret, hash))
            finally:
                self.cpu_seconds.append(time.thread_time() - start)

        monkeypatch.setattr(CryptContext, "verify", verify)


async def test_a_password_matches_its_own_hash_only(hasher: PasswordHasher) -> None:
    hashed = await hasher.hash(PASSWORD)
    assert hashed.startswith("$bcrypt-sha256$v=2,t=2b,r=4$")
    assert await hasher.hash(PASSWORD) != hashed
    assert await hasher.verify(PASSWORD, hashed) == PasswordCheck(is_valid=True, needs_rehash=False)
    assert await hasher.verify(f"{PASSWORD}.", hashed) == INVALID
    assert await hasher.verify("", hashed) == INVALID


@pytest.mark.parametrize(
    "password", ["\N{GRINNING FACE}" * 64, "x" * 256, "пароль" * 42, "a\x00b", "\U0001d160" * 256, " " * 9]
)
async def test_every_character_counts(hasher: PasswordHasher, password: str) -> None:
    hashed = await hasher.hash(password)
    assert (await hasher.verify(password, hashed)).is_valid
    assert not (await hasher.verify(f"{password[:-1]}!", hashed)).is_valid
    assert not (await hasher.verify(password[:-1], hashed)).is_valid


async def test_composed_and_decomposed_letters_are_the_same_password(hasher: PasswordHasher) -> None:
    composed, decomposed = "caf\N{LATIN SMALL LETTER E WITH ACUTE}-9", "cafe\N{COMBINING ACUTE ACCENT}-9"
    assert (await hasher.verify(decomposed, await hasher.hash(composed))).is_valid
    assert (await hasher.verify(composed, await hasher.hash(decomposed))).is_valid
    assert not (await hasher.verify("cafe-9", await hasher.hash(composed))).is_valid


@pytest.mark.parametrize("password", ["x" * 257, "x" * 10_000_000, "lone \ud800 surrogate"])
async def test_impossible_passwords_are_refused_without_hashing(
    monkeypatch: pytest.MonkeyPatch, hasher: PasswordHasher, password: str
) -> None:
    counter = HashCounter(monkeypatch)
    start = time.perf_counter()
    assert await hasher.verify(password, await hasher.hash(PASSWORD)) == INVALID
    assert await hasher.verify(password, None) == INVALID
    with pytest.raises(ValueError, match=r".") as caught:
        await hasher.hash(password)
    assert time.perf_counter() - start < 1
    assert password not in str(caught.value)
    assert counter.hashes == []


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(bcrypt.using(rounds=4).hash(PASSWORD), id="bcrypt"),
        pytest.param(bcrypt.using(rounds=4).hash(PASSWORD).replace("$2b$", "$2y$"), id="bcrypt-php"),
        pytest.param(bcrypt.using(rounds=4, ident="2a").hash(PASSWORD), id="bcrypt-2a"),
        pytest.param(bcrypt_sha256.using(rounds=4, version=1).hash(PASSWORD), id="bcrypt_sha256-v1"),
        pytest.param(bcrypt_sha256.using(rounds=5).hash(PASSWORD), id="higher-cost"),
        pytest.param(pbkdf2_sha256.using(rounds=1000).hash(PASSWORD), id="pbkdf2_sha256"),
        pytest.param(pbkdf2_sha512.using(rounds=1000).hash(PASSWORD), id="pbkdf2_sha512"),
        pytest.param(django_pbkdf2_sha256.using(rounds=1000).hash(PASSWORD), id="django"),
        pytest.param(sha256_crypt.using(rounds=1000).hash(PASSWORD), id="sha256_crypt"),
        pytest.param(sha512_crypt.using(rounds=5000).hash(PASSWORD), id="sha512_crypt"),
    ],
)
async def test_imported_hashes_are_verified_and_renewed(hasher: PasswordHasher, foreign: str) -> None:
    assert await hasher.verify(PASSWORD, foreign) == PasswordCheck(is_valid=True, needs_rehash=True)
    assert await hasher.verify("wrong-password", foreign) == INVALID


async def test_a_lower_cost_is_renewed(hasher: PasswordHasher) -> None:
    stronger = PasswordHasher(rounds=5, workers=1, queue_size=1)
    hashed = await hasher.hash(PASSWORD)
    assert (await stronger.verify(PASSWORD, hashed)).needs_rehash
    assert not (await stronger.verify(PASSWORD, await stronger.hash(PASSWORD))).needs_rehash
    stronger.close()


UNUSABLE = {
    "empty": "",
    "text": "hello",
    "unknown scheme": "$argon2id$v=19$m=4194304,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
    "scrypt": "$scrypt$ln=30,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
    "bcrypt 31": f"$2b$31${'.' * 53}",
    "bcrypt 15": f"$2b$15${'.' * 53}",
    "bcrypt 2x": f"$2x$04${'.' * 53}",
    "bcrypt cut short": "$2b$04$abc",
    "bcrypt_sha256 31": f"$bcrypt-sha256$v=2,t=2b,r=31${'.' * 22}${'.' * 31}",
    "bcrypt_sha256 v9": f"$bcrypt-sha256$v=9,t=2b,r=4${'.' * 22}${'.' * 31}",
    "bcrypt_sha256 config only": f"$bcrypt-sha256$v=2,t=2b,r=4${'.' * 22}",
    "pbkdf2 4e9": "$pbkdf2-sha256$4000000000$c2FsdHNhbHQ$kbbtKI2OHvfvIrd+CzFcmTim3PzhE0OGdsHF3IPaDgI",
    "django 1e9": "pbkdf2_sha256$1000000000$salt$kbbtKI2OHvfvIrd+CzFcmTim3PzhE0OGdsHF3IPaDgI=",
    "sha512_crypt 999999999": f"$6$rounds=999999999$saltsalt${'.' * 86}",
    "not ascii": "$2b$04$\N{SNOWMAN}",
    "surrogate": "$2b$04$\ud800",
    "nul": "$2b$04$\x00",
    "a megabyte": "$2b$04$" + "x" * 1_000_000,
}


@pytest.mark.parametrize("hashed", [*UNUSABLE.values(), None], ids=[*UNUSABLE, "none"])
async def test_unusable_hashes_cost_one_dummy_verification(
    monkeypatch: pytest.MonkeyPatch, hasher: PasswordHasher, hashed: str | None
) -> None:
    counter = HashCounter(monkeypatch)
    assert await asyncio.wait_for(hasher.verify(PASSWORD, hashed), timeout=5) == INVALID
    [*_, dummy] = counter.hashes
    assert dummy.startswith("$bcrypt-sha256$v=2,t=2b,r=4$")
    assert dummy != hashed
    assert len([used for used in counter.hashes if used != hashed]) == 1


@pytest.mark.parametrize("password", ["x" * 73, "\N{GRINNING FACE}" * 19, "a\x00b"])
async def test_what_plain_bcrypt_cannot_take_is_just_wrong(hasher: PasswordHasher, password: str) -> None:
    assert await hasher.verify(password, bcrypt.using(rounds=4).hash(PASSWORD)) == INVALID


async def test_a_missing_account_costs_as_much_as_a_wrong_password(
    monkeypatch: pytest.MonkeyPatch, slow_hasher: PasswordHasher
) -> None:
    hashed = await slow_hasher.hash(PASSWORD)
    counter = HashCounter(monkeypatch)
    for candidate in (hashed, None, f"$2b$31${'.' * 53}"):
        await slow_hasher.verify("wrong-password", candidate)
    real, missing, unusable = counter.cpu_seconds
    assert 0.5 < missing / real < 2
    assert 0.5 < unusable / real < 2


async def test_a_full_queue_refuses_at_once_and_recovers(slow_hasher: PasswordHasher) -> None:
    calls = [asyncio.create_task(slow_hasher.hash(PASSWORD)) for _ in range(2)]  # one thread, one place to wait
    await asyncio.sleep(0)
    with pytest.raises(HashQueueFullError) as caught:
        await slow_hasher.verify(PASSWORD, None)
    with pytest.raises(HashQueueFullError):
        await slow_hasher.hash(PASSWORD)
    assert caught.value.status_code == 503
    assert int(caught.value.headers["Retry-After"]) >= 1
    assert not any(call.done() for call in calls)
    await asyncio.gather(*calls)
    assert await slow_hasher.verify(PASSWORD, None) == INVALID


async def test_a_cancelled_caller_frees_its_place(slow_hasher: PasswordHasher) -> None:
    running = asyncio.create_task(slow_hasher.hash(PASSWORD))
    for _ in range(20):
        waiting = asyncio.create_task(slow_hasher.hash(PASSWORD))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert not running.done()
    last = asyncio.create_task(slow_hasher.hash(PASSWORD))
    assert len({*await asyncio.gather(running, last)}) == 2


async def test_a_cancelled_running_hash_frees_its_place_when_it_ends(slow_hasher: PasswordHasher) -> None:
    running = asyncio.create_task(slow_hasher.hash(PASSWORD))
    await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    for _ in range(3):
        assert await slow_hasher.hash(PASSWORD)


async def test_the_event_loop_runs_while_passwords_are_hashed() -> None:
    hasher = PasswordHasher(rounds=10, workers=2, queue_size=50)
    ticks = 0
    threads: set[int] = set()

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            threads.add(threading.get_ident())
            await asyncio.sleep(0.001)

    ticker = asyncio.create_task(tick())
    verified = await asyncio.gather(*(hasher.verify(PASSWORD, None) for _ in range(8)))
    ticker.cancel()
    hasher.close()
    assert verified == [INVALID] * 8
    assert ticks > 8  # were the hashes inline or did they hold the GIL, it would be one or two
    assert threads == {threading.get_ident()}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities for single threads")
async def test_hashing_threads_have_the_lowest_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def hash_password(_context: CryptContext, _secret: bytes) -> str:
        native_id = threading.get_native_id()
        seen.append((native_id, os.getpriority(os.PRIO_PROCESS, native_id)))
        return "hash"

    monkeypatch.setattr(CryptContext, "hash", hash_password)
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    hasher = PasswordHasher(rounds=4, workers=1, queue_size=1)
    assert await hasher.hash(PASSWORD) == "hash"
    hasher.close()
    assert seen[0][0] != threading.get_native_id()
    assert seen[0][1] == 19
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


async def test_a_system_without_priorities_still_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_which: int, _who: int, _priority: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    refused = PasswordHasher(rounds=4, workers=1, queue_size=1)
    assert await refused.hash(PASSWORD)
    refused.close()
    monkeypatch.setattr(sys, "platform", "elsewhere")
    elsewhere = PasswordHasher(rounds=4, workers=1, queue_size=1)
    assert await elsewhere.hash(PASSWORD)
    elsewhere.close()


async def test_by_default_there_are_as_many_threads_as_usable_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    hasher = PasswordHasher(rounds=SLOW_ROUNDS, workers=None, queue_size=1)
    calls = [asyncio.create_task(hasher.hash(PASSWORD)) for _ in range(5)]
    await asyncio.sleep(0)
    done = await asyncio.gather(*calls, return_exceptions=True)
    hasher.close()
    assert [isinstance(result, str) for result in done] == [True] * 4 + [False]  # three threads and one place
    monkeypatch.undo()
    assert passwords._usable_cores() >= 1


async def test_a_closed_hasher_cancels_the_waiting_and_refuses_the_new(monkeypatch: pytest.MonkeyPatch) -> None:
    started = threading.Event()
    original = CryptContext.hash

    def hash_password(context: CryptContext, secret: bytes) -> str:
        started.set()
        return str(original(context, secret))

    monkeypatch.setattr(CryptContext, "hash", hash_password)
    hasher = PasswordHasher(rounds=SLOW_ROUNDS, workers=1, queue_size=3)
    calls = [asyncio.create_task(hasher.hash(PASSWORD)) for _ in range(3)]
    await asyncio.to_thread(started.wait, 10)
    hasher.close()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(done[0], str)
    assert all(isinstance(result, asyncio.CancelledError) for result in done[1:])
    for _ in range(5):
        with pytest.raises(HashQueueFullError):
            await hasher.hash(PASSWORD)
    hasher.close()

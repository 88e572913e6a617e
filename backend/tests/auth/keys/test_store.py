"""Signing keys in the database: made once, shared by all workers, useless without the secret."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from app.auth.errors import InvalidTokenError
from app.auth.models import SigningKeyRecord
from app.auth.tokens import AccessTokenCodec, SigningKey, UnknownKeyError, encrypt_private_key
from app.auth.types import KeyState
from app.core.errors import ConfigurationError
from app.core.settings import JwtAlgorithm, Settings
from app.main import Services
from tests.auth.keys.workers import issue, issued_by, keys_of, worker
from tests.auth.stage import SteerableClock, at, code_of, running
from tests.statements import recorded_sql
from tests.support import Account, make_settings

OTHER_SECRET = "Qm4x-Vb7nKp2Ls9Wd6Zt3Hf8Jc5Ry1Ga0EoUiXaSdFgH"  # not a secret: signs nothing


async def rotate(services: Services) -> SigningKey:
    """Replace the active key by a new one, as another worker would."""
    key = SigningKey.generate_es256()
    async with services.database.session() as session:
        await session.execute(update(SigningKeyRecord).values(state=KeyState.RETIRING, active_slot=None))
        session.add(
            SigningKeyRecord(
                kid=key.kid,
                algorithm=key.algorithm,
                private_key=encrypt_private_key(key, services.settings.secret_key),
                state=KeyState.ACTIVE,
                active_slot=1,
                created_at=services.clock.now(),
            )
        )
        await session.commit()
    return key


async def test_workers_that_start_at_once_make_one_key(keyless: Settings) -> None:
    """Section 2 of the design, signing keys: six first starts, one key, and everyone accepts everyone's tokens."""
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(worker(keyless)) for _ in range(6)]
        await asyncio.gather(*(services.auth.keys.start() for services in workers))
        assert len(await keys_of(workers[0])) == 1
        tokens = [issue(services.auth) for services in workers]
        for services in workers:
            for token in tokens:
                assert services.auth.access_tokens.verify(token).client_id == "web"


async def test_a_worker_does_not_start_with_another_secret(keyless: Settings) -> None:
    """Signing keys are encrypted under SECRET_KEY: with another one the start is refused, by the setting's name."""
    async with worker(keyless, is_started=True) as services:
        (record,) = await keys_of(services)
        assert b"PRIVATE KEY" not in record.private_key
    other = make_settings(keyless.database_url.get_secret_value(), keyless.data_dir, secret_key=OTHER_SECRET)  # type: ignore[union-attr]
    with pytest.raises(ConfigurationError) as refusal:
        async with worker(other, is_started=True):
            pass
    assert refusal.value.setting == "SECRET_KEY"
    assert OTHER_SECRET not in str(refusal.value)


async def test_each_mode_refuses_the_tokens_of_the_other(keyless: Settings) -> None:
    """T2: one algorithm for each key, whatever a token says of itself; HS256 keeps nothing in the database."""
    symmetric = keyless.model_copy(update={"jwt_algorithm": JwtAlgorithm.HS256})
    async with worker(symmetric, is_started=True) as hs256:
        assert await keys_of(hs256) == []
        async with worker(keyless, is_started=True) as es256:
            assert len(await keys_of(es256)) == 1
            for signer, verifier in ((hs256, es256), (es256, hs256)):
                token = issue(signer.auth)
                signer.auth.access_tokens.verify(token)
                with pytest.raises(UnknownKeyError):
                    verifier.auth.access_tokens.verify(token)
        with recorded_sql(hs256.database) as statements:
            assert await hs256.auth.keys.reload() is False
        assert statements == []
        async with worker(symmetric, is_started=True) as second:
            second.auth.access_tokens.verify(issue(hs256.auth))


async def test_a_key_of_another_worker_is_loaded_when_it_is_met(keyless: Settings) -> None:
    """Rotation without a restart: a new key is found by its name, the old one verifies on; one look in 5 s at most."""
    async with worker(keyless, is_started=True) as services:
        auth, clock = services.auth, services.clock
        assert isinstance(clock, SteerableClock)
        old = issue(auth)
        await rotate(services)
        with recorded_sql(services.database) as statements:
            for _ in range(20):
                assert await auth.keys.reload() is False
        assert statements == []
        async with worker(keyless, is_started=True) as newer:
            token = issue(newer.auth)
            newer.auth.access_tokens.verify(old)
        with pytest.raises(UnknownKeyError):
            auth.access_tokens.verify(token)
        clock.advance(seconds=5)
        with recorded_sql(services.database) as statements:
            assert sorted(await asyncio.gather(*(auth.keys.reload() for _ in range(10)))) == [False] * 9 + [True]
        assert len([statement for statement in statements if "signing_keys" in statement]) == 1
        assert auth.access_tokens.verify(token) != auth.access_tokens.verify(old)


async def test_a_removed_key_ends_its_tokens(keyless: Settings) -> None:
    """Key states: a removed key verifies nothing, and a database that holds no active key gets a new one."""
    async with worker(keyless, is_started=True) as services:
        token = issue(services.auth)
        async with services.database.session() as session:
            await session.execute(update(SigningKeyRecord).values(state=KeyState.REMOVED, active_slot=None))
            await session.commit()
        async with worker(keyless, is_started=True) as newer:
            assert len(await keys_of(newer)) == 2
            with pytest.raises(InvalidTokenError):
                newer.auth.access_tokens.verify(token)


async def test_forged_key_names_do_not_become_database_load(
    database_url: str, tmp_path: Path, account: Account
) -> None:
    """T1, unknown kid: refused like any bad token, with one look into the database for all of them."""
    clock = SteerableClock()
    async with running(database_url, tmp_path, clock) as application:
        services: Services = application.state.merit
        caller = at(application, account)
        forger = AccessTokenCodec(issuer="merit", audience="merit-api", lifetime_seconds=600, clock=clock)
        stranger = SigningKey.generate_es256()
        clock.advance(seconds=6)
        await caller.get("/users/me")
        looks = 0
        for number in range(10):
            key = replace(stranger, kid=f"forged-{number}")
            forger.set_keys(key, [key])
            caller.access_token = issued_by(forger, services.auth)
            with recorded_sql(services.database) as statements:
                assert code_of(await caller.get("/users/me")) == (401, "invalid_token")
            looks += len(statements)
        assert looks == 1

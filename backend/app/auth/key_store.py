"""The signing keys of the database, brought into the token codec."""

import asyncio

from sqlalchemy.exc import IntegrityError

from app.auth.models import SigningKeyRecord
from app.auth.repository import SigningKeyRepository
from app.auth.tokens import AccessTokenCodec, SigningKey, decrypt_private_key, encrypt_private_key
from app.auth.types import KeyState
from app.core.clock import Clock
from app.core.errors import ConfigurationError
from app.core.settings import JwtAlgorithm, Settings
from app.db.engine import Database

_RELOAD_AT_MOST_EVERY_SECONDS = 5.0


class KeyStore:
    """Loads the keys at the start, makes the first one, and loads again when a token names a key not seen yet.

    With `JWT_ALGORITHM=HS256` there is one key, derived from `SECRET_KEY`, and nothing in the database.
    """

    def __init__(self, database: Database, settings: Settings, codec: AccessTokenCodec, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._codec = codec
        self._clock = clock
        self._loading = asyncio.Lock()
        self._loaded_at = float("-inf")

    async def start(self) -> None:
        """Bring the keys into the codec, and make one where there is none."""
        if self._settings.jwt_algorithm is JwtAlgorithm.HS256:
            key = SigningKey.hs256(self._settings.secret_key)
            self._codec.set_keys(key, [key])
            return
        if not await self._load():
            await self._create_first()
            await self._load()

    async def reload(self) -> bool:
        """Load again, for a token with an unknown key; False when that was done a moment ago.

        The bound keeps forged tokens from turning into database load.
        """
        if self._settings.jwt_algorithm is JwtAlgorithm.HS256:
            return False
        async with self._loading:
            if self._clock.monotonic() - self._loaded_at < _RELOAD_AT_MOST_EVERY_SECONDS:
                return False
            return await self._load()

    async def _load(self) -> bool:
        async with self._database.read_session() as session:
            records = await SigningKeyRepository(session, self._clock).list_usable()
        self._loaded_at = self._clock.monotonic()
        try:
            keys = {
                record.kid: decrypt_private_key(record.private_key, record.kid, self._settings.secret_key)
                for record in records
            }
        except ValueError:
            raise ConfigurationError("SECRET_KEY", "is not the one that the signing keys are encrypted with") from None
        active = next((keys[record.kid] for record in records if record.state is KeyState.ACTIVE), None)
        if active is None:
            return False
        self._codec.set_keys(active, keys.values())
        return True

    async def _create_first(self) -> None:
        key = SigningKey.generate_es256()
        record = SigningKeyRecord(
            kid=key.kid,
            algorithm=key.algorithm,
            private_key=encrypt_private_key(key, self._settings.secret_key),
            state=KeyState.ACTIVE,
            active_slot=1,
            created_at=self._clock.now(),
        )
        async with self._database.session() as session:
            try:
                await SigningKeyRepository(session, self._clock).add(record)
                await session.commit()  # commit: at the start, outside any request
            except IntegrityError:  # another worker was first; its key is the one to use
                await session.rollback()  # commit: see above

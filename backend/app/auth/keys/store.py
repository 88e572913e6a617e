"""The signing keys of the database, brought into the token codec."""

import asyncio

from pydantic import SecretStr
from sqlalchemy.exc import IntegrityError

from app.auth.keys.repository import SigningKeyRepository
from app.auth.keys.types import SLOTS
from app.auth.models import SigningKeyRecord
from app.auth.tokens import AccessTokenCodec, SigningKey, decrypt_private_key, encrypt_private_key
from app.auth.types import KeyState
from app.core.clock import Clock
from app.core.errors import ConfigurationError
from app.core.settings import JwtAlgorithm, Settings
from app.db.engine import Database

_RELOAD_AT_MOST_EVERY_SECONDS = 5.0


class KeyStore:
    """Loads the keys at the start, makes the first one, and loads again when they have changed.

    `RevocationFeed` knows when; a token that names a key not seen yet is another reason to look.
    With `JWT_ALGORITHM=HS256` there is one key, derived from `SECRET_KEY`, and nothing in the database.
    """

    def __init__(self, database: Database, settings: Settings, codec: AccessTokenCodec, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._codec = codec
        self._clock = clock
        self._loading = asyncio.Lock()
        self._loaded_at = float("-inf")
        self._keys: dict[str, SigningKey] = {}

    @property
    def is_rotatable(self) -> bool:
        """Whether the keys are in the database; with HS256 the one key follows from `SECRET_KEY`."""
        return self._settings.jwt_algorithm is JwtAlgorithm.ES256

    def knows(self, kid: str) -> bool:
        """Whether tokens of this key are accepted here."""
        return self._codec.knows(kid)

    async def start(self) -> None:
        """Bring the keys into the codec, and make one where there is none."""
        if not self.is_rotatable:
            key = SigningKey.hs256(self._settings.secret_key)
            self._codec.set_keys(key, [key])
            return
        if not await self.load():
            await self._create_first()
            await self.load()

    async def reload(self) -> bool:
        """Load again, for a token with an unknown key; False when that was done a moment ago.

        The bound keeps forged tokens from turning into database load.
        """
        async with self._loading:
            if self._clock.monotonic() - self._loaded_at < _RELOAD_AT_MOST_EVERY_SECONDS:
                return False
            return await self._load()

    async def load(self) -> bool:
        """Load the keys of the table; False where none is active, and the present ones stay.

        Raises:
            ConfigurationError: they are encrypted under another SECRET_KEY.
        """
        async with self._loading:  # one after the other, or an older reading could replace a newer one
            return await self._load()

    async def _load(self) -> bool:
        if not self.is_rotatable:
            return False
        async with self._database.read_session() as session:
            records = await SigningKeyRepository(session, self._clock).list_usable()
        self._loaded_at = self._clock.monotonic()
        try:
            keys = {record.kid: self._keys.get(record.kid) or self._decrypted(record) for record in records}
        except ValueError:
            raise ConfigurationError("SECRET_KEY", "is not the one that the signing keys are encrypted with") from None
        active = next((keys[record.kid] for record in records if record.state is KeyState.ACTIVE), None)
        if active is None:
            return False
        self._codec.set_keys(active, keys.values())
        self._keys = keys
        return True

    def _decrypted(self, record: SigningKeyRecord) -> SigningKey:
        return decrypt_private_key(record.private_key, record.kid, self._settings.secret_key)

    async def _create_first(self) -> None:
        record = new_record(self._settings.secret_key, KeyState.ACTIVE, self._clock)
        async with self._database.session() as session:
            try:
                await SigningKeyRepository(session, self._clock).add(record)
                await session.commit()  # commit: at the start, outside any request
            except IntegrityError:  # another worker was first; its key is the one to use
                await session.rollback()  # commit: see above


def new_record(secret: SecretStr, state: KeyState, clock: Clock) -> SigningKeyRecord:
    """A new ES256 key for the table."""
    key = SigningKey.generate_es256()
    return SigningKeyRecord(
        kid=key.kid,
        algorithm=key.algorithm,
        private_key=encrypt_private_key(key, secret),
        state=state,
        active_slot=SLOTS[state],
        created_at=clock.now(),
    )

"""The callers of `test_callers`: each kind is made once, and known by the headers it sends."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from uuid import UUID

import httpx
from sqlalchemy import select, update

from app.auth.models import SigningKeyRecord
from app.auth.personal_tokens.models import PersonalToken
from app.auth.tokens import AccessTokenCodec, SigningKey, decrypt_private_key
from app.auth.types import KeyState
from app.main import Services
from tests.auth.credentials import service_of, token_of
from tests.auth.guests.stage import claim, set_seen, visitor
from tests.auth.roles.players import give, holder
from tests.support import Account, ManualClock, register

Headers = dict[str, str]
MakeAdmin = Callable[..., Awaitable[Account]]


class Cast:
    """Makes the callers. A new kind is a method here, named like the kind, and an entry in `test_callers.HOLDS`.

    Every living caller has an account of its own, so that whatever one does to it concerns no other.
    """

    def __init__(
        self, services: Services, client: httpx.AsyncClient, clock: ManualClock, make_admin: MakeAdmin, admin: Account
    ) -> None:
        self._services = services
        self._client = client
        self._clock = clock
        self._make_admin = make_admin
        self._admin = admin

    async def make(self, caller: str, permissions: Iterable[str]) -> Headers:
        """The headers that a caller of this kind with these permissions sends."""
        make: Callable[[list[str]], Awaitable[Headers]] = getattr(self, caller.replace(" ", "_"))
        return await make(sorted(permissions))

    async def anonymous(self, _: list[str]) -> Headers:
        """Nobody."""
        return {}

    async def other_user(self, _: list[str]) -> Headers:
        """Someone with an account."""
        return (await register(self._client)).headers

    async def narrowed_session(self, permissions: list[str]) -> Headers:
        """Someone who asked for less at the login."""
        account = await register(self._client)
        await account.login(scope=" ".join(permissions))
        return account.headers

    async def reviewer(self, _: list[str]) -> Headers:
        """A built-in role."""
        return await self._with_role("reviewer")

    async def author(self, _: list[str]) -> Headers:
        """A built-in role."""
        return await self._with_role("author")

    async def holder_of_a_custom_role(self, permissions: list[str]) -> Headers:
        """Someone whom an administrator gave more."""
        return (await holder(self._admin, *(name for name in permissions if not name.startswith("profile:")))).headers

    async def administrator(self, _: list[str]) -> Headers:
        """One of those who administer the service."""
        return (await self._make_admin(await register(self._client))).headers

    async def superuser(self, _: list[str]) -> Headers:
        """The highest rank."""
        return (await self._make_admin(await register(self._client), is_superuser=True)).headers

    async def personal_token(self, permissions: list[str]) -> Headers:
        """A script of an administrator, with every scope there is."""
        return (await token_of(await self._make_admin(await register(self._client)), *permissions)).headers

    async def narrowed_personal_token(self, permissions: list[str]) -> Headers:
        """A script of an administrator, with few scopes."""
        return await self.personal_token(permissions)

    async def service_account(self, permissions: list[str]) -> Headers:
        """A machine."""
        return (await (await service_of(self._admin, permissions)).bearer()).headers

    async def revoked_token(self, _: list[str]) -> Headers:
        """Someone who has logged out."""
        account = await register(self._client)
        await account.request("POST", "/auth/logout")
        return account.headers

    async def disabled_account(self, _: list[str]) -> Headers:
        """Someone whom an administrator has disabled."""
        account = await register(self._client)
        await self._admin.request("POST", f"/admin/users/{account.id}/disable")
        return account.headers

    async def outdated_permissions(self, _: list[str]) -> Headers:
        """Someone whose role has changed since the token was made."""
        account = await holder(self._admin, "users:read")
        await give(self._admin, account)
        return account.headers

    async def expired_token(self, _: list[str]) -> Headers:
        """An administrator's, right but for its time."""
        self._clock.advance(seconds=-800)
        headers = self._forge(await self._key())
        self._clock.advance(seconds=800)
        return headers

    async def wrong_audience(self, _: list[str]) -> Headers:
        """An administrator's, made for another API."""
        return self._forge(await self._key(), audience="another-api")

    async def unknown_kid(self, _: list[str]) -> Headers:
        """An administrator's, signed with a key that is not ours."""
        return self._forge(SigningKey.generate_es256())

    async def revoked_personal_token(self, _: list[str]) -> Headers:
        """A script whose token was taken back."""
        account = await register(self._client)
        token = await token_of(account, "profile:read")
        await account.request("DELETE", f"/users/me/tokens/{token.id}")
        return token.headers

    async def expired_personal_token(self, _: list[str]) -> Headers:
        """A script whose token was for yesterday."""
        token = await token_of(await register(self._client), "profile:read")
        async with self._services.database.writer.begin() as connection:
            past = {"expires_at": self._clock.now() - timedelta(days=1)}
            await connection.execute(update(PersonalToken).where(PersonalToken.id == UUID(token.id)).values(past))
        return token.headers

    async def disabled_service_account(self, _: list[str]) -> Headers:
        """A machine that an administrator has disabled."""
        service = await service_of(self._admin)
        headers = (await service.bearer()).headers
        await self._admin.request("PATCH", f"/admin/service-accounts/{service.id}", json={"is_active": False})
        return headers

    async def guest(self, _: list[str]) -> Headers:
        """Someone without an account."""
        return (await visitor(self._client)).headers

    async def claimed_guest(self, _: list[str]) -> Headers:
        """Someone who has an account now."""
        guest = await visitor(self._client)
        assert (await claim(await register(self._client), guest.token)).is_success
        return guest.headers

    async def expired_guest(self, _: list[str]) -> Headers:
        """Someone who was away too long."""
        guest = await visitor(self._client)
        await set_seen(self._services, guest.id, self._clock.now() - timedelta(days=31))
        return guest.headers

    async def _with_role(self, role: str) -> Headers:
        account = await register(self._client)
        await give(self._admin, account, role=role)
        await account.login()
        return account.headers

    async def _key(self) -> SigningKey:
        async with self._services.database.read_session() as session:
            statement = select(SigningKeyRecord).where(SigningKeyRecord.state == KeyState.ACTIVE)
            record = (await session.scalars(statement)).one()
        return decrypt_private_key(record.private_key, record.kid, self._services.settings.secret_key)

    def _forge(self, key: SigningKey, *, audience: str = "merit-api") -> Headers:
        """A token of the administrator with every permission, right but for its audience, key or time."""
        codec = AccessTokenCodec(
            issuer=self._services.settings.issuer, audience=audience, lifetime_seconds=600, clock=self._clock
        )
        codec.set_keys(key, [key])
        claims = self._services.auth.access_tokens.verify(self._admin.access_token)
        token = codec.issue(
            user_id=claims.sub,
            session_id=claims.sid,
            client_id=claims.client_id,
            auth_version=claims.ver,
            scope=claims.scope,
            amr=claims.amr,
            acr=claims.acr,
            auth_time=self._clock.now(),
        ).token
        return {"Authorization": f"Bearer {token}"}

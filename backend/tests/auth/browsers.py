"""What the tests of devices share: browsers that log in, and accounts that strangers guess at."""

from http.cookies import Morsel, SimpleCookie
from typing import Any

import httpx
from sqlalchemy import update

from app.auth.limits import ACCOUNT_TOTAL_POLICY, Attempt, LoginLimiter
from app.auth.models import LoginThrottle
from app.main import Services
from tests.support import API, Account

COOKIE = "__Host-merit_device"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
NEWER_FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:141.2) Gecko/20100101 Firefox/141.2"
SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML) Version/18.5 Safari/605.1.15"


async def enter(
    client: httpx.AsyncClient, account: Account, device: str | None = None, *, user_agent: str = "", **members: Any
) -> httpx.Response:
    """A login by JSON from a browser with this device cookie."""
    headers = {} if device is None else {"Cookie": f"other=1; {COOKIE}={device}"}
    body = {"email": account.email, "password": account.password, **members}
    return await client.post(f"{API}/auth/login", json=body, headers={**headers, "User-Agent": user_agent})


def device_in(answer: httpx.Response) -> Morsel[str]:
    """The device cookie that an answer sets."""
    assert answer.is_success, answer.text
    return SimpleCookie(answer.headers["set-cookie"])[COOKIE]


async def device_of(account: Account, **members: Any) -> str:
    """The cookie of a device on which the account has logged in."""
    return device_in(await enter(account.client, account, **members)).value


async def exhaust(services: Services, account: str) -> None:
    """As many failures from elsewhere as are free."""
    async with services.database.session() as session:
        limiter = LoginLimiter(session, services.settings, services.clock)
        await limiter.reserve(Attempt(account, "203.0.113.1", is_stranger=True))
        total = LoginThrottle.key == f"account:{account}"
        await session.execute(update(LoginThrottle).where(total).values(failures=ACCOUNT_TOTAL_POLICY.free))
        await session.commit()

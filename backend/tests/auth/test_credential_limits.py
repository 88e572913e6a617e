"""How many tokens and secrets an account makes in an hour: each one's revocation costs every worker something."""

import pytest
from sqlalchemy import func, select

from app.auth import limits
from app.auth.limits import CREDENTIAL_POLICY, ThrottlePolicy
from app.auth.models import Revocation
from app.main import Services
from tests.auth.credentials import make_secret, make_service, make_token
from tests.auth.scenarios import in_parallel
from tests.auth.stage import code_of
from tests.support import Account, ManualClock

FEW = ThrottlePolicy("new-credentials", 3, CREDENTIAL_POLICY.window, CREDENTIAL_POLICY.longest, CREDENTIAL_POLICY.first)
THROTTLED = (429, "credentials_throttled")


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> None:
    """As in operation, with three in place of sixty."""
    clock.stop()
    monkeypatch.setattr(limits, "CREDENTIAL_POLICY", FEW)


async def churn(account: Account) -> int:
    """Make a token and revoke it; the status of the making."""
    made = await make_token(account)
    if made.is_success:
        gone = await account.request("DELETE", f"/users/me/tokens/{made.json()['token']['id']}")
        assert gone.status_code == 204
    return made.status_code


def test_sixty_an_hour_are_enough() -> None:
    assert (CREDENTIAL_POLICY.free, CREDENTIAL_POLICY.window.total_seconds()) == (60, 3600)


async def test_revocations_cannot_be_piled_up(services: Services, account: Account, clock: ManualClock) -> None:
    """Made and revoked over and over: the hour's number is reached, then there are minutes between any two."""
    assert [await churn(account) for _ in range(8)] == [201] * 4 + [429] * 4
    async with services.database.read_session() as session:
        assert await session.scalar(select(func.count()).select_from(Revocation)) == 4
    waits = []
    for _ in range(3):
        answer = await make_token(account)
        assert code_of(answer) == THROTTLED
        waits.append(int(answer.headers["Retry-After"]))
        clock.advance(seconds=waits[-1])
        await account.login()
        assert await churn(account) == 201
    assert waits == [60, 120, 240]
    clock.advance(hours=2)
    await account.login()
    assert [await churn(account) for _ in range(5)] == [201] * 4 + [429]


async def test_parallel_requests_do_not_slip_through(account: Account) -> None:
    answers = await in_parallel(churn(account) for _ in range(8))
    assert sorted(answers) == [201] * 4 + [429] * 4


async def test_a_refused_request_counts_for_nothing(account: Account) -> None:
    """Only what was made can be revoked."""
    for _ in range(6):
        assert (await make_token(account, "users:read")).status_code == 403
    assert await churn(account) == 201


async def test_secrets_count_with_tokens_and_others_do_not(admin: Account, account: Account) -> None:
    """One number for all that an account makes; it is its own."""
    service = (await make_service(admin)).json()["id"]
    for _ in range(2):
        assert await churn(admin) == 201
        made = await make_secret(admin, service)
        assert made.status_code == 201
        path = f"/admin/service-accounts/{service}/secrets/{made.json()['secret']['id']}"
        assert (await admin.request("DELETE", path)).status_code == 204
    assert code_of(await make_secret(admin, service)) == THROTTLED
    assert code_of(await make_token(admin)) == THROTTLED
    assert await churn(account) == 201

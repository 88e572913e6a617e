"""`/metrics` for Prometheus, and the dashboard page with its login."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import Form, status
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from app.auth.dependencies import AuthServiceDep, ClientDep
from app.auth.devices.codec import DEVICE_MEMORY
from app.auth.devices.cookies import DEVICE_COOKIE, REFRESH_COOKIE, TokenTransport
from app.auth.errors import InvalidGrantError
from app.auth.service import AuthService
from app.auth.types import MAX_PASSWORD_LENGTH, LogoutScope, PasswordLogin
from app.core.errors import AppError
from app.core.text import MAX_EMAIL_LENGTH, SafeStr
from app.metrics.dependencies import DashboardServiceDep, Scraper, ScrapeServiceDep
from app.metrics.exposition import MEDIA_TYPE
from app.metrics.page_rendering import HEADERS, render_dashboard, render_login
from app.metrics.types import METRICS_READ, Period
from app.routing import root_router

router = root_router(tags=["metrics"])

DASHBOARD_COOKIE = "__Host-merit_dashboard"
_PATH = "/admin/dashboard"
_CLIENT_ID = "merit-dashboard"
_COOKIE_LIFE = timedelta(hours=12)
_PLAIN = {
    "invalid_credentials": "This is not a name and a password that belong together.",
    "invalid_scope": "This account may not read metrics.",
    "login_throttled": "Too many attempts. Please wait a while.",
    "origin_refused": "Please log in on the page of this very address.",
    "validation_failed": "Please check what you have typed in.",
}
_TRY_AGAIN = "This did not work at the moment. Please try again in a minute."


@router.get(
    "/metrics",
    summary="Scrape metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The text format."}},
)
async def scrape_metrics(_actor: Scraper, scrape: ScrapeServiceDep) -> Response:
    """Figures for Prometheus, of all processes together. The METRICS_TOKEN lets in too, as a bearer token."""
    return Response(await scrape.text(), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})


def _refuse(error: AppError, _request: Request) -> Response:
    message = _PLAIN.get(error.code, _TRY_AGAIN)
    return _html(render_login(Period.DAY, message), status_code=error.status_code, headers=error.headers)


@router.get(_PATH, include_in_schema=False)
async def show_dashboard(
    request: Request, auth: AuthServiceDep, dashboard: DashboardServiceDep, period: Period = Period.DAY
) -> HTMLResponse:
    """The figures, for browsers that are logged in; for others the login."""
    if not await _may_read(request, auth):
        return _html(render_login(period), status_code=status.HTTP_401_UNAUTHORIZED)
    return _html(render_dashboard(await dashboard.read(period)))


@router.post(_PATH, include_in_schema=False)
async def log_in_to_dashboard(
    request: Request,
    auth: AuthServiceDep,
    client: ClientDep,
    login: Annotated[SafeStr, Form(min_length=1, max_length=MAX_EMAIL_LENGTH)],
    password: Annotated[str, Form(min_length=1, max_length=MAX_PASSWORD_LENGTH)],
    period: Annotated[Period, Form()] = Period.DAY,
) -> RedirectResponse:
    """Open a session that may only read metrics, and keep its refresh token in a cookie of its own."""
    answer = RedirectResponse(f"{_PATH}?period={period.value}", status_code=status.HTTP_303_SEE_OTHER, headers=HEADERS)
    transport = TokenTransport(request, answer)
    transport.require_origin()
    attempt = PasswordLogin(
        login=login,
        password=password,
        client_id=_CLIENT_ID,
        scope=frozenset({METRICS_READ}),
        device_name="Dashboard",
        device_cookie=transport.device_cookie,
    )
    tokens = await auth.login(attempt, client)
    transport.keep(DASHBOARD_COOKIE, tokens.refresh_token, _COOKIE_LIFE)
    if tokens.device_cookie is not None:  # every login gives one
        transport.keep(DEVICE_COOKIE, tokens.device_cookie, DEVICE_MEMORY)
    return answer


@router.post(f"{_PATH}/logout", include_in_schema=False)
async def log_out_of_dashboard(request: Request, auth: AuthServiceDep, client: ClientDep) -> RedirectResponse:
    """End the dashboard's own session; one of a front end, which may show it too, is that one's to end."""
    answer = RedirectResponse(_PATH, status_code=status.HTTP_303_SEE_OTHER, headers=HEADERS)
    transport = TokenTransport(request, answer)
    transport.require_origin()
    token = request.cookies.get(DASHBOARD_COOKIE)
    if token:
        await auth.logout(None, LogoutScope.SESSION, client, refresh_token=token)
    transport.keep(DASHBOARD_COOKIE, "", timedelta())
    return answer


_ENDPOINTS: tuple[Any, ...] = (show_dashboard, log_in_to_dashboard, log_out_of_dashboard)
for _endpoint in _ENDPOINTS:
    _endpoint.error_renderer = _refuse


async def _may_read(request: Request, auth: AuthService) -> bool:
    """Whether a cookie of the browser is of somebody who may read metrics. It is only looked at: nothing changes."""
    for name in (DASHBOARD_COOKIE, REFRESH_COOKIE):
        try:
            viewer = await auth.viewer(request.cookies.get(name, ""))
        except InvalidGrantError:
            continue
        if METRICS_READ in viewer.permissions:
            return True
    return False


def _html(text: str, *, status_code: int = 200, headers: dict[str, str] | None = None) -> HTMLResponse:
    return HTMLResponse(text, status_code=status_code, headers={**(headers or {}), **HEADERS})

"""`/account/...`: the pages for people, most of which links in mails lead to."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Form, Query, Response
from pydantic import BeforeValidator
from starlette.requests import Request
from starlette.responses import HTMLResponse

from app.auth.dependencies import AuthServiceDep, ClientDep
from app.auth.email_addresses.dependencies import EmailAddressServiceDep
from app.auth.mail_flows import page_rendering
from app.auth.mail_flows.page_rendering import AccountPage, render_done, render_form, render_refusal
from app.auth.one_time_tokens.types import TokenProof
from app.auth.recovery.dependencies import RecoveryServiceDep
from app.auth.registration.dependencies import RegistrationServiceDep
from app.auth.registration.types import Registrant
from app.auth.schemas import Email, FullName, Password, Username
from app.core.errors import AppError
from app.core.text import MAX_EMAIL_LENGTH, SafeStr, require_safe_text
from app.routing import root_router

Handler = Callable[..., Awaitable[HTMLResponse]]

router = root_router("/account", include_in_schema=False)

_MAX_TOKEN_LENGTH = 128
_FORM_KEY = "merit.page_form"


async def keep_form(request: Request) -> None:
    """Remember what was typed in, to show it again beside a refusal."""
    form = await request.form()
    typed = {name: _safe(value) for name, value in form.items() if isinstance(value, str)}
    request.scope[_FORM_KEY] = {name: value for name, value in typed.items() if value is not None}


def _none_if_empty(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


Token = Annotated[SafeStr, Form(max_length=_MAX_TOKEN_LENGTH)]
LinkToken = Annotated[str, Query(alias="token", max_length=_MAX_TOKEN_LENGTH)]


def _page(page: AccountPage) -> Callable[[Handler], Handler]:
    """Serve a page: its form by GET, and by POST what the decorated endpoint does."""
    path = page.path.removeprefix(router.prefix)

    async def show(token: LinkToken = "") -> HTMLResponse:
        return _html(render_form(page, token or None))

    def refuse(error: AppError, request: Request) -> Response:
        form = request.scope.get(_FORM_KEY, {})
        text = render_refusal(page, error, form.get("token"), form)
        return _html(text, status_code=error.status_code, headers=error.headers)

    def register(endpoint: Handler) -> Handler:
        endpoint.error_renderer = refuse  # type: ignore[attr-defined]
        router.add_api_route(path, show, methods=["GET", "HEAD"], name=f"show_{endpoint.__name__}")
        router.add_api_route(path, endpoint, methods=["POST"], dependencies=[Depends(keep_form)])
        return endpoint

    show.error_renderer = refuse  # type: ignore[attr-defined]
    return register


@_page(page_rendering.VERIFY_EMAIL)
async def verify_email_page(token: Token, addresses: EmailAddressServiceDep, client: ClientDep) -> HTMLResponse:
    """Prove an address."""
    await addresses.verify(TokenProof(token=token), client)
    return _html(render_done(page_rendering.VERIFY_EMAIL))


@_page(page_rendering.COMPLETE_REGISTRATION)
async def complete_registration_page(
    token: Token, password: Annotated[Password, Form()], addresses: EmailAddressServiceDep, client: ClientDep
) -> HTMLResponse:
    """Make the account that a registration waited for."""
    await addresses.verify(TokenProof(token=token), client, password=password.get_secret_value())
    return _html(render_done(page_rendering.COMPLETE_REGISTRATION))


@_page(page_rendering.ACCEPT_INVITATION)
async def accept_invitation_page(
    token: Token,
    password: Annotated[Password, Form()],
    registration: RegistrationServiceDep,
    client: ClientDep,
    full_name: Annotated[FullName | None, BeforeValidator(_none_if_empty), Form()] = None,
    username: Annotated[Username | None, BeforeValidator(_none_if_empty), Form()] = None,
) -> HTMLResponse:
    """Make the account of an invited address."""
    registrant = Registrant(None, password.get_secret_value(), username, full_name, invitation=token)
    await registration.register(registrant, client)
    return _html(render_done(page_rendering.ACCEPT_INVITATION))


@_page(page_rendering.CHANGE_PASSWORD)
async def change_password_page(
    login: Annotated[SafeStr, Form(min_length=1, max_length=MAX_EMAIL_LENGTH)],
    current_password: Annotated[Password, Form()],
    new_password: Annotated[Password, Form()],
    auth: AuthServiceDep,
    client: ClientDep,
) -> HTMLResponse:
    """Replace a password by its owner, logged in or not: no cookie is looked at, so that no other site can do it."""
    current, new = current_password.get_secret_value(), new_password.get_secret_value()
    await auth.replace_password(login, current=current, new=new, client=client)
    return _html(render_done(page_rendering.CHANGE_PASSWORD))


@_page(page_rendering.FORGOT_PASSWORD)
async def forgot_password_page(
    email: Annotated[Email, Form()], recovery: RecoveryServiceDep, client: ClientDep
) -> HTMLResponse:
    """Ask for a reset link."""
    await recovery.request_reset(email, client)
    return _html(render_done(page_rendering.FORGOT_PASSWORD))


@_page(page_rendering.RESET_PASSWORD)
async def reset_password_page(
    token: Token, new_password: Annotated[Password, Form()], recovery: RecoveryServiceDep, client: ClientDep
) -> HTMLResponse:
    """Set a new password."""
    await recovery.reset(TokenProof(token=token), new_password.get_secret_value(), client)
    return _html(render_done(page_rendering.RESET_PASSWORD))


@_page(page_rendering.CONFIRM_EMAIL)
async def confirm_email_page(token: Token, addresses: EmailAddressServiceDep, client: ClientDep) -> HTMLResponse:
    """Give an account its new address."""
    await addresses.confirm_change(TokenProof(token=token), client)
    return _html(render_done(page_rendering.CONFIRM_EMAIL))


@_page(page_rendering.UNDO_EMAIL)
async def undo_email_page(token: Token, recovery: RecoveryServiceDep, client: ClientDep) -> HTMLResponse:
    """Give an account its old address back."""
    await recovery.undo_email_change(token, client)
    return _html(render_done(page_rendering.UNDO_EMAIL))


@_page(page_rendering.SECURE_ACCOUNT)
async def secure_account_page(token: Token, recovery: RecoveryServiceDep, client: ClientDep) -> HTMLResponse:
    """Lock everyone out of an account."""
    await recovery.secure(token, client)
    return _html(render_done(page_rendering.SECURE_ACCOUNT))


def _html(text: str, *, status_code: int = 200, headers: dict[str, str] | None = None) -> HTMLResponse:
    return HTMLResponse(text, status_code=status_code, headers={**(headers or {}), **page_rendering.HEADERS})


def _safe(text: str) -> str | None:
    """What can be shown again; the rest was never accepted."""
    try:
        return require_safe_text(text)
    except ValueError:
        return None

"""The pages under `/account`, most of which links in mails lead to: what stands on them, and how they are made.

They need no JavaScript and load nothing. A GET only shows a form, so that mail programs and scanners that follow links
use nothing up; what the link is for happens when its button is pressed.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.auth.types import MAX_NAME_LENGTH, MAX_PASSWORD_LENGTH, MAX_USERNAME_LENGTH
from app.core.errors import AppError
from app.core.text import MAX_EMAIL_LENGTH

_FOLDER = Path(__file__).parent / "page_templates"
_STYLE = (_FOLDER / "page.css").read_text(encoding="utf-8").strip()
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One input of a form."""

    name: str
    label: str
    type: str
    autocomplete: str
    max_length: int
    hint: str = ""
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class Link:
    """Where else a person may want to go from a form."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class AccountPage:
    """One page: its form, and what it says when it is done."""

    path: str
    title: str
    text: str
    button: str
    done: str
    fields: tuple[Field, ...] = ()
    link: Link | None = None


_PASSWORD = Field(
    "new_password", "New password", "password", "new-password", MAX_PASSWORD_LENGTH, "A few words in a row are best."
)

FORGOT_LINK = Link("/account/password/forgot", "I have forgotten my password")

VERIFY_EMAIL = AccountPage(
    "/account/verify-email",
    "Confirm your address",
    "Press the button to confirm that this e-mail address is yours.",
    "Confirm my address",
    "Thank you, your address is confirmed. You can log in now.",
)
COMPLETE_REGISTRATION = AccountPage(
    "/account/register",
    "Complete your registration",
    "Type in the password that you chose, and your account is made.",
    "Make my account",
    "Welcome! Your account is made. You can log in now.",
    (Field("password", "The password that you chose", "password", "current-password", MAX_PASSWORD_LENGTH),),
)
ACCEPT_INVITATION = AccountPage(
    "/account/invitation",
    "Make your account",
    "You are invited. Choose a password to make your account.",
    "Make my account",
    "Welcome! Your account is made. You can log in now with your e-mail address.",
    (
        Field("full_name", "Your name", "text", "name", MAX_NAME_LENGTH, "You can leave it empty.", False),
        Field("username", "User name", "text", "username", MAX_USERNAME_LENGTH, "You can leave it empty.", False),
        Field("password", "Password", "password", "new-password", MAX_PASSWORD_LENGTH, _PASSWORD.hint),
    ),
)
CHANGE_PASSWORD = AccountPage(
    "/account/password/change",
    "Change your password",
    "The new one replaces the old one, and logs out every device.",
    "Save the new password",
    "Your new password is saved. You can log in with it now.",
    (
        Field("login", "E-mail address or user name", "text", "username", MAX_EMAIL_LENGTH),
        Field("current_password", "Current password", "password", "current-password", MAX_PASSWORD_LENGTH),
        _PASSWORD,
    ),
    FORGOT_LINK,
)
FORGOT_PASSWORD = AccountPage(
    FORGOT_LINK.path,
    "Forgotten password",
    "We send you a link to choose a new one.",
    "Send me a link",
    "If there is an account with this address, the mail is on its way. It comes within a few minutes.",
    (Field("email", "E-mail address", "email", "email", MAX_EMAIL_LENGTH),),
)
RESET_PASSWORD = AccountPage(
    "/account/password/reset",
    "Choose a new password",
    "It replaces the old one, and logs out every device.",
    "Save the new password",
    "Your new password is saved. You can log in with it now.",
    (_PASSWORD,),
)
CONFIRM_EMAIL = AccountPage(
    "/account/email/confirm",
    "Confirm your new address",
    "Press the button, and your account has this e-mail address from now on.",
    "Use this address",
    "Done: this is the e-mail address of your account now.",
)
UNDO_EMAIL = AccountPage(
    "/account/email/undo",
    "Take the change back",
    "Your account gets this e-mail address back. Everyone is logged out, and the password stops working; we send you "
    "a link to choose a new one.",
    "Take the change back",
    "Done: your account has this address again. The mail with a link to choose a new password is on its way.",
)
SECURE_ACCOUNT = AccountPage(
    "/account/secure",
    "This was not you?",
    "Everyone is logged out of your account, and its password stops working. We send you a link to choose a new one.",
    "Lock everyone out",
    "Done: nobody is logged in to your account any more. The mail with a link to choose a new password is on its way.",
)

PAGES = {
    page.path: page
    for page in (
        VERIFY_EMAIL,
        COMPLETE_REGISTRATION,
        ACCEPT_INVITATION,
        CHANGE_PASSWORD,
        FORGOT_PASSWORD,
        RESET_PASSWORD,
        CONFIRM_EMAIL,
        UNDO_EMAIL,
        SECURE_ACCOUNT,
    )
}

# Refusals that no other attempt with the same link mends, in plain words.
_FINAL = {
    "token_unknown": "This link does not work. Perhaps it was cut off, or replaced by a newer one.",
    "token_used": "This link has been used already. If that was you, there is nothing left to do.",
    "token_expired": "This link is too old. Please ask for a new one.",
    "email_taken": "There is another account with this e-mail address by now.",
}
_PLAIN = {
    "validation_failed": "Please check what you have typed in.",
    "code_invalid": "This is not the password that you chose for this account, or too many were tried.",
    "invalid_credentials": "There is no such account, or the current password is wrong.",
    "login_throttled": "There were too many attempts. Please try again later.",
    "username_taken": "This user name is taken. Please choose another one.",
    "registration_throttled": "Too many accounts were made from your network. Please try again later.",
}
_TRY_AGAIN = "This did not work at the moment. Please try again in a minute."

_environment = Environment(
    loader=FileSystemLoader(_FOLDER),
    undefined=StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


def render_form(page: AccountPage, token: str | None, *, values: Mapping[str, str] | None = None) -> str:
    """The page with its form."""
    return _render(page, token=token, values=values or {}, has_form=True)


def render_done(page: AccountPage) -> str:
    """The page once it has done its work."""
    return _render(page, message=page.done, is_done=True)


def render_refusal(page: AccountPage, error: AppError, token: str | None, values: Mapping[str, str]) -> str:
    """The page with a refusal in plain words, and the form again where another attempt may help.

    Passwords are not filled in again.
    """
    if error.code in _FINAL:
        return _render(page, message=_FINAL[error.code])
    message = error.detail if error.code == "weak_password" else _PLAIN.get(error.code, _TRY_AGAIN)
    kept = {
        field.name: values[field.name] for field in page.fields if field.type != "password" and field.name in values
    }
    return _render(page, message=message, token=token, values=kept, has_form=True)


def _render(
    page: AccountPage,
    *,
    message: str | None = None,
    is_done: bool = False,
    token: str | None = None,
    values: Mapping[str, str] | None = None,
    has_form: bool = False,
) -> str:
    return _environment.get_template("page.html.j2").render(
        title=page.title,
        style=Markup(_STYLE),  # noqa: S704 - our own file
        message=message,
        is_done=is_done,
        form=page if has_form else None,
        action=page.path,
        token=token,
        values=values or {},
    )

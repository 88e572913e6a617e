"""The account package's JSON."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StrictBool,
    StringConstraints,
    model_validator,
)

from app.auth.types import (
    FIRST_PARTY_CLIENT,
    MAX_NAME_LENGTH,
    MAX_PASSWORD_LENGTH,
    MAX_USERNAME_LENGTH,
    LogoutScope,
    Role,
)
from app.core.text import MAX_EMAIL_LENGTH, SafeLine, SafeStr, require_email, require_safe_text


def _require_safe_secret(value: SecretStr) -> SecretStr:
    require_safe_text(value.get_secret_value())
    return value


Email = Annotated[
    SafeLine, Field(max_length=MAX_EMAIL_LENGTH, examples=["ada@example.com"]), AfterValidator(require_email)
]
# ASCII only: look-alikes from other scripts would let one person pass for another. No `@`: never an address.
Username = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=3, max_length=MAX_USERNAME_LENGTH, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]+$"
    ),
    Field(examples=["ada"]),
]
FullName = Annotated[SafeLine, Field(max_length=MAX_NAME_LENGTH, examples=["Ada Lovelace"])]
Password = Annotated[
    SecretStr,
    Field(min_length=1, max_length=MAX_PASSWORD_LENGTH, examples=["correct horse battery"]),
    AfterValidator(_require_safe_secret),
]
ClientId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
Scope = Annotated[SafeStr, Field(max_length=500, description="Space-separated permissions; all by default.")]
RefreshTokenText = Annotated[SecretStr, Field(max_length=256, examples=["rt1.0199c2a4-….1.…"])]

UseCookie = Annotated[
    StrictBool, Field(description="Put the refresh token into a cookie that no script can read, instead of the answer.")
]


class Input(BaseModel):
    """JSON that comes in: a member that is not expected is an error, not ignored."""

    model_config = ConfigDict(extra="forbid")


class LoginRequest(Input):
    """A login by e-mail address or by user name."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "ada@example.com", "password": "correct horse battery"}]}
    )

    email: Annotated[SafeStr, Field(min_length=1, max_length=MAX_EMAIL_LENGTH)] | None = None
    username: Annotated[SafeStr, Field(min_length=1, max_length=MAX_EMAIL_LENGTH)] | None = None
    password: Password
    device_name: Annotated[SafeLine, Field(max_length=100, examples=["Ada's laptop"])] | None = None
    client_id: ClientId = FIRST_PARTY_CLIENT
    scope: Scope | None = None
    use_cookie: UseCookie = False

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        if (self.email is None) == (self.username is None):
            raise ValueError("give either email or username")
        return self


class RefreshRequest(Input):
    """A refresh token to exchange; without one, that of the cookie."""

    refresh_token: RefreshTokenText | None = None
    client_id: ClientId = FIRST_PARTY_CLIENT
    scope: Scope | None = None
    use_cookie: UseCookie = False


class LogoutRequest(Input):
    """Which sessions to end; a refresh token stands in for an access token that has expired."""

    scope: LogoutScope = LogoutScope.SESSION
    refresh_token: RefreshTokenText | None = None


class PasswordChangeRequest(Input):
    """A new password, confirmed by the current one."""

    current_password: Password
    new_password: Password


class ProfileUpdate(Input):
    """The members to change; null removes one."""

    username: Username | None = None
    full_name: FullName | None = None


class UserUpdate(ProfileUpdate):
    """What an administrator may change."""

    role: Role | None = None
    is_superuser: StrictBool | None = None

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        if any(name in self.model_fields_set and getattr(self, name) is None for name in ("role", "is_superuser")):
            raise ValueError("role and is_superuser cannot be null")
        return self


class TokenRead(BaseModel):
    """Tokens as in RFC 6749 section 5.1; `expires_in` is the access token's life in seconds."""

    access_token: Annotated[str, Field(examples=["eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiJ9.…"])]
    refresh_token: Annotated[
        str | None, Field(description="null: it is in the cookie.", examples=["rt1.0199c2a4-….1.…"])
    ]
    token_type: Annotated[str, Field(examples=["bearer"])]
    expires_in: Annotated[int, Field(examples=[600])]
    scope: Annotated[str, Field(examples=["profile:read profile:write"])]


class UserRead(BaseModel):
    """An account."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: Annotated[str, Field(examples=["ada@example.com"])]
    username: Annotated[str | None, Field(examples=["ada"])]
    full_name: Annotated[str | None, Field(examples=["Ada Lovelace"])]
    role: Role
    is_active: bool
    is_superuser: bool
    email_verified_at: datetime | None
    last_login_at: datetime | None
    created_at: datetime
    updated_at: datetime


class SessionRead(BaseModel):
    """A login session; `current` is the one that asks. `refreshed_at` is exact to the minute."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    created_at: datetime
    refreshed_at: datetime
    address: Annotated[str | None, Field(examples=["203.0.113.7"])]
    device: Annotated[str, Field(examples=["Firefox on Linux"])]
    device_name: Annotated[str | None, Field(examples=["Ada's laptop"])]
    method: Annotated[str, Field(examples=["pwd"], description="How the login was proven (RFC 8176).")]
    current: bool

"""Every setting a person may set, read from the environment and from `.env`; the only reader of `os.environ`."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.core.addresses import is_local_host, require_base_url, require_root_url
from app.core.errors import ConfigurationError
from app.core.providers import ProviderSettings, require_distinct
from app.core.text import require_mailbox, require_single_line

BACKEND_DIR = Path(__file__).resolve().parents[2]
ENV_FILE = BACKEND_DIR.parent / ".env"
MINIMUM_SECRET_BYTES = 32
MINIMUM_METRICS_TOKEN_LENGTH = 16
DEFAULT_ISSUER = "merit"
"""The `iss` of access tokens where nothing says what the service's address is."""

# Lower-case fragments of the example secrets that documentation, tutorials and `.env.example` files show.
EXAMPLE_SECRET_FRAGMENTS = (
    "changeme",
    "change-me",
    "change_me",
    "example",
    "your-secret",
    "your_secret",
    "secret-key-here",
    "insecure",
    "default",
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",  # the FastAPI tutorial's
)


class Environment(StrEnum):
    """Where the service runs; `production` refuses to start with anything unsafe."""

    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class Registration(StrEnum):
    """Who may create an account at `POST /auth/register`."""

    OPEN = "open"
    VERIFIED = "verified"
    INVITE = "invite"
    CLOSED = "closed"


class BreachPolicy(StrEnum):
    """What becomes of a new password while the source of breached ones does not answer."""

    FAIL_OPEN = "fail_open"
    FAIL_CLOSED = "fail_closed"


class JwtAlgorithm(StrEnum):
    """The one algorithm that access tokens are signed with."""

    ES256 = "ES256"
    HS256 = "HS256"


class Toggle(StrEnum):
    """A switch that reads well in an environment file."""

    ON = "on"
    OFF = "off"


class LogFormat(StrEnum):
    """JSON lines for machines, coloured text for a terminal."""

    JSON = "json"
    CONSOLE = "console"


class DatabasePooler(StrEnum):
    """A connection pooler between the service and PostgreSQL, which forbids named prepared statements."""

    NONE = "none"
    PGBOUNCER = "pgbouncer"


class DatabaseTls(StrEnum):
    """TLS to the database: `require` encrypts, `verify` checks the certificate and host name too."""

    OFF = "off"
    REQUIRE = "require"
    VERIFY = "verify"


class SmtpTls(StrEnum):
    """TLS to the mail server: from the first byte (RFC 8314), after STARTTLS (RFC 3207), or none."""

    OFF = "off"
    STARTTLS = "starttls"
    TLS = "tls"


def _no_wildcard(origins: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in origins:
        raise ValueError("name each origin; '*' would let every site use a caller's session")
    return origins


def _require_contact(value: str) -> str:
    if not value.startswith(("mailto:", "https://", "tel:")) or not value.isascii() or not value.isprintable():
        raise ValueError("must be a mailto:, https:// or tel: address")
    return value


class Settings(BaseSettings):
    """The service's settings. Names in the environment are the field names in capitals."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    environment: Environment = Environment.DEVELOPMENT
    secret_key: SecretStr

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=256)
    data_dir: Path = BACKEND_DIR / "var"

    database_url: SecretStr | None = None
    database_replica_url: SecretStr | None = None
    database_listen_url: SecretStr | None = None
    postgres_server: str | None = None
    postgres_port: int = Field(default=5432, ge=1, le=65535)
    postgres_user: str = "postgres"
    postgres_password: SecretStr = SecretStr("")
    postgres_db: str = "merit"
    db_pool_size: int = Field(default=10, ge=1)
    db_max_overflow: int = Field(default=0, ge=0)
    db_pool_timeout: float = Field(default=2.0, gt=0)
    db_connect_timeout: float = Field(default=3.0, gt=0)
    db_command_timeout: float = Field(default=3.0, gt=0)
    db_echo: bool = False
    db_pooler: DatabasePooler = DatabasePooler.NONE
    db_tls: DatabaseTls = DatabaseTls.OFF
    db_tls_ca_file: Path | None = None
    db_replica_lag_seconds: float = Field(default=5.0, ge=0)

    registration: Registration = Registration.OPEN
    password_min_length: int = Field(default=8, ge=8, le=64)
    breached_passwords_url: Annotated[str, AfterValidator(require_base_url)] | None = None
    breached_passwords: BreachPolicy = BreachPolicy.FAIL_OPEN
    bcrypt_rounds: int = Field(default=12, ge=4, le=16)
    hash_workers: int | None = Field(default=None, ge=1)
    hash_queue_size: int = Field(default=16, ge=1)
    rate_limits: Toggle = Toggle.ON
    trusted_proxy_hops: int = Field(default=0, ge=0, le=8)

    jwt_algorithm: JwtAlgorithm = JwtAlgorithm.ES256
    jwt_issuer: Annotated[str, AfterValidator(require_single_line)] | None = None
    jwt_audience: str = "merit-api"
    jwks_max_age_seconds: int = Field(default=300, ge=1, le=86_400)
    key_rotation_days: int = Field(default=90, ge=0, le=3650)
    access_token_seconds: int = Field(default=600, ge=60, le=3600)
    refresh_idle_days: int = Field(default=30, ge=1)
    refresh_absolute_days: int = Field(default=90, ge=1)
    refresh_grace_seconds: int = Field(default=30, ge=0, le=300)
    fresh_login_seconds: int = Field(default=300, ge=30)
    max_sessions_per_user: int = Field(default=50, ge=1, le=1000)
    max_personal_tokens_per_user: int = Field(default=50, ge=1, le=1000)
    guests: Toggle = Toggle.ON
    guest_days: int = Field(default=30, ge=1, le=3650)

    first_superuser_email: str | None = None
    first_superuser_password: SecretStr | None = None

    public_url: Annotated[str, AfterValidator(require_root_url)] | None = None
    mail_from: Annotated[str, AfterValidator(require_mailbox)] | None = None
    smtp_host: Annotated[str, AfterValidator(require_single_line)] | None = None
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_user: str | None = None
    smtp_password: SecretStr = SecretStr("")
    smtp_tls: SmtpTls = SmtpTls.STARTTLS
    smtp_tls_ca_file: Path | None = None
    smtp_timeout_seconds: float = Field(default=15.0, gt=0)

    security_contact: Annotated[str, AfterValidator(_require_contact)] | None = None
    job_workers: int = Field(default=4, ge=0, le=64)
    job_lease_seconds: float = Field(default=30.0, ge=1)
    metrics_token: SecretStr | None = None
    metrics_flush_seconds: float = Field(default=5.0, ge=0, le=60)

    llm_providers: Annotated[
        tuple[ProviderSettings, ...], NoDecode, Field(max_length=16), AfterValidator(require_distinct)
    ] = ()
    llm_default_model: Annotated[str, AfterValidator(require_single_line)] | None = None
    llm_max_reply_bytes: int = Field(default=262_144, ge=1024, le=16_777_216)

    chat_max_conversations: int = Field(default=10_000, ge=1, le=100_000)
    chat_max_guest_conversations: int = Field(default=100, ge=1, le=10_000)
    chat_import_max_bytes: int = Field(default=33_554_432, ge=65_536, le=268_435_456)
    chat_max_folders: int = Field(default=500, ge=1, le=5_000)
    chat_temporary_hours: int = Field(default=24, ge=1, le=8760)

    max_replies: int = Field(default=200, ge=1, le=10_000)
    max_replies_per_owner: int = Field(default=8, ge=1, le=10_000)
    reply_timeout_seconds: float = Field(default=600.0, gt=0, le=3600)
    reply_lease_seconds: float = Field(default=10.0, ge=1, le=60)
    reply_sweep_seconds: float = Field(default=3.0, ge=0, le=5)
    reply_drain_seconds: float = Field(default=5.0, ge=0, le=60)
    reply_event_hours: int = Field(default=24, ge=1, le=8760)

    cors_origins: Annotated[tuple[str, ...], NoDecode, AfterValidator(_no_wildcard)] = ()
    docs: Toggle | None = None
    request_timeout_seconds: float = Field(default=4.5, gt=0)
    header_timeout_seconds: float = Field(default=10.0, gt=0)
    body_timeout_seconds: float = Field(default=10.0, gt=0)
    unread_timeout_seconds: float = Field(default=60.0, ge=0.001, le=3600)
    max_body_bytes: int = Field(default=65_536, ge=1024)
    max_connections_per_peer: int = Field(default=256, ge=1)
    drain_seconds: float = Field(default=2.0, ge=0)

    failpoints: str = ""
    log_level: str = "INFO"
    log_format: LogFormat | None = None

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("llm_providers", mode="before")
    @classmethod
    def _parse_providers(cls, value: Any) -> Any:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError("must be a JSON list of providers") from None

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return value.upper()

    @property
    def is_production(self) -> bool:
        """Whether the strict start-up rules apply."""
        return self.environment is Environment.PRODUCTION

    @property
    def docs_enabled(self) -> bool:
        """`DOCS` when set; otherwise the API pages are served everywhere but in production."""
        return self.docs is Toggle.ON if self.docs is not None else not self.is_production

    @property
    def base_url(self) -> str:
        """What links to this service begin with, without a slash at the end: `PUBLIC_URL`, or where it listens."""
        if self.public_url is not None:
            return self.public_url
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def issuer(self) -> str:
        """The `iss` of access tokens: `JWT_ISSUER`, else `PUBLIC_URL`, which every host has alike, or a plain name."""
        return self.jwt_issuer or self.public_url or DEFAULT_ISSUER

    def make_data_dir(self) -> None:
        """Make the data directory, for the service's own user alone: it holds password hashes."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the settings, then refuse what is unsafe.

        Raises:
            ConfigurationError: a setting is missing, malformed or unsafe. It names the setting, never its value.
        """
        try:
            settings = cls(**overrides)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            name = str(first["loc"][0]).upper() if first["loc"] else "settings"
            place = ".".join(str(step) for step in first["loc"][1:])
            raise ConfigurationError(name, f"{place}: {first['msg']}" if place else first["msg"]) from None
        settings.refuse_unsafe()
        return settings

    def refuse_unsafe(self) -> None:
        """Refuse secrets that can be guessed, and outside development whatever weakens the service.

        Raises:
            ConfigurationError: names the first setting at fault.
        """
        secret = self.secret_key.get_secret_value()
        if len(secret.encode()) < MINIMUM_SECRET_BYTES:
            raise ConfigurationError("SECRET_KEY", f"must be at least {MINIMUM_SECRET_BYTES} bytes")
        if len(set(secret)) < MINIMUM_SECRET_BYTES // 4:
            raise ConfigurationError("SECRET_KEY", "repeats too few characters to be random")
        if any(fragment in secret.lower() for fragment in EXAMPLE_SECRET_FRAGMENTS):
            raise ConfigurationError("SECRET_KEY", "is an example value; generate a random one")
        if self.metrics_token and len(self.metrics_token.get_secret_value()) < MINIMUM_METRICS_TOKEN_LENGTH:
            raise ConfigurationError("METRICS_TOKEN", f"must be at least {MINIMUM_METRICS_TOKEN_LENGTH} characters")
        if self.smtp_host is not None:
            self._refuse_unsafe_mail(self.smtp_host)
        if self.is_production:
            self._refuse_in_production()

    def _refuse_unsafe_mail(self, host: str) -> None:
        if self.mail_from is None:
            raise ConfigurationError("MAIL_FROM", "must be set where SMTP_HOST is")
        if self.smtp_user and self.smtp_tls is SmtpTls.OFF and not is_local_host(host):
            raise ConfigurationError(
                "SMTP_TLS", "must be starttls or tls: SMTP_PASSWORD would cross the network in clear"
            )

    def _refuse_in_production(self) -> None:
        refusals = {
            "LOG_LEVEL": (self.log_level == "DEBUG", "must not be DEBUG in production: statements would show rows"),
            "DB_ECHO": (self.db_echo, "would write personal data to the log in production"),
            "RATE_LIMITS": (self.rate_limits is Toggle.OFF, "must be on in production"),
            "FAILPOINTS": (bool(self.failpoints), "must be empty in production"),
            "PUBLIC_URL": (
                self.smtp_host is not None and not _is_public(self.public_url),
                "must be set in production, with https unless it is this machine: links in mails hold secrets",
            ),
            "BCRYPT_ROUNDS": (self.bcrypt_rounds < 12, "must be at least 12 in production"),
        }
        for name, (is_unsafe, reason) in refusals.items():
            if is_unsafe:
                raise ConfigurationError(name, reason)


def _is_public(url: str | None) -> bool:
    """Whether links that begin with this address may be sent: encrypted, or to this machine alone."""
    if url is None:
        return False
    parts = urlsplit(url)
    return parts.scheme == "https" or is_local_host(parts.hostname)

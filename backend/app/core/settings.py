"""Every setting a person may set, read from the environment and from `.env`; the only reader of `os.environ`."""

from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.core.errors import ConfigurationError

BACKEND_DIR = Path(__file__).resolve().parents[2]
ENV_FILE = BACKEND_DIR.parent / ".env"
MINIMUM_SECRET_BYTES = 32

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
    CLOSED = "closed"


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


def _no_wildcard(origins: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in origins:
        raise ValueError("name each origin; '*' would let every site use a caller's session")
    return origins


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
    bcrypt_rounds: int = Field(default=12, ge=4, le=16)
    hash_workers: int | None = Field(default=None, ge=1)
    hash_queue_size: int = Field(default=16, ge=1)
    rate_limits: Toggle = Toggle.ON
    trusted_proxy_hops: int = Field(default=0, ge=0, le=8)

    jwt_algorithm: JwtAlgorithm = JwtAlgorithm.ES256
    jwt_issuer: str = "merit"
    jwt_audience: str = "merit-api"
    access_token_seconds: int = Field(default=600, ge=60, le=3600)
    refresh_idle_days: int = Field(default=30, ge=1)
    refresh_absolute_days: int = Field(default=90, ge=1)
    refresh_grace_seconds: int = Field(default=30, ge=0, le=300)
    fresh_login_seconds: int = Field(default=300, ge=30)
    max_sessions_per_user: int = Field(default=50, ge=1, le=1000)

    first_superuser_email: str | None = None
    first_superuser_password: SecretStr | None = None

    cors_origins: Annotated[tuple[str, ...], NoDecode, AfterValidator(_no_wildcard)] = ()
    docs: Toggle | None = None
    request_timeout_seconds: float = Field(default=4.5, gt=0)
    header_timeout_seconds: float = Field(default=10.0, gt=0)
    body_timeout_seconds: float = Field(default=10.0, gt=0)
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
            raise ConfigurationError(name, first["msg"]) from None
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
        if self.is_production:
            self._refuse_in_production()

    def _refuse_in_production(self) -> None:
        refusals = {
            "LOG_LEVEL": (self.log_level == "DEBUG", "must not be DEBUG in production: statements would show rows"),
            "DB_ECHO": (self.db_echo, "would write personal data to the log in production"),
            "RATE_LIMITS": (self.rate_limits is Toggle.OFF, "must be on in production"),
            "FAILPOINTS": (bool(self.failpoints), "must be empty in production"),
            "BCRYPT_ROUNDS": (self.bcrypt_rounds < 12, "must be at least 12 in production"),
        }
        for name, (is_unsafe, reason) in refusals.items():
            if is_unsafe:
                raise ConfigurationError(name, reason)


def is_local_host(host: str | None) -> bool:
    """Whether a host name is this machine: no name (a socket), `localhost`, or a loopback address."""
    if not host or host == "localhost" or host.startswith("/"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

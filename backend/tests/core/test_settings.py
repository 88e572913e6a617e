"""Settings are read once, and what is unsafe stops the start with one line that shows no value."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.core.addresses import is_local_host
from app.core.errors import ConfigurationError
from app.core.settings import EXAMPLE_SECRET_FRAGMENTS, Environment, Settings, Toggle
from tools import programs

STRONG = "Tn6bQz1YwK8sVf3Lr0Xc5Hj9Md2Gp7Ua-4EeRtUiOpAs"  # not a secret: of this file


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing around the tests is read."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def load(**values: Any) -> Settings:
    return Settings.load(_env_file=None, **{"secret_key": STRONG, **values})


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"secret_key": ""}, "SECRET_KEY"),
        ({"secret_key": "short-hunter2"}, "SECRET_KEY"),
        ({"secret_key": "ab" * 40}, "SECRET_KEY"),
        ({"secret_key": "changeme-" + STRONG}, "SECRET_KEY"),
        ({"secret_key": EXAMPLE_SECRET_FRAGMENTS[-1]}, "SECRET_KEY"),
        ({"port": "hunter2"}, "PORT"),
        ({"port": 65536}, "PORT"),
        ({"postgres_port": 0}, "POSTGRES_PORT"),
        ({"log_level": "hunter2"}, "LOG_LEVEL"),
        ({"environment": "hunter2"}, "ENVIRONMENT"),
        ({"cors_origins": "https://a.example,*"}, "CORS_ORIGINS"),
        ({"db_tls": "hunter2"}, "DB_TLS"),
        ({"environment": "production", "log_level": "debug"}, "LOG_LEVEL"),
        ({"environment": "production", "db_echo": True}, "DB_ECHO"),
        ({"environment": "production", "rate_limits": "off"}, "RATE_LIMITS"),
        ({"environment": "production", "failpoints": "before_commit:error"}, "FAILPOINTS"),
        ({"environment": "production", "bcrypt_rounds": 11}, "BCRYPT_ROUNDS"),
    ],
)
def test_what_is_wrong_or_unsafe_is_refused_by_name(values: dict[str, Any], name: str) -> None:
    """Start-up: the setting is named, its value never shown."""
    with pytest.raises(ConfigurationError, match=rf"^{name} ") as caught:
        load(**values)
    assert caught.value.setting == name
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"^SECRET_KEY "):
        Settings.load(_env_file=None)


def test_what_is_unsafe_in_production_is_fine_elsewhere() -> None:
    settings = load(db_echo=True, rate_limits="off", failpoints="x:error", bcrypt_rounds=4, log_level="debug")
    assert (settings.is_production, settings.rate_limits, settings.log_level) == (False, Toggle.OFF, "DEBUG")
    assert load(environment="production").environment is Environment.PRODUCTION


def test_the_environment_wins_over_the_file_and_empty_means_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text(
        f"SECRET_KEY={STRONG}\nPORT=1000\nHOST=\nUNKNOWN=1\nCORS_ORIGINS=https://a.example, https://b.example\n"
    )
    monkeypatch.setenv("PORT", "2000")
    monkeypatch.setenv("WORKERS", "")
    settings = Settings.load(_env_file=file)
    assert (settings.port, settings.host, settings.workers) == (2000, "127.0.0.1", 1)
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert load(cors_origins=("https://c.example",)).cors_origins == ("https://c.example",)


def test_the_pages_are_off_in_production_unless_asked_for() -> None:
    assert load().docs_enabled
    assert not load(docs="off").docs_enabled
    assert not load(environment="production").docs_enabled
    assert load(environment="production", docs="on").docs_enabled


def test_secrets_are_not_shown_and_nothing_is_changed_later() -> None:
    settings = load(postgres_password="hunter2", database_url="postgresql://u:hunter2@h/d")
    assert "hunter2" not in repr(settings)
    assert STRONG not in repr(settings)
    assert isinstance(settings.secret_key, SecretStr)
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc] # the fault that is tested


@pytest.mark.parametrize(
    ("host", "is_local"),
    [(None, True), ("", True), ("localhost", True), ("127.9.9.9", True), ("::1", True), ("/run/postgresql", True),
     ("10.0.0.1", False), ("db", False), ("localhost.example", False)],
)  # fmt: skip
def test_local_hosts(host: str | None, is_local: bool) -> None:
    assert is_local_host(host) is is_local


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"SECRET_KEY": "short-hunter2"}, "SECRET_KEY"),
        ({"ENVIRONMENT": "production", "DATABASE_URL": "postgresql://u:hunter2@db.internal/d"}, "DB_TLS"),
        ({"ENVIRONMENT": "production"}, "DATABASE_URL"),  # its migrations are missing
        ({"DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/d"}, "DATABASE_URL"),
    ],
    ids=["weak", "tls", "revision", "away"],
)
def test_the_server_does_not_start(tmp_path: Path, environment: dict[str, str], name: str) -> None:
    """Start-up: exit code 78 (EX_CONFIG), one line that names the setting, no value."""
    variables = {
        "SECRET_KEY": STRONG,
        "DATA_DIR": str(tmp_path),
        "PORT": "0",
        "PATH": os.environ["PATH"],
        **environment,
    }
    done = programs.run(("-m", "app.cli", "serve"), env=variables)
    assert done.returncode == ConfigurationError.exit_code == 78, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{name} ")
    assert "hunter2" not in done.stdout + done.stderr

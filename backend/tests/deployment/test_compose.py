"""The compose file: read as Compose reads it, and held to what it promises."""

import re
from typing import Any

import pytest
import yaml

from app.core.settings import Settings
from tests.deployment.dockerfile import ROOT, read_stages
from tests.support import SECRET_KEY

COMPOSE_FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "api")
SECRETS = ("SECRET_KEY", "POSTGRES_PASSWORD", "FIRST_SUPERUSER_EMAIL", "FIRST_SUPERUSER_PASSWORD")
VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")


def texts(node: Any) -> list[str]:
    """Every text in a part of the file."""
    if isinstance(node, dict):
        return [text for value in node.values() for text in texts(value)]
    if isinstance(node, list):
        return [text for value in node for text in texts(value)]
    return [str(node)]


def test_it_has_the_database_the_one_shot_job_the_service_and_the_mail_catcher() -> None:
    assert list(SERVICES) == ["db", "migrate", "api", "mail"]


@pytest.mark.parametrize("name", SECRETS)
def test_a_missing_secret_stops_compose_with_a_line_that_names_it(name: str) -> None:
    uses = [use for text in texts(SERVICES) for use in VARIABLE.findall(text) if use[0] == name]
    assert uses
    for _, kind, message in uses:
        assert kind == "?"
        assert message.startswith(f"set {name} to ")


def test_no_secret_stands_in_the_file() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("SECRET|PASSWORD|KEY", name):
                assert VARIABLE.fullmatch(value), name


def test_every_image_has_a_fixed_version() -> None:
    images = {name: service["image"] for name, service in SERVICES.items() if name not in OURS}
    for image in images.values():
        assert re.fullmatch(r"[\w/]+:v?\d[\w.-]*", image)
    version = re.match(r"postgres:(\d+)", images["db"])
    assert version is not None
    assert int(version[1]) >= 15


def test_each_step_waits_for_the_one_before_it() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert SERVICES["api"]["depends_on"] == {
        "db": {"condition": "service_healthy"},
        "migrate": {"condition": "service_completed_successfully"},
    }
    assert "pg_isready" in SERVICES["db"]["healthcheck"]["test"][1]


def test_the_job_migrates_makes_the_admin_and_ends() -> None:
    job = SERVICES["migrate"]
    assert job["command"] == ["sh", "-ec", "python -m app.cli db upgrade && python -m app.cli ensure-admin"]
    assert job["restart"] == "no"
    assert {"FIRST_SUPERUSER_EMAIL", "FIRST_SUPERUSER_PASSWORD"} <= job["environment"].keys()
    assert not {name for name in SERVICES["api"]["environment"] if name.startswith("FIRST_")}


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_can_neither_write_to_its_image_nor_gain_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", OURS)
def test_our_containers_get_settings_that_exist_and_the_rules_of_production(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert {variable.lower() for variable in environment} <= set(Settings.model_fields)
    assert environment["ENVIRONMENT"] == "production"
    assert SERVICES[name]["build"] == {"context": ".", "dockerfile": "backend/Dockerfile"}


def test_the_data_folder_of_the_image_can_be_written_by_its_user() -> None:
    image = read_stages()[-1]
    user, group = image.arguments("USER")[-1].split(":")
    (mount,) = [mount for mount in SERVICES["api"]["tmpfs"] if mount.startswith(image.environment["DATA_DIR"])]
    assert f"uid={user},gid={group}" in mount


def test_the_database_is_reached_through_a_socket_and_by_no_network() -> None:
    assert SERVICES["db"]["network_mode"] == "none"
    assert "listen_addresses=" in SERVICES["db"]["command"]
    folder = SERVICES["api"]["environment"]["POSTGRES_SERVER"]
    for name in ("db", *OURS):
        assert f"socket:{folder}" in SERVICES[name]["volumes"]
    assert "scram-sha-256" in SERVICES["db"]["environment"]["POSTGRES_INITDB_ARGS"]
    for name in OURS:
        for variable in ("POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"):
            assert SERVICES[name]["environment"][variable] == SERVICES["db"]["environment"][variable]


def test_nothing_is_open_to_other_hosts() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert SERVICES["api"]["ports"][0].endswith(f":{read_stages()[-1].environment['PORT']}")


def test_mails_go_to_the_catcher_until_a_server_is_named() -> None:
    """The settings as they are without an `.env` start, and name the catcher's own port for SMTP."""
    environment = SERVICES["api"]["environment"]
    names = [name for name in environment if name.startswith("SMTP_")] + ["MAIL_FROM", "PUBLIC_URL"]
    assert all(environment[name].startswith(f"${{{name}:-") for name in names)
    nested = environment | {"PUBLIC_URL": environment["PUBLIC_URL"].replace("${PORT:-8000}", "8000")}
    defaults = {name: VARIABLE.sub(lambda match: match[3], nested[name]) for name in names}
    assert defaults["SMTP_HOST"] in SERVICES
    assert SERVICES["mail"]["image"].startswith("axllent/mailpit:")
    assert defaults["SMTP_PORT"] == "1025", "where that image listens"
    published = SERVICES["api"]["ports"][0].removesuffix(":8000").replace("${PORT:-8000}", "8000")
    assert defaults["PUBLIC_URL"] == f"http://{published}"
    given = {name.lower(): value for name, value in defaults.items() if value}
    settings = Settings.load(_env_file=None, environment="production", secret_key=SECRET_KEY, **given)
    assert settings.smtp_user is None


def test_every_volume_is_declared() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])

"""A package has the same rooms everywhere; a new one is a decision that is made here."""

import tomllib

import pytest

from app.core.settings import BACKEND_DIR

APP = BACKEND_DIR / "app"
ROOMS = {"__init__", "models", "types", "schemas", "errors", "repository", "service", "dependencies", "router"}

# The rooms of packages that are no plain domain, or that have more to house than the eight.
OWN_ROOMS = {
    "api": {
        "deadlines", "docs", "drain", "health", "middleware", "openapi", "problem", "protocol", "server", "supervisor",
        "v1",
    },
    "auth": {
        "accounts", "admin_router", "audit", "bearer", "bootstrap", "components", "housekeeping", "key_store", "limits",
        "notices", "oauth", "password_policy", "passwords", "refresh_tokens", "revocation", "sessions", "tokens",
        "user_admin", "user_agents", "users_router",
    },
    "core": {
        "addresses", "clock", "ids", "keys", "logging", "moments", "pagination", "problems", "settings", "tasks",
        "text",
    },
    "db": {
        "backup", "base", "engine", "failpoints", "http", "migrations", "query", "recent_writers", "session", "url",
        "wait",
    },
}  # fmt: skip


# The rooms of the account package that speak HTTP.
WEB_ROOMS = {"admin_router", "bearer", "dependencies", "oauth", "router", "users_router"}


def test_the_packages_are_known() -> None:
    assert {path.parent.name for path in APP.glob("*/__init__.py")} >= OWN_ROOMS.keys()
    assert {path.stem for path in APP.glob("*.py")} == {"__init__", "cli", "main", "models"}


@pytest.mark.parametrize("package", sorted(path.parent.name for path in APP.glob("*/__init__.py")))
def test_a_package_has_only_known_rooms(package: str) -> None:
    rooms = {path.stem for path in (APP / package).rglob("*.py")}
    assert rooms <= ROOMS | OWN_ROOMS.get(package, set())
    assert rooms >= OWN_ROOMS.get(package, set()), "a room named here is gone"


def test_no_room_of_accounts_escapes_the_import_contract() -> None:
    """Whatever does not speak HTTP is named in the contract that keeps the web framework out of it."""
    linter = tomllib.loads((BACKEND_DIR / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = (one for one in linter["contracts"] if one["name"] == "No web framework below the routers")
    assert contract["forbidden_modules"] == ["fastapi", "starlette"]
    guarded = {
        name.rpartition(".")[2] for name in contract["source_modules"] if name.startswith(("app.auth.", "app.*."))
    }
    rooms = {path.stem for path in (APP / "auth").rglob("*.py")} - {"__init__"}
    assert guarded == rooms - WEB_ROOMS


def test_the_top_level_holds_nothing_that_is_not_expected() -> None:
    """What belongs to the code is under `backend/`."""
    root = BACKEND_DIR.parent
    expected = {"Makefile", "README.md", "SECURITY.md", "backend", "docker-compose.yml", "scripts"}
    assert {path.name for path in root.iterdir() if not path.name.startswith(".")} <= expected
    scripts = {path.name for path in (root / "scripts").glob("*.py")}
    assert all(len((root / "scripts" / name).read_text().splitlines()) < 60 for name in scripts), "scripts are thin"

"""A package has the same rooms everywhere; a new one is a decision that is made here."""

import tomllib

import pytest

from app.core.settings import BACKEND_DIR

APP = BACKEND_DIR / "app"
ROOMS = {"__init__", "models", "types", "schemas", "errors", "repository", "service", "dependencies", "router"}

# The rooms that packages have besides these.
OWN_ROOMS = {
    "api": {
        "cross_origin", "deadlines", "docs", "drain", "health", "jobs_admin", "jobs_router", "middleware", "openapi",
        "problem", "protocol", "server", "supervisor", "v1",
    },
    "auth": {
        "accounts", "admin_router", "bearer", "bootstrap", "breached_passwords", "claims", "components",
        "housekeeping", "limits", "notices", "oauth", "password_policy", "passwords", "permissions", "proof",
        "refresh_tokens", "revocation", "secret_texts", "sessions", "tokens", "user_admin", "user_agents",
        "users_router",
    },
    "auth.guests": {"claims", "components", "ownership", "sightings", "upkeep"},
    "auth.mail_flows": {"account_mails", "page_rendering", "pages", "sender"},
    "auth.one_time_tokens": {"codec"},
    "auth.personal_tokens": {"usage", "verifier"},
    "auth.roles": {"authority"},
    "auth.service_accounts": {"client_auth", "grant"},
    "auth.audit": {"chain", "trail", "upkeep", "verification"},
    "cli": {
        "__main__", "administrators", "audit", "database", "doctor", "document", "jobs", "keys", "limits",
        "metrics", "output", "prices", "roles", "running", "server", "users",
    },
    "auth.keys": {"store", "upkeep"},
    "core": {
        "addresses", "base64url", "clock", "ids", "json_values", "keys", "logging", "moments", "observations",
        "pagination", "problems", "providers", "settings", "tasks", "text", "turns",
    },
    "db": {
        "backup", "base", "diagnosis", "engine", "failpoints", "functions", "http", "migrations", "query",
        "recent_writers", "session", "sqlite", "upsert", "url", "wait",
    },
    "auth.devices": {"codec", "cookies"},
    "chat": {
        "claims", "components", "forks", "indexing", "messages", "permissions", "preferences", "retention", "titles",
        "tree",
    },
    "chat.gateway": {"answers", "components", "speeches"},
    "chat.responses": {
        "claims", "components", "desk", "ending", "engine", "hub", "prompts", "pruning", "reaper", "sse", "streams",
        "talk", "tapes", "views", "writer",
    },
    "chat.sharing": {"views"},
    "chat.transfer": {"archives", "exports", "formats", "importer", "jobs", "native", "preparing", "trees"},
    "chat.usage": {"admin_router", "administration", "price_files", "pricing", "reports", "upkeep"},
    "search": {"analysis", "query_language", "ranking", "retrieval", "searcher", "snippets"},
    "jobs": {"process", "queue", "run", "runner", "upkeep", "worker"},
    "preferences": {"catalogue", "registry", "writer"},
    "metrics": {
        "charts", "dashboard", "dashboard_router", "exposition", "names", "page_rendering", "pages", "recorder",
        "retention", "scrape", "sketch", "upkeep", "windows",
    },
    "llm": {
        "breaker", "catalog", "echo", "endpoint", "failures", "fallback", "openai_format", "reading", "text",
        "transport",
    },
    "mail": {"mailer", "messages", "outbox", "rendering", "smtp"},
}  # fmt: skip

# The rooms of the account package, and of the packages in it, that speak HTTP.
WEB_ROOMS = {
    "admin_router", "bearer", "client_auth", "cookies", "dependencies", "desk", "oauth", "pages", "router", "streams",
    "users_router",
}  # fmt: skip


def packages() -> list[str]:
    """Every package below `app`, such as `db` or `auth.roles`."""
    return sorted(".".join(path.parent.relative_to(APP).parts) for path in APP.glob("*/**/__init__.py"))


def rooms_of(package: str) -> set[str]:
    """The modules of a package, without those of packages in it."""
    return {path.stem for path in (APP / package.replace(".", "/")).glob("*.py")}


def test_the_packages_are_known() -> None:
    assert set(packages()) >= OWN_ROOMS.keys()
    assert {path.stem for path in APP.glob("*.py")} == {"__init__", "main", "models", "routing"}


@pytest.mark.parametrize("package", packages())
def test_a_package_has_only_known_rooms(package: str) -> None:
    rooms = rooms_of(package)
    assert rooms <= ROOMS | OWN_ROOMS.get(package, set())
    assert rooms >= OWN_ROOMS.get(package, set()), "a room named here is gone"


def test_no_room_escapes_the_import_contract() -> None:
    """Whatever does not speak HTTP is named in the contract that keeps the web framework out of it."""
    linter = tomllib.loads((BACKEND_DIR / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = (one for one in linter["contracts"] if one["name"] == "No web framework below the routers")
    assert contract["forbidden_modules"] == ["fastapi", "starlette"]
    everywhere = {name.rpartition(".")[2] for name in contract["source_modules"] if name.startswith("app.**.")}
    for package in packages():
        if package.partition(".")[0] in {"auth", "jobs", "mail"}:
            here = f"app.{package}"
            if here in contract["source_modules"]:
                continue
            named = {name.rpartition(".")[2] for name in contract["source_modules"] if name.rpartition(".")[0] == here}
            assert rooms_of(package) - {"__init__"} - everywhere - named <= WEB_ROOMS, here
            assert not named & WEB_ROOMS, here


def test_the_top_level_holds_nothing_that_is_not_expected() -> None:
    """What belongs to the code is under `backend/`."""
    root = BACKEND_DIR.parent
    expected = {"Makefile", "README.md", "SECURITY.md", "backend", "docker-compose.yml", "scripts"}
    assert {path.name for path in root.iterdir() if not path.name.startswith(".")} <= expected
    scripts = {path.name for path in (root / "scripts").glob("*.py")}
    assert all(len((root / "scripts" / name).read_text().splitlines()) < 60 for name in scripts), "scripts are thin"

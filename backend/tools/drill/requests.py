"""Requests made from the OpenAPI document, and to the pages beside it: the corpus in every field, and random ones."""

import random
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

from app.auth.mail_flows.page_rendering import PAGES
from tools.drill import corpus
from tools.drill.client import FORM, JSON
from tools.drill.site import PASSWORD, Person, new_address

Json = dict[str, Any]
_METHODS = ("get", "put", "post", "delete", "patch")
_READS = ("GET", "HEAD")
_TEXT: Json = {"type": "string"}
_HEALTH = "/health/"
_DASHBOARD = "/admin/dashboard"
_KEY_SET = "/.well-known/jwks.json"
_WELL_KNOWN = tuple(
    f"/.well-known/{name}" for name in ("oauth-authorization-server", "security.txt", "change-password")
)


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that an operation takes. `place` is path, query, header or body."""

    name: str
    place: str
    schema: Json
    is_required: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; `media_type` is that of its body, None where it has none.

    `is_documented` where the OpenAPI document tells of it.
    """

    name: str
    method: str
    path: str
    fields: tuple[Field, ...]
    media_type: str | None
    needs_token: bool
    is_documented: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to send. With `is_signed` a valid access token goes with it."""

    operation: Operation
    values: Mapping[tuple[str, str], Any]
    body: bytes | None = None
    media_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_signed: bool = True

    def path(self) -> str:
        """The path with its query."""
        path = self.operation.path
        query = []
        for (place, name), value in self.values.items():
            if place == "path":
                path = path.replace(f"{{{name}}}", _quoted(value))
            elif place == "query":
                query.append(f"{name}={_quoted(value)}")
        return path + (f"?{'&'.join(query)}" if query else "")

    def all_headers(self) -> dict[str, str]:
        """The headers that are not the client's own business."""
        headers = {name: _text(value) for (place, name), value in self.values.items() if place == "header"}
        media_type = self.media_type or self.operation.media_type
        return headers | ({"Content-Type": media_type} if media_type else {}) | dict(self.headers)

    def content(self) -> bytes | None:
        """The body."""
        if self.body is not None or self.operation.media_type is None:
            return self.body
        members = {name: value for (place, name), value in self.values.items() if place == "body"}
        if self.operation.media_type == JSON:
            return corpus.dump_json(members)
        texts = {name: _text(value).encode("utf-8", "surrogatepass") for name, value in members.items()}
        return urlencode(texts).encode()


def _text(value: object) -> str:
    return value if isinstance(value, str) else corpus.dump_json(value).decode()


def _quoted(value: object) -> str:
    return quote(_text(value).encode("utf-8", "surrogatepass"), safe="")


def read_operations(document: Json) -> list[Operation]:
    """Every operation of an OpenAPI document but the health checks, which take nothing; then those beside it."""
    documented = [
        _operation(document, path, method, item[method])
        for path, item in document["paths"].items()
        if not path.startswith(_HEALTH)
        for method in _METHODS
        if method in item
    ]
    return [*documented, *_undocumented()]


def _undocumented() -> Iterator[Operation]:
    """What is for browsers and for programs that know where to look: the pages of accounts, and `/.well-known/`."""
    yield Operation(f"HEAD {_KEY_SET}", "HEAD", _KEY_SET, (), None, needs_token=False)
    for path in _WELL_KNOWN:
        yield from (Operation(f"{method} {path}", method, path, (), None, needs_token=False) for method in _READS)
    for path, page in PAGES.items():
        link = (Field("token", "query", _TEXT, is_required=False),)
        form = (
            Field("token", "body", _TEXT, is_required=True),
            *(Field(item.name, "body", _TEXT, item.is_required) for item in page.fields),
        )
        yield from (Operation(f"{method} {path}", method, path, link, None, needs_token=False) for method in _READS)
        yield Operation(f"POST {path}", "POST", path, form, FORM, needs_token=False)
    login = tuple(Field(name, "body", _TEXT, name != "period") for name in ("login", "password", "period"))
    yield Operation(
        f"GET {_DASHBOARD}",
        "GET",
        _DASHBOARD,
        (Field("period", "query", _TEXT, is_required=False),),
        None,
        needs_token=False,
    )
    yield Operation(f"POST {_DASHBOARD}", "POST", _DASHBOARD, login, FORM, needs_token=False)
    yield Operation("dashboard logout", "POST", f"{_DASHBOARD}/logout", (), FORM, needs_token=False)


def _operation(document: Json, path: str, method: str, operation: Json) -> Operation:
    fields = [
        Field(parameter["name"], parameter["in"], parameter["schema"], parameter.get("required", False))
        for parameter in operation.get("parameters", [])
    ]
    content = operation.get("requestBody", {}).get("content", {})
    media_type = next((known for known in (JSON, FORM) if known in content), None)
    if media_type is not None:
        schema = _resolved(document, content[media_type]["schema"])
        required = schema.get("required", [])
        fields += [
            Field(name, "body", _resolved(document, member), name in required)
            for name, member in schema.get("properties", {}).items()
        ]
    needs_token = bool(operation.get("security")) and {} not in operation["security"]
    return Operation(
        operation["operationId"], method.upper(), path, tuple(fields), media_type, needs_token, is_documented=True
    )


def _resolved(document: Json, schema: Json) -> Json:
    """The schema behind a reference, or the first alternative that is not null."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _resolved(document, document["components"]["schemas"][name])
    for part in schema.get("anyOf", []):
        if part.get("type") != "null":
            return _resolved(document, part)
    return schema


def valid_value(wanted: Field, person: Person, other: Person) -> object:
    """A value that the operation takes, if the caller is `person`."""
    known: dict[str, object] = {
        "email": new_address(),
        "username": f"u{secrets.token_hex(6)}",
        "password": PASSWORD,
        "current_password": PASSWORD,
        "new_password": PASSWORD,
        "refresh_token": person.refresh_token,
        "user_id": str(other.id),
        "grant_type": "password",
        "scope": "profile:read",
    }
    schema = wanted.schema
    if wanted.name in known and "enum" not in schema:
        return known[wanted.name]
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("format", schema.get("type")):
        case "date-time":
            return "2026-01-01T00:00:00Z"
        case "uuid":
            return str(other.id)
        case "integer":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case _:
            return schema.get("examples", ["x"])[0]


def nasty_values(wanted: Field) -> tuple[object, ...]:
    """The corpus as far as it can be written in the field's place."""
    return corpus.VALUES if wanted.place == "body" else corpus.TEXTS


def nasty_attempts(operation: Operation, person: Person, other: Person) -> Iterator[Attempt]:
    """The corpus in each field in turn, the others valid; then nasty bodies, media types and credentials."""
    needed = {
        (item.place, item.name): valid_value(item, person, other) for item in operation.fields if item.is_required
    }
    plain = Attempt(operation, needed)
    yield plain
    for item in operation.fields:
        for value in nasty_values(item):
            yield replace(plain, values={**needed, (item.place, item.name): value})
    for authorization in corpus.AUTHORIZATIONS:
        yield replace(plain, is_signed=False, headers={"Authorization": authorization})
    if operation.media_type is None:
        yield replace(plain, body=b"{}", media_type=JSON)
        return
    yield replace(plain, values={**needed, ("body", "unknown"): "member"})
    for body in corpus.BODIES:
        yield replace(plain, body=body)
    for media_type in corpus.MEDIA_TYPES:
        for wrong_body in (plain.content(), corpus.MULTIPART, b""):
            yield replace(plain, body=wrong_body, media_type=media_type)


def random_attempt(operation: Operation, person: Person, other: Person, chance: random.Random) -> Attempt:
    """A request in which each field is valid, nasty, random or left out; a few bodies are damaged."""
    values: dict[tuple[str, str], object] = {}
    for item in operation.fields:
        key = (item.place, item.name)
        roll = chance.random()
        if roll < 0.5:
            values[key] = valid_value(item, person, other)
        elif roll < 0.65:
            values[key] = chance.choice(nasty_values(item))
        elif roll < 0.75:
            values[key] = _random_text(chance)
        elif item.place == "path":
            values[key] = secrets.token_hex(8)
    attempt = Attempt(operation, values, is_signed=chance.random() < 0.95)
    content = attempt.content()
    if content and chance.random() < 0.1:
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        return replace(attempt, body=bytes(damaged))
    return attempt


def _random_text(chance: random.Random) -> str:
    length = int(chance.expovariate(1 / 20))
    return "".join(chr(chance.choice((chance.randrange(128), chance.randrange(0x110000)))) for _ in range(length))

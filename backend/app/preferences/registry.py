"""Which preferences there are: each is declared in code, with a JSON Schema (Draft 2020-12) that its values meet."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError

from app.core.json_values import require_safe_json
from app.core.text import clean_header
from app.preferences.types import MAX_KEY_LENGTH, MAX_VALUE_BYTES, MAX_VALUE_DEPTH, PreferenceScope

_DECLARED_KEY = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_CUSTOM_KEY = re.compile(r"x-[a-z0-9_]+([.-][a-z0-9_]+)*")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_RESERVED = frozenset({"schema", "effective", "changes", "devices"})  # other paths beside `/{key}`
_MAX_PLACE_LENGTH = 100

Fault = tuple[tuple[str | int, ...], str, str]
"""Where in a value a rule is broken, which rule, and the rule in words: never the value."""


class PreferenceDeclarationError(RuntimeError):
    """A preference is declared twice, too late or in contradiction to itself: a fault of the code."""


@dataclass(frozen=True, slots=True)
class PreferenceDefinition:
    """One preference, and the release that brought it. One with `deprecated_by` still works, but clients leave it."""

    key: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=dict)
    default: Any = None
    scopes: tuple[PreferenceScope, ...] = tuple(PreferenceScope)
    since: str | None = None
    deprecated_by: str | None = None

    def faults(self, value: Any) -> Iterator[Fault]:
        """What is wrong with a value."""
        for error in Draft202012Validator(self.schema).iter_errors(value):
            yield _fault_of(error)

    def accepts(self, value: Any) -> bool:
        """Whether a value meets the schema."""
        return next(self.faults(value), None) is None


class PreferenceRegistry:
    """The preferences of one application. Once frozen it stays as it is: what the documentation shows is what holds."""

    def __init__(self) -> None:
        self._definitions: dict[str, PreferenceDefinition] = {}
        self._is_frozen = False

    def declare(
        self,
        key: str,
        description: str,
        *,
        schema: Mapping[str, Any],
        since: str,
        default: Any = None,
        scopes: Iterable[PreferenceScope] = PreferenceScope,
        deprecated_by: str | None = None,
    ) -> PreferenceDefinition:
        """Make a preference known. A default of None means that the service or the client decides.

        Raises:
            PreferenceDeclarationError: the key is taken or malformed, the schema is none or refuses the default, or the
                application is built already.
        """
        definition = PreferenceDefinition(key, description, dict(schema), default, tuple(scopes), since, deprecated_by)
        if self._is_frozen:
            raise PreferenceDeclarationError(f"{key} is declared after the application was built.")
        if key in self._definitions:
            raise PreferenceDeclarationError(f"{key} is declared twice.")
        _require_sound(definition)
        self._definitions[key] = definition
        return definition

    def freeze(self) -> None:
        """Refuse every declaration from now on.

        Raises:
            PreferenceDeclarationError: a deprecated preference names a successor that nobody declared.
        """
        for definition in self._definitions.values():
            if definition.deprecated_by is not None and definition.deprecated_by not in self._definitions:
                raise PreferenceDeclarationError(f"{definition.key} is deprecated by what does not exist.")
        self._is_frozen = True

    def all(self) -> Mapping[str, PreferenceDefinition]:
        """Every declared preference by its key, in the order of the keys."""
        return MappingProxyType(dict(sorted(self._definitions.items())))

    def find(self, key: str) -> PreferenceDefinition | None:
        """The preference with this key, declared or a client's own; None for all other texts."""
        if key in self._definitions:
            return self._definitions[key]
        is_custom = len(key) <= MAX_KEY_LENGTH and _CUSTOM_KEY.fullmatch(key)
        return PreferenceDefinition(key, "A client's own preference.") if is_custom else None


def _require_sound(definition: PreferenceDefinition) -> None:
    key = definition.key
    if not _DECLARED_KEY.fullmatch(key) or len(key) > MAX_KEY_LENGTH or key in _RESERVED:
        raise PreferenceDeclarationError(f"{key!r} is no key of a preference, such as 'editor.font_size'.")
    if not definition.scopes or not _VERSION.fullmatch(definition.since or ""):
        raise PreferenceDeclarationError(f"{key} says neither where it can be set nor since which release.")
    try:
        Draft202012Validator.check_schema(definition.schema)
        require_safe_json(definition.default, max_bytes=MAX_VALUE_BYTES, max_depth=MAX_VALUE_DEPTH)
    except (SchemaError, ValueError) as error:
        raise PreferenceDeclarationError(f"{key}: {error}") from None
    if definition.default is not None and not definition.accepts(definition.default):
        raise PreferenceDeclarationError(f"The schema of {key} refuses its default.")


def _fault_of(error: ValidationError) -> Fault:
    place = tuple(
        part if isinstance(part, int) else clean_header(part, _MAX_PLACE_LENGTH) for part in error.absolute_path
    )
    rule = str(error.validator)
    return place, rule, f"must meet the rule {rule} {orjson.dumps(error.validator_value).decode()}"


_registry = PreferenceRegistry()
declare_preference = _registry.declare
freeze_preferences = _registry.freeze
all_preferences = _registry.all
find_preference = _registry.find

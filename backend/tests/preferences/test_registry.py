"""The registry of preferences: what may be declared, and what a declared one accepts."""

from typing import Any

import pytest

from app.main import Services
from app.preferences.catalogue import EDITOR_FONT_SIZE, LANGUAGE, TIME_ZONE
from app.preferences.registry import (
    PreferenceDeclarationError,
    PreferenceRegistry,
    all_preferences,
    declare_preference,
    find_preference,
)
from app.preferences.types import MAX_KEY_LENGTH, PreferenceScope

SWITCH = {"type": "boolean"}


@pytest.fixture
def registry() -> PreferenceRegistry:
    return PreferenceRegistry()


def test_a_preference_is_a_key_with_its_schema_and_layers(registry: PreferenceRegistry) -> None:
    size = registry.declare("panel.width", "How wide.", schema={"type": "integer"}, default=3, since="1.2.3")
    assert (size.key, size.default, size.since, size.deprecated_by) == ("panel.width", 3, "1.2.3", None)
    assert size.scopes == (PreferenceScope.USER, PreferenceScope.DEVICE)
    registry.declare("a", "First.", schema=SWITCH, since="1.0.0", scopes=[PreferenceScope.USER])
    assert list(registry.all()) == ["a", "panel.width"]
    assert registry.find("panel.width") is size
    assert registry.find("panel") is None


REFUSED: list[dict[str, Any]] = [
    {"key": ""},
    {"key": "Panel"},
    {"key": "panel."},
    {"key": ".panel"},
    {"key": "panel width"},
    {"key": "panel\n"},
    {"key": "x-panel"},
    {"key": "schema"},
    {"key": "effective"},
    {"key": "changes"},
    {"key": "devices"},
    {"key": "a" * (MAX_KEY_LENGTH + 1)},
    {"schema": {"type": "no such type"}},
    {"schema": {"minimum": "one"}},
    {"default": "wide"},
    {"default": 2**64},
    {"default": ["x" * 9000]},
    {"scopes": []},
    {"since": ""},
    {"since": "soon"},
]


@pytest.mark.parametrize("members", REFUSED, ids=str)
def test_a_declaration_that_contradicts_itself_is_refused(
    registry: PreferenceRegistry, members: dict[str, Any]
) -> None:
    sound: dict[str, Any] = {"key": "panel.width", "schema": {"type": "integer"}, "since": "1.0.0", "default": 1}
    with pytest.raises(PreferenceDeclarationError):
        registry.declare(description="How wide.", **{**sound, **members})
    assert registry.all() == {}
    registry.declare(description="How wide.", **sound)


def test_a_key_is_declared_once_and_in_time(registry: PreferenceRegistry) -> None:
    registry.declare("a", "First.", schema=SWITCH, since="1.0.0")
    with pytest.raises(PreferenceDeclarationError, match="twice"):
        registry.declare("a", "Again.", schema=SWITCH, since="1.0.0")
    registry.freeze()
    with pytest.raises(PreferenceDeclarationError, match="built"):
        registry.declare("b", "Late.", schema=SWITCH, since="1.0.0")


def test_a_deprecated_preference_has_a_successor(registry: PreferenceRegistry) -> None:
    old = registry.declare("old", "Former.", schema=SWITCH, since="1.0.0", deprecated_by="new")
    with pytest.raises(PreferenceDeclarationError, match="deprecated"):
        registry.freeze()
    registry.declare("new", "Present.", schema=SWITCH, since="2.0.0")
    registry.freeze()
    assert old.accepts(value=True)


def test_an_application_freezes_its_registry(services: Services) -> None:
    assert all_preferences()
    with pytest.raises(PreferenceDeclarationError, match="built"):
        declare_preference("late", "Late.", schema=SWITCH, since="1.0.0")


@pytest.mark.parametrize("key", ["x-a", "x-my-app.panel_2.width", "x-" + "a" * (MAX_KEY_LENGTH - 2)])
def test_clients_make_up_their_own_under_a_prefix(registry: PreferenceRegistry, key: str) -> None:
    custom = registry.find(key)
    assert custom is not None
    assert custom.default is None
    assert all(custom.accepts(value) for value in (1, "a", [None], {"b": True}))


@pytest.mark.parametrize(
    "key",
    ["x-", "x", "x-A", "x-a b", "x-a.", "x-a\n", "x-ä", "X-a", "x--a", "x-a/b", "x-" + "a" * (MAX_KEY_LENGTH - 1)],
)
def test_and_under_nothing_that_only_looks_like_it(registry: PreferenceRegistry, key: str) -> None:
    assert registry.find(key) is None


def test_every_preference_of_the_catalogue_is_documented() -> None:
    """Promises to clients: a sentence, a bounded schema, and the default that they can rely on."""
    for key, definition in all_preferences().items():
        assert definition.description.endswith("."), key
        assert {"enum", "type"} & definition.schema.keys(), key
        if definition.schema.get("type") == "string":
            assert "maxLength" in definition.schema, key
        assert find_preference(key) is definition


@pytest.mark.parametrize("language", ["en", "de-CH", "zh-Hant-TW", "sr-Latn-RS-ekavsk"])
def test_languages(language: str) -> None:
    assert LANGUAGE.accepts(language)


@pytest.mark.parametrize("language", ["", "e", "english language", "en_US", "en\n", "\nen", "en-", "<b>", 1, "a" * 36])
def test_no_languages(language: Any) -> None:
    assert not LANGUAGE.accepts(language)


def test_time_zones() -> None:
    for zone in ("UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+3"):
        assert TIME_ZONE.accepts(zone)
    for zone in ("", "../../etc/passwd", "Europe/", "/Europe", "Europe/Berlin\n", "A/B/C/D", "a b"):
        assert not TIME_ZONE.accepts(zone)


def test_a_fault_tells_the_rule_and_not_the_value() -> None:
    [fault] = EDITOR_FONT_SIZE.faults("secret")
    assert fault == ((), "type", 'must meet the rule type "integer"')
    assert not EDITOR_FONT_SIZE.accepts(value=True), "true is no number"
    assert [rule for _, rule, _ in EDITOR_FONT_SIZE.faults(7)] == ["minimum"]


def test_a_fault_tells_the_place_in_the_value(registry: PreferenceRegistry) -> None:
    schema = {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "boolean"}}}
    nested = registry.declare("nested", "Deep.", schema=schema, since="1.0.0")
    [fault] = nested.faults([{}, {"a\x1b": 1}])
    assert fault[0] == (1, "a"), "control characters of names are not handed on"

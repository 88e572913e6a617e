"""Names of models, and who is asked for them."""

from pathlib import Path
from typing import Any

import pytest

from app.core.errors import ConfigurationError
from app.core.settings import Settings
from app.llm.errors import ModelNotFoundError
from tests.llm.asking import Stage, a_request
from tests.llm.conftest import StageFactory
from tests.support import SECRET_KEY, make_settings

PROVIDERS: list[dict[str, Any]] = [
    {"name": "openai", "models": ["gpt-4o-mini", "gpt-*"]},
    {"name": "router", "models": ["openai/gpt-4o-mini", "meta/*", "gpt-4o-mini"]},
    {"name": "ollama", "models": ["*"], "stand_in": "llama3"},
]


@pytest.fixture
def stage(make_stage: StageFactory) -> Stage:
    """Models of three providers."""
    return make_stage(*PROVIDERS)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("gpt-4o-mini", [("openai", "gpt-4o-mini"), ("router", "gpt-4o-mini"), ("ollama", "gpt-4o-mini")]),
        ("openai/gpt-4o-mini", [("openai", "gpt-4o-mini"), ("ollama", "llama3")]),
        ("openai/gpt-5", [("openai", "gpt-5"), ("ollama", "llama3")]),
        ("router/openai/gpt-4o-mini", [("router", "openai/gpt-4o-mini"), ("ollama", "llama3")]),
        ("meta/llama-4", [("router", "meta/llama-4"), ("ollama", "meta/llama-4")]),
        ("ollama/qwen", [("ollama", "qwen")]),
        ("openai/other", [("ollama", "openai/other")]),
        ("openai/", [("ollama", "openai/")]),
    ],
)
async def test_the_order_of_a_name(stage: Stage, name: str, asked: list[tuple[str, str]]) -> None:
    routes = stage.models._catalog.routes(name)  # the order itself: asking all of them would be a test of failures
    assert [(route.provider.name, route.model) for route in routes] == asked


@pytest.mark.parametrize("name", ["", " ", "a\nb", " m", "m ", "m" * 129, "m\0", "\ud800", "merit/x"])
async def test_what_is_no_name_is_no_model(stage: Stage, name: str) -> None:
    """Not even where every name fits."""
    with pytest.raises(ModelNotFoundError) as caught:
        stage.models.require(name)
    assert (caught.value.status_code, caught.value.code) == (422, "model_not_found")
    with pytest.raises(ModelNotFoundError):
        await stage.ask(a_request(name))


async def test_the_list_names_what_is_certain(make_stage: StageFactory, stage: Stage) -> None:
    assert [one.id for one in stage.models.list_models()] == [
        "openai/gpt-4o-mini",
        "router/openai/gpt-4o-mini",
        "router/gpt-4o-mini",
        "merit/echo",
    ]
    assert stage.models.default_model == "openai/gpt-4o-mini"
    assert make_stage(PROVIDERS[0], llm_default_model="gpt-5").models.default_model == "gpt-5"
    for one in stage.models.list_models():
        stage.models.require(one.id)


async def test_a_default_that_nobody_offers_stops_the_start(make_stage: StageFactory) -> None:
    with pytest.raises(ConfigurationError, match=r"^LLM_DEFAULT_MODEL "):
        make_stage(PROVIDERS[0], llm_default_model="claude")


async def test_the_echo_needs_nobody(make_stage: StageFactory) -> None:
    stage = make_stage()
    assert stage.models.default_model == "merit/echo"
    heard = await stage.ask(a_request("merit/echo", "say  this\ntwice 😀"))
    assert heard.text == "merit/echo repeats and counts: 4 words in message 1.\n\nsay  this\ntwice 😀"
    assert (heard.finish.reason, heard.finish.provider, heard.finish.model) == ("stop", "merit", "merit/echo")
    assert heard.usage.completion == -(-len(heard.text.encode()) // 4)
    assert (await stage.ask(a_request("merit/echo", max_tokens=3))).text == "merit/echo repeats and"
    assert (await stage.ask(a_request("merit/echo", max_tokens=3))).finish.reason == "length"
    long = await make_stage(llm_max_reply_bytes=1024).ask(a_request("merit/echo", "é" * 2000))
    assert 1022 < len(long.text.encode()) <= 1024
    assert long.finish.reason == "length"
    for unknown in ("merit/other", "gpt-4o-mini"):
        with pytest.raises(ModelNotFoundError):
            await stage.ask(a_request(unknown))


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("hunter2", "must be a JSON list"),
        ('{"name": "a"}', "tuple"),
        ('[{"base_url": "https://a.example", "api_key": "hunter2"}]', r"0\.name: "),
        ('[{"name": "A hunter2", "base_url": "https://a.example"}]', r"0\.name: "),
        ('[{"name": "merit", "base_url": "https://a.example"}]', "name must not be merit"),
        ('[{"name": "a", "base_url": "ftp://hunter2"}]', r"0\.base_url: "),
        ('[{"name": "a", "base_url": "https://u:hunter2@a.example"}]', r"0\.base_url: "),
        ('[{"name": "a", "base_url": "http://a.example", "api_key": "hunter2"}]', "in clear"),
        ('[{"name": "a", "base_url": "https://a.example", "models": []}]', r"0\.models: "),
        ('[{"name": "a", "base_url": "https://a.example", "models": ["a*b"]}]', r"0\.models\.0: "),
        ('[{"name": "a", "base_url": "https://a.example", "stand_in": "a*"}]', "stand_in"),
        ('[{"name": "a", "base_url": "https://a.example", "idle_seconds": "inf"}]', r"0\.idle_seconds: "),
        ('[{"name": "a", "base_url": "https://a.example", "key": "hunter2"}]', r"0\.key: "),
        (f"[{','.join(['{}'] * 17)}]", "at most 16|name"),
        (
            '[{"name": "a", "base_url": "https://a.example"}, {"name": "a", "base_url": "https://b.example"}]',
            "two providers",
        ),
    ],
)
def test_wrong_settings_stop_the_start(value: str, place: str) -> None:
    """The place is named, never the value."""
    with pytest.raises(ConfigurationError, match=rf"^LLM_PROVIDERS .*({place})") as caught:
        Settings.load(_env_file=None, secret_key=SECRET_KEY, llm_providers=value)
    assert "hunter2" not in str(caught.value)


def test_settings_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As people write them; keys are not shown, and may go in clear to this machine alone."""
    text = '[{"name": "local", "base_url": "http://127.0.0.1:11434/v1/", "api_key": "hunter2"}]'
    monkeypatch.setenv("LLM_PROVIDERS", text)
    (provider,) = make_settings("", tmp_path).llm_providers
    assert (provider.name, provider.base_url, provider.models) == ("local", "http://127.0.0.1:11434/v1", ("*",))
    assert provider.api_key.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(make_settings("", tmp_path))

"""Goal C8: OpenAI's own client talks to a real server process, unmodified, streaming too."""

from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from app.core.ids import new_id
from tests.e2e.server import LiveServer
from tests.support import API, PASSWORD

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hé 😀 there"}]
ANSWER = "merit/echo repeats and counts: 3 words in message 1.\n\nhé 😀 there"


@pytest.fixture
def sdk(live_server: LiveServer) -> Iterator[openai.OpenAI]:
    """The synchronous client, with nothing but an address and a key."""
    email = f"{new_id().hex}@example.com"
    with live_server.client() as http:
        http.post(f"{API}/auth/register", json={"email": email, "password": PASSWORD}).raise_for_status()
        login = http.post(f"{API}/auth/login", json={"email": email, "password": PASSWORD}).raise_for_status()
    with openai.OpenAI(base_url=f"{live_server.url}/openai/v1", api_key=login.json()["access_token"]) as client:
        yield client


def test_the_sdk_works(sdk: openai.OpenAI) -> None:
    """Models, a completion, a stream, the stream helper, a stored one, and a refusal."""
    assert [model.id for model in sdk.models.list()] == ["merit/echo"]
    whole = sdk.chat.completions.create(model="merit/echo", messages=HELLO)
    assert whole.choices[0].message.content == ANSWER
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    chunks = list(sdk.chat.completions.create(model="merit/echo", messages=HELLO, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
    assert len(chunks) > 5
    with sdk.chat.completions.stream(model="merit/echo", messages=HELLO) as stream:
        assert stream.get_final_completion().choices[0].message.content == ANSWER
    stored = sdk.chat.completions.create(model="merit/echo", messages=HELLO, store=True, max_tokens=2)
    assert (stored.choices[0].message.content, stored.choices[0].finish_reason) == ("merit/echo repeats", "length")
    with pytest.raises(openai.NotFoundError) as caught:
        sdk.chat.completions.create(model="merit/other", messages=HELLO)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError):
        sdk.with_options(api_key="nonsense").models.list()

"""The provider of the tests, as a program and where it is told what does not exist."""

import httpx
import pytest

from tools.provider import Faults, Provider, provider_process

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def test_it_is_a_program() -> None:
    """Its first line is its address; what it was asked can be read."""
    with provider_process("words=3") as url, httpx.Client(timeout=10) as client:
        answer = client.post(f"{url}/chat/completions", json=ASKED).json()
        assert answer["choices"][0]["message"]["content"] == "word-1 word-2 word-3"
        assert [model["id"] for model in client.get(f"{url}/models").json()["data"]] == ["test-small", "test-large"]
        stats = client.get(url.replace("/v1", "/stats")).json()
        assert [(one["model"], one["outcome"]) for one in stats["requests"]] == [("m", "complete")]
        assert client.get(url.replace("/v1", "/nothing")).status_code == 404


async def test_unknown_faults_are_refused() -> None:
    """A slip in a test must not look like a healthy provider."""
    with pytest.raises(ValueError, match="no fault 'slwo'"):
        Faults().and_then("slwo=1")
    async with Provider() as provider, httpx.AsyncClient(timeout=10) as client:
        answer = await client.post(f"{provider.url()}/chat/completions", json={**ASKED, "model": "m+gap=x"})
        assert answer.status_code == 400
        answer = await client.post(f"{provider.url('status=500+times=1')}/chat/completions", json=ASKED)
        assert answer.status_code == 500
        answer = await client.post(f"{provider.url('status=500+times=1')}/chat/completions", json=ASKED)
        assert answer.status_code == 200

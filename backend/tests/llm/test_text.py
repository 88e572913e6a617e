"""Text of models made storable, tokens estimated, failures understood."""

import json
from datetime import UTC, datetime

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from pydantic import ValidationError

from app.core.text import require_safe_text
from app.llm.errors import MAX_DETAIL_LENGTH, ProviderError, clean_detail
from app.llm.failures import failure_of, parse_retry_after
from app.llm.reading import ChunkReader, read_usage
from app.llm.schemas import ModelParams
from app.llm.text import TextCleaner, estimate_prompt, estimate_tokens, estimate_usage, most_prompt_tokens
from app.llm.transport import BoundedTransport, OversizeError
from app.llm.types import Fault, ModelMessage, ModelRequest, TextDelta

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ANY_TEXT = st.text(alphabet=st.characters(), max_size=20) | st.text(alphabet="\ud83d\ude00\0\x1b a", max_size=20)


@given(st.lists(ANY_TEXT, max_size=8))
def test_cleaned_text_can_be_stored_however_it_was_cut(deltas: list[str]) -> None:
    """And it is the same as if it had come at once."""
    cleaner, whole = TextCleaner(), TextCleaner()
    parts = [cleaner.feed(delta) for delta in deltas] + [cleaner.flush()]
    text = "".join(parts)
    assert text == whole.feed("".join(deltas)) + whole.flush()
    for part in parts:
        require_safe_text(part)
        part.encode()


def test_halves_of_characters_are_joined() -> None:
    cleaner = TextCleaner()
    assert [cleaner.feed(text) for text in ("a\ud83d", "\ude00b", "\ude00", "c\ud83d")] == ["a", "😀b", "\ufffd", "c"]
    assert (cleaner.flush(), cleaner.flush()) == ("\ufffd", "")


def test_tokens_are_estimated_from_bytes() -> None:
    assert [estimate_tokens(size) for size in (0, 1, 4, 5)] == [0, 1, 1, 2]
    request = ModelRequest("m", (ModelMessage("system", "żółć"), ModelMessage("user", "")))
    assert estimate_prompt(request) == 2 + 4 + 4
    assert most_prompt_tokens(request) == 8 + 8 + 8
    assert estimate_usage(request, 400).completion == 100


def test_a_reply_is_never_taken_for_longer_than_it_was_told_to_be() -> None:
    request = ModelRequest("m", (ModelMessage("user", "a"),), ModelParams(max_tokens=5))
    assert [estimate_usage(request, size).completion for size in (4, 20, 24, 400)] == [1, 5, 5, 5]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("3", 3),
        ("0.5", 0.5),
        ("0", 0),
        ("9999", 300),
        ("inf", 300),
        ("nan", None),
        ("-1", None),
        ("soon", None),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30),
        ("Sun, 22 Nov 2026 12:00:30", 30),
        ("Sun, 22 Nov 2020 12:00:00 GMT", None),
    ],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, NOW) == seconds


def test_details_are_short_and_without_secrets() -> None:
    assert clean_detail("key abc is\n\x1bwrong", "abc") == "key [...] is wrong"
    assert clean_detail("Incorrect key: sk-proj-a*b") == "Incorrect key: [...]"
    assert clean_detail(f"token {'a1B2' * 9}.") == "token [...]"
    assert len(clean_detail("word " * 1000)) == MAX_DETAIL_LENGTH


def test_failures_of_every_kind() -> None:
    request = httpx.Request("POST", "http://127.0.0.1")
    kinds: list[tuple[Exception, Fault]] = [
        (TimeoutError(), Fault.TIMEOUT),
        (RecursionError(), Fault.MALFORMED),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), Fault.MALFORMED),
        (OversizeError("x"), Fault.TOO_LONG),
        (httpx.ReadError("x"), Fault.CONNECTION),
        (openai.OpenAIError("x"), Fault.CONNECTION),
        (openai.APIError("key hunter2", request, body=None), Fault.SERVER_ERROR),  # type: ignore[arg-type] # its fork's
    ]
    for error, fault in kinds:
        failure = failure_of(error, NOW, "")
        assert failure.fault is fault
        assert "hunter2" not in failure.detail


@pytest.mark.parametrize(
    "data",
    [
        [],
        {},
        {"choices": None},
        {"choices": {"a": 1}, "usage": 7, "model": 9},
        {"choices": [None, 5, {}, {"index": 0, "delta": None}, {"index": 0, "delta": {"content": ["x"]}}]},
        {"choices": [{"index": 1, "delta": {"content": "another"}}]},
        {"choices": [{"index": 0, "delta": {"content": 5, "reasoning": {}}, "finish_reason": 5}]},
        {"choices": [], "usage": {"prompt_tokens": True, "completion_tokens": 3}},
    ],
)
def test_chunks_that_say_nothing(data: object) -> None:
    """Whatever JSON comes, it is neither text nor an exception that nobody knows."""
    chunk = ChatCompletionChunk.construct(**data) if isinstance(data, dict) else data
    reader = ChunkReader("p", "m", 100)
    assert list(reader.read(chunk)) == []
    with pytest.raises(ProviderError) as caught:
        list(reader.finish())
    assert caught.value.fault is Fault.CONNECTION


def test_a_half_character_at_the_end_is_marked() -> None:
    reader = ChunkReader("p", "m", 100)
    choice = {"index": 0, "delta": {"content": "a\ud83d"}, "finish_reason": "stop"}
    assert list(reader.read(_thing({"choices": [choice]}))) == [TextDelta("a")]
    assert next(reader.finish()) == TextDelta("\ufffd")


def test_details_of_usage_are_bounded() -> None:
    usage = _thing(
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 99, "cache_write_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 2},
        }
    )
    read = read_usage(usage)
    assert read is not None
    assert (read.total, read.cached, read.cache_write, read.reasoning) == (15, 10, 3, 2)


@pytest.mark.parametrize(
    "params",
    [
        {"temperature": 2.1},
        {"temperature": float("nan")},
        {"top_p": -0.1},
        {"max_tokens": 0},
        {"max_tokens": 10**12},
        {"seed": 2**31},
        {"stop": ["a"] * 5},
        {"stop": ["\0"]},
        {"stop": []},
        {"model": "x"},
    ],
)
def test_wishes_are_bounded(params: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ModelParams.model_validate(params)


async def test_compressed_answers_are_refused() -> None:
    """A small one may unfold to any size."""

    async def squeeze(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"x"))

    transport = BoundedTransport(httpx.MockTransport(squeeze), 1024)
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(OversizeError):
            await client.get("http://127.0.0.1/")


def _thing(data: dict[str, object]) -> object:
    """An object with attributes, all the way down, as the SDK makes them."""

    class Thing:
        def __init__(self, **values: object) -> None:
            self.__dict__.update(values)

    return json.loads(json.dumps(data), object_hook=lambda values: Thing(**values))

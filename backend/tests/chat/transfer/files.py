"""Files of conversations, as others export them."""

import io
import json
import zipfile
from typing import Any

import httpx
from sqlalchemy import func, select

from app.main import Services
from app.models import Base
from tests.support import Account

_TELLING = {"imports", "jobs", "idempotency_keys", "system_metrics", "metric_rollups"}


def chatgpt(
    conversation_id: str = "c-1", texts: tuple[str, ...] = ("Hello", "Hi", "More?"), **members: Any
) -> dict[str, Any]:
    """A conversation of a `conversations.json`: an empty root, and messages below each other."""
    mapping: dict[str, Any] = {"root": {"id": "root", "message": None, "parent": None, "children": ["n0"]}}
    for number, text in enumerate(texts):
        mapping[f"n{number}"] = {
            "id": f"n{number}",
            "message": chatgpt_message(text, "assistant" if number % 2 else "user", create_time=1.7e9 + number),
            "parent": f"n{number - 1}" if number else "root",
            "children": [],
        }
    return {
        "title": f"Talk {conversation_id}",
        "create_time": 1.7e9,
        "mapping": mapping,
        "current_node": f"n{len(texts) - 1}",
        "conversation_id": conversation_id,
        "id": conversation_id,
        **members,
    }


def chatgpt_message(text: str, role: str = "user", **members: Any) -> dict[str, Any]:
    model = {"model_slug": "gpt-4o"} if role == "assistant" else {}
    content = {"content_type": "text", "parts": [text]}
    return {"id": "m", "author": {"role": role}, "content": content, "metadata": model, **members}


def open_webui(chat_id: str = "w-1", **members: Any) -> dict[str, Any]:
    """A chat of Open WebUI: two answers to one question, of which the second is shown."""
    messages = {
        "a": {
            "id": "a",
            "parentId": None,
            "childrenIds": ["b", "c"],
            "role": "user",
            "content": "Q",
            "timestamp": 1.7e9,
        },
        "b": {"id": "b", "parentId": "a", "childrenIds": [], "role": "assistant", "content": "A1", "model": "llama3"},
        "c": {"id": "c", "parentId": "a", "childrenIds": [], "role": "assistant", "content": "A2", "timestamp": 1.7e12},
    }
    chat = {"title": "Webby", "models": ["llama3"], "history": {"messages": messages, "currentId": "c"}}
    extra = {"pinned": True, "archived": True, "meta": {"tags": ["school", "school", 7]}, "created_at": 1700000000}
    return {"id": chat_id, "user_id": "u", "title": "Webby", "chat": chat, **extra, **members}


def zipped(**files: Any) -> bytes:
    """A zip file; `__` in a name stands for a slash, `_dot_` for a dot."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return target.getvalue()


async def upload(account: Account, content: Any, **options: Any) -> httpx.Response:
    """Hand a file over."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return await account.request("POST", "/imports", files={"file": ("conversations.json", data)}, **options)


async def imported(services: Services, account: Account, content: Any) -> dict[str, Any]:
    """Import a file, and what became of it."""
    answer = await upload(account, content)
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    await services.jobs.run_due()
    done = (await account.get(f"/imports/{answer.json()['id']}")).json()
    return dict(done)


def counts(done: dict[str, Any]) -> dict[str, int]:
    names = ("found", "created", "updated", "skipped", "failed", "messages_created")
    return {name: done[name] for name in names if done[name]}


async def rows(services: Services) -> dict[str, int]:
    """How many rows each table has, but those that tell of imports themselves and of all requests."""
    tables = {one.name: select(func.count()).select_from(one) for one in Base.metadata.sorted_tables}
    async with services.database.read_session() as session:
        return {name: int(await session.scalar(count) or 0) for name, count in tables.items() if name not in _TELLING}


async def conversations(account: Account) -> list[dict[str, Any]]:
    return list((await account.get("/conversations", params={"limit": 100})).json()["items"])


async def tree(account: Account, conversation_id: str) -> list[dict[str, Any]]:
    """All messages of a conversation in the order in which they were stored, from an export."""
    answer = await account.get(f"/conversations/{conversation_id}/export")
    assert answer.status_code == httpx.codes.OK, answer.text
    return [line for line in map(json.loads, answer.text.splitlines()) if line["type"] == "message"]


def shape(messages: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """A tree without its ids: for each message its parent's place, and what it says."""
    place = {message["id"]: number for number, message in enumerate(messages)}
    told = ("role", "content", "model", "status", "extra_data", "parts", "created_at")
    return [(place.get(m["parent_id"]), place.get(m["edited_from_id"]), *(m[name] for name in told)) for m in messages]

"""Reading conversations as ChatGPT, Open WebUI and this service export them.

ChatGPT: `conversations.json`, a list of `{id, title, mapping: {id: {message, parent, children}}, current_node}`.
Open WebUI: a list of `{id, title, chat: {history: {messages: {id: {parentId, …}}, currentId}}}`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app.chat.transfer.native import is_native, read_native
from app.chat.transfer.trees import in_order, kept_parents
from app.chat.transfer.types import (
    MAX_NODES,
    FileError,
    ImportSource,
    ItemError,
    ParsedConversation,
    ParsedMessage,
)
from app.chat.types import MAX_MODEL_LENGTH, MAX_TAG_LENGTH, MAX_TAGS_PER_CONVERSATION, MAX_TITLE_LENGTH, MessageRole
from app.core.text import clean_header, clean_text

Item = Callable[[], ParsedConversation]
"""Reads one conversation of a file; raises ItemError where it cannot be taken in."""

_ROLES = {role.value: role for role in MessageRole}
_LATEST = datetime(2200, 1, 1, tzinfo=UTC).timestamp()


def items_of(documents: Iterator[Any]) -> Iterator[tuple[ImportSource, list[Item]]]:
    """The conversations of each of a file's documents, and whose export it is; no two documents are held at a time.

    Raises:
        FileError: none of those known.
    """
    source: ImportSource | None = None
    for document in documents:
        source = source or _source_of(document)
        if source is not None:
            yield source, _items(source, document)
        del document  # the next one is read without it
    if source is None:
        raise FileError("The file is no export of ChatGPT, Open WebUI or this service.")


def _source_of(document: Any) -> ImportSource | None:
    if is_native(document):
        return ImportSource.NATIVE
    first = next((item for item in _listed(document) if isinstance(item, dict)), {})
    if isinstance(first.get("mapping"), dict):
        return ImportSource.CHATGPT
    return ImportSource.OPEN_WEBUI if isinstance(first.get("chat"), dict) else None


def _items(source: ImportSource, document: Any) -> list[Item]:
    if source is ImportSource.NATIVE:
        return read_native(document)
    read = _chatgpt if source is ImportSource.CHATGPT else _open_webui
    return [_reader(read, item) for item in _listed(document)]


def _listed(document: Any) -> list[Any]:
    return document if isinstance(document, list) else [document]


def _reader(read: Callable[[Mapping[str, Any]], ParsedConversation], item: Any) -> Item:
    def run() -> ParsedConversation:
        if not isinstance(item, dict):
            raise ItemError("It is no object.")
        return read(item)

    return run


def _chatgpt(item: Mapping[str, Any]) -> ParsedConversation:
    nodes = _nodes(item.get("mapping"))
    parents = {node_id: _text_or_none(node.get("parent")) for node_id, node in nodes.items()}
    messages = {}
    for node_id, node in nodes.items():
        message = _chatgpt_message(node_id, node.get("message"))
        if message is not None:
            messages[node_id] = message
    return _conversation(
        ImportSource.CHATGPT,
        item.get("conversation_id") or item.get("id"),
        item.get("title"),
        messages,
        parents,
        leaf=item.get("current_node"),
        model=item.get("default_model_slug"),
        is_archived=item.get("is_archived") is True,
        created=item.get("create_time"),
    )


def _chatgpt_message(node_id: str, message: Any) -> ParsedMessage | None:
    """None for what nobody saw: empty nodes, hidden context, and text for tools without any."""
    if not isinstance(message, dict):
        return None
    author, metadata = _object(message.get("author")), _object(message.get("metadata"))
    role = _role(author.get("role"))
    content = _chatgpt_text(_object(message.get("content")))
    if role is None or not content.strip() or metadata.get("is_visually_hidden_from_conversation") is True:
        return None
    return ParsedMessage(
        id=node_id,
        parent_id=None,
        role=role,
        content=content,
        model=_line(metadata.get("model_slug"), MAX_MODEL_LENGTH),
        created_at=_moment(message.get("create_time")),
    )


def _chatgpt_text(content: Mapping[str, Any]) -> str:
    parts = content.get("parts")
    if isinstance(parts, list):
        texts = (part if isinstance(part, str) else _object(part).get("text") for part in parts)
        return clean_text("\n".join(text for text in texts if isinstance(text, str)))
    text = content.get("text") or content.get("result")
    return clean_text(text) if isinstance(text, str) else ""


def _open_webui(item: Mapping[str, Any]) -> ParsedConversation:
    chat = _object(item.get("chat"))
    history = _object(chat.get("history"))
    nodes = _nodes(history.get("messages"))
    parents = {node_id: _text_or_none(node.get("parentId")) for node_id, node in nodes.items()}
    messages = {}
    for node_id, node in nodes.items():
        role, content = _role(node.get("role")), node.get("content")
        if role is not None and isinstance(content, str):
            model = _line(node.get("model"), MAX_MODEL_LENGTH)
            at = _moment(node.get("timestamp"))
            messages[node_id] = ParsedMessage(node_id, None, role, clean_text(content), model, at)
    models, tags = chat.get("models"), _object(item.get("meta")).get("tags")
    return _conversation(
        ImportSource.OPEN_WEBUI,
        item.get("id") or chat.get("id"),
        item.get("title") or chat.get("title"),
        messages,
        parents,
        leaf=history.get("currentId"),
        model=models[0] if isinstance(models, list) and models else None,
        is_archived=item.get("archived") is True,
        is_pinned=item.get("pinned") is True,
        tags=tags if isinstance(tags, list) else [],
        created=item.get("created_at"),
    )


def _conversation(
    source: ImportSource,
    source_id: Any,
    title: Any,
    messages: dict[str, ParsedMessage],
    parents: Mapping[str, str | None],
    *,
    leaf: Any,
    model: Any,
    is_archived: bool,
    created: Any,
    is_pinned: bool = False,
    tags: list[Any] | None = None,
) -> ParsedConversation:
    if not isinstance(source_id, str) or not source_id:
        raise ItemError("It has no id.")
    above = kept_parents(parents, messages)
    placed = [replace(one, parent_id=above[one.id]) for one in messages.values()]
    leaf = _text_or_none(leaf)
    leaf_id = leaf if leaf in messages else above.get(leaf or "")
    names = (_line(tag, MAX_TAG_LENGTH) for tag in tags or ())
    return ParsedConversation(
        source=source,
        source_id=clean_text(source_id),
        title=_line(title, MAX_TITLE_LENGTH),
        messages=in_order(placed),
        leaf_id=leaf_id,
        default_model=_line(model, MAX_MODEL_LENGTH),
        tags=tuple(dict.fromkeys(name for name in names if name))[:MAX_TAGS_PER_CONVERSATION],
        is_archived=is_archived,
        is_pinned=is_pinned,
        created_at=_moment(created),
    )


def _nodes(value: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict):
        raise ItemError("It has no messages.")
    if len(value) > MAX_NODES:
        raise ItemError(f"It has more than {MAX_NODES} nodes.")
    return {node_id: node for node_id, node in value.items() if isinstance(node, dict)}


def _role(value: Any) -> MessageRole | None:
    return _ROLES.get(value) if isinstance(value, str) else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _line(value: Any, length: int) -> str | None:
    """A name from a file as one safe line, cut; None where there is none."""
    return clean_header(value, length).strip() or None if isinstance(value, str) else None


def _moment(value: Any) -> datetime | None:
    """A time in seconds since 1970, or in milliseconds, which Open WebUI has mixed; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return None
    seconds = value / 1000 if value > _LATEST else value
    return datetime.fromtimestamp(seconds, UTC) if seconds < _LATEST else None

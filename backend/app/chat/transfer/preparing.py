"""What is worked out of a conversation of a file before a transaction begins, in a thread: it may take seconds."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from app.chat.transfer.types import ItemError, ParsedConversation, ParsedMessage, PreparedConversation
from app.chat.types import MAX_MESSAGE_BYTES, MAX_MESSAGES_PER_CONVERSATION

BATCH_MESSAGES = 500
BATCH_BYTES = 2**20
"""A transaction stores as many messages, or as much of them: writers of other conversations wait no longer for it."""


def prepare(parsed: ParsedConversation) -> PreparedConversation:
    """A conversation ready to be stored. Its hash is the SHA-256 of all that an import takes from its messages.

    Raises:
        ItemError: it has more than there may be, or nothing.
    """
    if not parsed.messages:
        raise ItemError("It has no messages.")
    if len(parsed.messages) > MAX_MESSAGES_PER_CONVERSATION:
        raise ItemError(f"It has more than {MAX_MESSAGES_PER_CONVERSATION} messages.")
    digest = hashlib.sha256(orjson.dumps([parsed.source, parsed.source_id, parsed.leaf_id]))
    sizes = []
    for message in parsed.messages:
        if len(message.content.encode()) > MAX_MESSAGE_BYTES:
            raise ItemError(f"A message has more than {MAX_MESSAGE_BYTES} bytes.")
        said = _said(message)
        digest.update(said)
        sizes.append(len(said))
    return PreparedConversation(
        parsed=parsed,
        content_hash=digest.digest(),
        messages={message.id: message for message in parsed.messages},
        batches=list(_batches(zip(parsed.messages, sizes, strict=True))),
    )


def _said(message: ParsedMessage) -> bytes:
    told: list[Any] = [message.id, message.parent_id, message.role, message.content, message.model, message.status]
    told += [message.edited_from_id, message.parts, message.workspace_path, message.extra_data]
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)


def _batches(sized: Iterable[tuple[ParsedMessage, int]]) -> Iterator[list[ParsedMessage]]:
    batch: list[ParsedMessage] = []
    room = BATCH_BYTES
    for message, size in sized:
        if batch and (len(batch) == BATCH_MESSAGES or size > room):
            yield batch
            batch, room = [], BATCH_BYTES
        batch.append(message)
        room -= size
    yield batch

"""The wire format of server-sent events (WHATWG HTML, section 9.2)."""

import orjson

from app.chat.responses.types import Event

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""No cache keeps a stream, and no proxy collects it before it passes it on."""

HEARTBEAT = b": still here\n\n"
"""A comment: it tells proxies and clients that the connection lives, and is no event."""


def encode(event: Event) -> bytes:
    """One event, the same bytes each time, wherever its payload was kept; JSON holds no line break.

    `sequence_number` is the `id` again, for clients that see only the data, as in the OpenAI Responses API.
    """
    members = {"type": event.kind.value, "sequence_number": event.seq, **event.payload}
    data = orjson.dumps(members, option=orjson.OPT_SORT_KEYS)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (event.seq, event.kind.value.encode(), data)

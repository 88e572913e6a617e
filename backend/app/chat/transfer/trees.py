"""Putting the messages of a file into an order in which each parent comes before its children.

Files may leave nodes out, hold empty ones, or lie: cycles and parents that are not there make no harm.
"""

from collections import defaultdict, deque
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace

from app.chat.transfer.types import ItemError, ParsedMessage


def kept_parents(parent_of: Mapping[str, str | None], kept: Container[str]) -> dict[str, str | None]:
    """The nearest forebear of each node that is a message; None where there is none. Takes one look at each node.

    Raises:
        ItemError: a node is its own forebear.
    """
    found: dict[str, str | None] = {}
    for start in parent_of:
        way: dict[str, None] = {}
        at: str | None = start
        while at is not None and at not in found:
            if at in way:
                raise ItemError("The tree has a cycle.")
            way[at] = None
            at = parent_of.get(at)
        nearest = None if at is None else at if at in kept else found[at]
        for node_id in reversed(way):
            found[node_id] = nearest
            if node_id in kept:
                nearest = node_id
    return found


def in_order(messages: Sequence[ParsedMessage]) -> list[ParsedMessage]:
    """The messages, each behind its parent and otherwise as they came. One whose parent is missing becomes a root.

    Raises:
        ItemError: two have the same id, or some are their own forebears.
    """
    known = {message.id for message in messages}
    if len(known) < len(messages):
        raise ItemError("Two messages have the same id.")
    messages = [m if m.parent_id in known else replace(m, parent_id=None) for m in messages]
    if _is_ordered(messages):
        return list(messages)
    children: dict[str | None, list[ParsedMessage]] = defaultdict(list)
    for message in messages:
        children[message.parent_id].append(message)
    ordered: list[ParsedMessage] = []
    waiting = deque(children[None])
    while waiting:
        ordered.append(waiting.popleft())
        waiting.extend(children[ordered[-1].id])
    if len(ordered) < len(messages):
        raise ItemError("The tree has a cycle.")
    return ordered


def _is_ordered(messages: Sequence[ParsedMessage]) -> bool:
    seen: set[str | None] = {None}
    for message in messages:
        if message.parent_id not in seen:
            return False
        seen.add(message.id)
    return True
